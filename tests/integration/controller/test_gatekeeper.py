"""Who is refused is told nothing, and the log is told in measure."""

import base64

import msgspec
from structlog.testing import capture_logs

from dpip.controller.gatekeeper import AUTHENTICATE
from dpip.wire.nats_bus import NatsBus
from tests.nats import JOIN_TOKEN, known, new_gatekeeper


class FakeClock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


def question(user: str) -> bytes:
    """What a server asks about a connection of ``user``."""
    asked = {
        "server_id": {"id": "server"},
        "user_nkey": "key",
        "connect_opts": {"user": user, "pass": "guessed"},
        "client_info": {"host": "192.0.2.1"},
    }
    claims = base64.urlsafe_b64encode(msgspec.json.encode({"nats": asked})).rstrip(b"=")
    return b".".join([b"header", claims, b"signature"])


async def test_a_crowd_of_refused_connections_is_one_line_a_second() -> None:
    """It says how many there were that got no line, so that none is lost to the count."""
    clock = FakeClock()
    nowhere = NatsBus("nats://127.0.0.1:1", user="", password="", name="nobody")
    gatekeeper = new_gatekeeper(nowhere, known(JOIN_TOKEN), clock)
    with capture_logs() as lines:
        for number in range(1000):
            await gatekeeper.authenticate(AUTHENTICATE, question(f"guess-{number}"))
        clock.seconds += 1
        await gatekeeper.authenticate(AUTHENTICATE, question(f"{JOIN_TOKEN.id}.w.i"))
    assert [(line["user"], line["unlogged_before"]) for line in lines] == [
        ("guess-0", 0),
        (f"{JOIN_TOKEN.id}.w.i", 999),
    ]
    assert lines[0]["address"] == "192.0.2.1"
    assert "the secret is wrong" in lines[1]["reason"]
