import json
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner, Result

from dpip.cli.explain import explain
from dpip.errors import ApiRefused
from tests.unit.client.stub_api import StubApi, serving

app = typer.Typer()
app.command()(explain)


@pytest.fixture
def url() -> Iterator[str]:
    api = StubApi()
    api.images["i0"] = b""
    with serving(api) as url:
        yield url


def dpip_explain(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"DPIP_TOKEN": "t0ken"})


def test_the_sentences_are_told_and_what_is_in_the_way(url: str) -> None:
    """The summary first, what to do last."""
    result = dpip_explain("i0", "--server", url)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "No worker can take it now.",
        "  It is the next of its workload.",
        "  Worker ada has no tag fast.",
        "What to do: Have a worker with the tag fast join.",
    ]


def test_json_is_one_object(url: str) -> None:
    """All facts, with times as in RFC 3339."""
    explanation = json.loads(dpip_explain("i0", "--server", url, "--json").stdout)
    assert explanation["image_id"] == "i0"
    assert explanation["retry_at"] == "2030-01-31T18:00:00Z"
    assert explanation["worker"] is None


def test_a_picture_that_is_not_there_is_an_error(url: str) -> None:
    """The server's sentence says so."""
    assert isinstance(dpip_explain("none", "--server", url).exception, ApiRefused)
