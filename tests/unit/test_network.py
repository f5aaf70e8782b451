"""Nothing listens beyond this machine in the clear unless that is said."""

from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from dpip.config import Settings
from dpip.errors import CannotStart
from dpip.network import check_exposure, tls_files

FILES: dict[str, Any] = {"tls_cert": Path("a"), "tls_key": Path("b"), "tls_ca": Path("c")}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_this_machine_may_talk_to_itself_in_the_clear(host: str) -> None:
    """No certificate is needed where nobody else listens in, and nothing is said."""
    with structlog.testing.capture_logs() as logs:
        check_exposure(Settings(host=host), "The API")
    assert logs == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "hub", "1"])
def test_beyond_it_encryption_is_asked_for(host: str) -> None:
    """With the ways out named; a certificate is one, saying so another that is warned about."""
    with pytest.raises(CannotStart, match=r"The API.*--tls-cert.*dpip certs.*--insecure"):
        check_exposure(Settings(host=host), "The API")
    with structlog.testing.capture_logs() as logs:
        check_exposure(Settings(host=host, **FILES), "The API")
        assert logs == []
        check_exposure(Settings(host=host, insecure=True), "The API")
    assert [log["log_level"] for log in logs] == ["warning"]


def test_the_files_of_tls_belong_together() -> None:
    """One without the others is refused; an authority alone is a client's."""
    assert tls_files(Settings(tls_ca=Path("c"))) is None
    for missing in FILES:
        some = {name: path for name, path in FILES.items() if name != missing}
        with pytest.raises(CannotStart, match="belong together"):
            tls_files(Settings(**some))
    files = tls_files(Settings(**FILES))
    assert files is not None
    assert (files.certificate, files.key, files.authority) == (Path("a"), Path("b"), Path("c"))
