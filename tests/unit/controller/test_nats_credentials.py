"""What the claims of a credential say, as far as no server shows it at once."""

import base64
import json
from typing import Any

from dpip.controller.nats_credentials import Issuer, new_seed


def claims_of(credential: str) -> dict[str, Any]:
    content = base64.urlsafe_b64decode(credential.split(".")[1] + "==")
    claims: dict[str, Any] = json.loads(content)
    return claims


def test_the_right_to_answer_ends() -> None:
    """A request may be answered once, and within ten seconds."""
    issuer = Issuer(new_seed())
    credential = issuer.user(
        "key", account="A", name="w1", publish=["x"], subscribe=["y"], expires_at=None
    )
    assert claims_of(credential)["nats"]["resp"] == {"max": 1, "ttl": 10 * 10**9}
