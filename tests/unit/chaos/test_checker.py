"""The checker, on records written by hand: each kind of wrong is found."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpip.chaos import checker

Event = dict[str, Any]


def settled(event: str, image: str, position: int, result: str | None, **more: object) -> Event:
    status = "done" if result else "failed"
    facts = {"image": image, "position": position, "status": status, "result": result}
    return {"event": event, "at": 2.0, **facts, **more}


def record() -> list[Event]:
    """Two pictures that came back as they should, after one fault."""
    return [
        {"event": "clean", "at": 0.5, "picture": "P", "result": "R"},
        {"event": "begin", "at": 1.0, "jobs": 2},
        {"event": "uploaded", "at": 1.1, "key": "job-0", "image": "a", "picture": "P"},
        {"event": "uploaded", "at": 1.2, "key": "job-1", "image": "b", "picture": "P"},
        {"event": "fault", "at": 1.3, "target": "worker", "kind": "kill"},
        settled("seen", "a", 1, "fa"),
        settled("seen", "b", 2, "fb"),
        settled("final", "a", 1, "fa"),
        settled("final", "b", 2, "fb"),
        {"event": "original", "at": 3.0, "image": "a", "sha256": "P"},
        {"event": "original", "at": 3.0, "image": "b", "sha256": "P"},
        {"event": "filtered", "at": 3.0, "image": "fa", "sha256": "R"},
        {"event": "filtered", "at": 3.0, "image": "fb", "sha256": "R"},
        {"event": "listed", "at": 3.0, "filtered": ["fa", "fb"]},
        {"event": "end", "at": 4.0, "files": 6},
    ]


def wrong(events: list[Event]) -> set[str]:
    return set(checker.judge(events)["wrong"])


def without(event: str, image: str) -> Callable[[list[Event]], None]:
    def change(events: list[Event]) -> None:
        events[:] = [e for e in events if (e["event"], e.get("image")) != (event, image)]

    return change


def with_facts(event: str, image: str | None, **facts: object) -> Callable[[list[Event]], None]:
    def change(events: list[Event]) -> None:
        next(e for e in events if (e["event"], e.get("image")) == (event, image)).update(facts)

    return change


def with_event(event: Event) -> Callable[[list[Event]], None]:
    def change(events: list[Event]) -> None:
        events.insert(-1, event)

    return change


def test_a_good_record_is_kept() -> None:
    """And counted."""
    verdict = checker.judge(record())
    assert verdict["wrong"] == {}
    assert (verdict["uploaded"], verdict["done"], verdict["seconds"]) == (2, 2, 4.0)
    assert verdict["faults"] == {"worker kill": 1}


def test_a_picture_that_was_tried_again_is_no_wrong() -> None:
    """It was seen failed, and its result later."""
    events = record()
    events.insert(5, settled("seen", "a", 1, None, code="worker_lost"))
    events.insert(6, {"event": "retried", "at": 2.0, "failed": 1})
    assert checker.judge(events)["wrong"] == {}
    assert checker.judge(events)["tried_again"] == 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (with_facts("final", "a", status="failed", result=None), "lost"),
        (with_facts("original", "a", sha256="X"), "lost"),
        (with_facts("original", "a", sha256=None), "lost"),
        (without("original", "a"), "lost"),
        (without("final", "a"), "stuck"),
        (with_facts("begin", None, jobs=3), "stuck"),
        (with_facts("filtered", "fa", sha256="X"), "different"),
        (without("filtered", "fa"), "different"),
        (with_event(settled("seen", "a", 3, "fa2")), "twice"),
        (with_event(settled("final", "a", 3, "fa")), "twice"),
        (with_facts("listed", None, filtered=["fa", "fb", "fb"]), "twice"),
        (with_event(settled("final", "c", 3, "fc")), "twice"),
        (with_facts("uploaded", "b", key="job-0"), "twice"),
        (with_facts("final", "a", result="other"), "vanished"),
        (with_facts("listed", None, filtered=["fa"]), "vanished"),
        (with_facts("end", None, files=7), "left_behind"),
        (with_facts("end", None, files=5), "left_behind"),
    ],
)
def test_what_is_wrong_is_found(change: Callable[[list[Event]], None], kind: str) -> None:
    """Each wrong by its name."""
    events = record()
    change(events)
    assert kind in wrong(events)


@pytest.mark.parametrize("missing", ["end", "uploaded", "clean"])
def test_half_a_record_is_not_judged(missing: str) -> None:
    """What proves nothing is no proof."""
    with pytest.raises(ValueError, match="not complete"):
        checker.judge(event for event in record() if event["event"] != missing)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("\n".join(json.dumps(event) for event in record()), 0),
        ("\n".join(json.dumps(event) for event in record()[1:]), 2),
        ("not JSON", 2),
    ],
)
def test_the_exit_code_is_the_verdict(tmp_path: Path, content: str, code: int) -> None:
    """Of a process that has nothing but the standard library."""
    file = tmp_path / "record.jsonl"
    file.write_text(content)
    command = [sys.executable, "-I", "-S", checker.__file__, str(file)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == code


def test_a_broken_promise_is_code_1(tmp_path: Path) -> None:
    """With what was found on standard output."""
    events = record()
    with_facts("filtered", "fa", sha256="X")(events)
    file = tmp_path / "record.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in events))
    command = [sys.executable, "-I", "-S", checker.__file__, str(file)]
    judged = subprocess.run(command, capture_output=True, check=False)
    assert judged.returncode == 1
    assert json.loads(judged.stdout)["wrong"] == {"different": ["a"]}
