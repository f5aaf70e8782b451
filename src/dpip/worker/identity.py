"""Who a worker is, to the message-passing server and to the controller."""

from collections.abc import Callable

from dpip.model.ids import new_id
from dpip.model.join_token import JoinSecret
from dpip.wire import subjects
from dpip.wire.subjects import Speaker


class Identity:
    """One process of the worker ``name``, and the join token that lets it in.

    ``join_secret`` is asked each time, because an operator may put another in its place.
    """

    def __init__(self, name: str, join_secret: Callable[[], JoinSecret]) -> None:
        self.speaker = Speaker(name, new_id())
        self._join_secret = join_secret

    def user(self) -> str:
        """The name under which it connects: all that the controller is to guard."""
        return f"{self._join_secret().id}.{self.speaker.worker}.{self.speaker.instance}"

    def password(self) -> str:
        """What it shows for that."""
        return self._join_secret().secret

    def hello(self) -> str:
        """The subject of its hello."""
        return subjects.hello(self._join_secret().id, *self.speaker)

    @property
    def inbox(self) -> str:
        """What the subjects begin with on which it awaits answers."""
        return subjects.inbox(*self.speaker)
