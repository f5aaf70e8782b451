import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpip.errors import MalformedMessage
from dpip.model.cost import Cost
from dpip.model.image import PictureFormat
from dpip.model.job import Failure, FailureCode
from dpip.model.worker import MOST_PREFETCH, MOST_SLOTS, Command, Gpu, Resources, most_in_hand
from dpip.wire.codec import LARGEST_MESSAGE, decode, decode_either, encode
from dpip.wire.messages import (
    PROTOCOL,
    Accepted,
    Acknowledged,
    Goodbye,
    Greeting,
    Heartbeat,
    Hello,
    Message,
    MoreJobs,
    Obstacle,
    Outcome,
    OutcomeKind,
    Refusal,
    Run,
    RunBatch,
    Running,
    Told,
    Waiting,
    Welcome,
    WhyPending,
)
from tests import absurd

GPU = Gpu(name="H100", utilisation=0.25, memory_used=1, memory_total=80 << 30)
RESOURCES = Resources(cpu=0.5, cores=8, memory_total=64 << 30, memory_available=1, gpus=(GPU,))

RUN = Run(
    job_id="j",
    attempt=2,
    workload_id="wl",
    workload_name="holidays",
    image_id="im",
    format=PictureFormat.TIFF,
    sha256="00",
    pipeline=b'[{"filter":"blur","sigma":2}]\x00\xff',
    memory_limit=1 << 40,
    time_limit=0.1,
    express=True,
)
EXAMPLES: list[Message] = [
    Greeting(protocol=PROTOCOL),
    Hello(
        protocol=PROTOCOL,
        tags=("gpu", "fast"),
        slots=2,
        prefetch=0,
        resources=RESOURCES,
    ),
    Welcome(image_store_endpoint="http://h:1", image_store_token="t", heartbeat_seconds=0.5),
    Refusal(reason="Nein, weil: ü.", final=True),
    Heartbeat(
        tags=(),
        slots=1,
        prefetch=1,
        draining=True,
        resources=RESOURCES,
        running=(Running(job_id="j", attempt=3),),
    ),
    Running(job_id="j", attempt=1),
    Goodbye(),
    RUN,
    RunBatch(runs=(RUN, RUN)),
    Accepted(attempts=(Running(job_id="j", attempt=2),)),
    Outcome(
        job_id="j",
        attempt=1,
        kind=OutcomeKind.DONE,
        cost=Cost(milliseconds=0.5, cpu_milliseconds=1e9, memory=2**53),
    ),
    Outcome(
        job_id="j",
        attempt=1,
        kind=OutcomeKind.FAILED,
        failure=Failure(code=FailureCode.TIMED_OUT, reason="Too slow."),
    ),
    Acknowledged(),
    Told(command=Command.DRAIN),
    MoreJobs(count=16),
    WhyPending(job_id="j", workload_id="wl"),
    Waiting(
        reason="No worker is free.",
        remedy="Start another.",
        before=3,
        competing=2**31,
        known=2,
        obstacles=(Obstacle(worker="w", reason="is paused"),),
    ),
    Told(command=Command.DRAIN),
]
KINDS = {type(message) for message in EXAMPLES}

each_message = pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)


def as_fields(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.msgpack.decode(encode(message))
    return fields


def refused(payload: bytes, kind: type[Message] = Goodbye) -> str:
    """The reason for which ``payload`` is not taken."""
    with pytest.raises(MalformedMessage) as caught:
        decode(payload, kind, "dpip.v1.test")
    assert "dpip.v1.test" in str(caught.value)
    return str(caught.value)


def test_there_is_an_example_of_every_message() -> None:
    """A new message has to be added here."""

    def below(kind: type[Message]) -> set[type[Message]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    assert below(Message) - {Message} == KINDS


@each_message
def test_a_message_survives_the_way(message: Message) -> None:
    """What is encoded is what is decoded."""
    assert decode(encode(message), type(message), "s") == message


@each_message
def test_fields_of_a_later_version_are_passed_over(message: Message) -> None:
    """A message may grow."""
    grown = msgspec.msgpack.encode({**as_fields(message), "new": [1, {"deep": None}]})
    assert decode(grown, type(message), "s") == message


@each_message
def test_a_message_is_not_read_as_another(message: Message) -> None:
    """Each carries its name, also where the fields would fit."""
    for kind in KINDS - {type(message)}:
        if kind.__struct_config__.tag != type(message).__struct_config__.tag:
            refused(encode(message), kind)


@each_message
def test_no_part_of_a_message_passes_for_the_whole(message: Message) -> None:
    """However much of it is missing."""
    payload = encode(message)
    for length in range(len(payload)):
        refused(payload[:length], type(message))


def test_a_hello_of_any_version_can_be_greeted() -> None:
    """The version is read before the rest is understood."""
    later = msgspec.msgpack.encode({"type": "Hello", "protocol": 9, "name": "w", "tags": {"a": 1}})
    assert decode(later, Greeting, "s").protocol == 9
    refused(later, Hello)


@given(st.binary(max_size=200))
def test_noise_is_never_a_message(noise: bytes) -> None:
    """Whatever the bytes are, they are malformed and nothing else happens."""
    for kind in (Goodbye, Heartbeat, Run):
        refused(noise, kind)


@given(st.binary(max_size=10), st.integers(min_value=0, max_value=10_000))
def test_a_damaged_message_is_malformed_or_a_message(damage: bytes, place: int) -> None:
    """Damage raises nothing but what the receiver expects."""
    payload = encode(EXAMPLES[4])
    at = place % len(payload)
    with contextlib.suppress(MalformedMessage):
        decode(payload[:at] + damage + payload[at + len(damage) :], Heartbeat, "s")


def test_a_field_of_the_wrong_type_is_named() -> None:
    """The reason says where the message departs from its type."""
    fields = {**as_fields(EXAMPLES[7]), "attempt": "second"}
    assert "attempt" in refused(msgspec.msgpack.encode(fields), Run)


def test_a_missing_field_is_named() -> None:
    """Nothing is made up for it."""
    assert "job_id" in refused(msgspec.msgpack.encode({"type": "Running"}), Running)


@pytest.mark.parametrize(
    ("payloads", "kind"),
    [(absurd.HELLOS, Hello), (absurd.HEARTBEATS, Heartbeat), (absurd.OUTCOMES, Outcome)],
)
def test_absurd_values_are_malformed(payloads: list[bytes], kind: type[Message]) -> None:
    """What placement cannot reckon with, and no database keep, is refused on the way in."""
    for payload in payloads:
        assert "missing required field" not in refused(payload, kind)


def test_a_payload_nested_without_end_is_malformed() -> None:
    """An unknown field cannot exhaust the receiver."""
    fields = encode(Goodbye())
    assert fields[0] == 0x81
    refused(b"\x82" + fields[1:] + b"\xa1x" + b"\x91" * 100_000 + b"\xc0")


def test_the_fullest_worker_has_room_in_a_heartbeat() -> None:
    """With as many jobs in hand as one may have; what is larger is refused."""
    slots, prefetch = MOST_SLOTS, MOST_PREFETCH
    most = most_in_hand(slots, prefetch) + 1
    running = tuple(Running(job_id="0" * 26, attempt=99_999) for _ in range(most))
    beat = msgspec.structs.replace(EXAMPLES[4], slots=slots, prefetch=prefetch, running=running)
    assert len(encode(beat)) < LARGEST_MESSAGE
    assert decode(encode(beat), Heartbeat, "s") == beat
    more = msgspec.structs.replace(beat, running=(*running, running[0]))
    assert "length" in refused(encode(more), Heartbeat)
    assert "bytes" in refused(b"\x80" + b"\0" * LARGEST_MESSAGE)


def test_an_answer_may_be_of_either_type() -> None:
    """Accepted or refused, and nothing third."""
    for answer in (Accepted(attempts=()), Refusal(reason="No.")):
        assert decode_either(encode(answer), Accepted, Refusal, "s") == answer
    with pytest.raises(MalformedMessage):
        decode_either(encode(Acknowledged()), Accepted, Refusal, "s")
