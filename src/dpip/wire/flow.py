"""How much is taken in of what workers say, by each who listens.

A worker says hello once and then again when it is asked to, beats every few seconds, and has an
outcome for each job that it has in hand.
"""

from dpip.model.worker import MOST_IN_HAND
from dpip.ports.bus import FlowControl
from dpip.wire.subjects import join_token_in

HELLOS = FlowControl(most_waiting=1, most_a_second=50, at_once=16, group_of=join_token_in)
HEARTBEATS = FlowControl(most_waiting=1, most_a_second=50)
GOODBYES = FlowControl(most_waiting=1, most_a_second=50)
OUTCOMES = FlowControl(most_waiting=MOST_IN_HAND, most_a_second=10_000, at_once=16)
