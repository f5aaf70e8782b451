"""The verdict over a record: nothing lost, nothing twice, nothing stuck, nothing different.

It knows nothing of the system: it imports none of its code and reads only what a user was told.
Run as ``python checker.py RECORD``; it prints the verdict as one JSON object. The exit code is 0 if
the system has kept its promises, 1 if it has not, and 2 for a record that cannot be judged.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Event = dict[str, Any]


def judge(events: Iterable[Event]) -> dict[str, Any]:
    """Return what was counted, and what was found wrong as lists of ids by kind of wrong.

    Raises ``ValueError`` for a record without an end, and one that proves nothing.
    """
    of_kind: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        of_kind[event["event"]].append(event)
    if not of_kind["end"] or not of_kind["uploaded"] or not of_kind["clean"]:
        raise ValueError("the record is not complete")
    clean = {event["picture"]: event["result"] for event in of_kind["clean"]}
    uploads = {event["image"]: event["picture"] for event in of_kind["uploaded"]}
    final = {event["image"]: event for event in of_kind["final"]}
    originals = {event["image"]: event["sha256"] for event in of_kind["original"]}
    filtered = {event["image"]: event["sha256"] for event in of_kind["filtered"]}
    done = {image for image, event in final.items() if event["status"] == "done"}
    wrong = {
        # Acknowledged, and not there as a result or not there as it was sent.
        "lost": [image for image in uploads if image in final and image not in done]
        + [image for image, sent in uploads.items() if originals.get(image) != sent],
        "twice": _twice(of_kind, uploads),
        "stuck": [image for image in uploads if image not in final]
        + ["an upload that was never acknowledged"] * (of_kind["begin"][-1]["jobs"] - len(uploads)),
        "different": [
            image
            for image in done & uploads.keys()
            if filtered.get(final[image]["result"]) != clean[uploads[image]]
        ],
        "vanished": _vanished(of_kind, final),
        "left_behind": _left_behind(of_kind["end"][-1], len(uploads), len(done), len(clean)),
    }
    return {
        "uploaded": len(uploads),
        "done": len(done),
        "tried_again": sum(event["failed"] for event in of_kind["retried"]),
        "faults": dict(Counter(f"{e['target']} {e['kind']}" for e in of_kind["fault"])),
        "seconds": of_kind["end"][-1]["at"],
        **{kind: len(found) for kind, found in wrong.items()},
        "wrong": {kind: found[:10] for kind, found in wrong.items() if found},
    }


def _twice(of_kind: dict[str, list[Event]], uploads: dict[str, str]) -> list[str]:
    """Originals with more than one result, uploads with more than one original."""
    results: defaultdict[str, set[str]] = defaultdict(set)
    for event in [*of_kind["seen"], *of_kind["final"]]:
        if event["status"] == "done":
            results[event["image"]].add(event["result"])
    keys = Counter(event["key"] for event in of_kind["uploaded"])
    listed = Counter(image for event in of_kind["listed"] for image in event["filtered"])
    positions = Counter(event["image"] for event in of_kind["final"])
    return [
        *(image for image, different in results.items() if len(different) > 1),
        *(image for image, times in positions.items() if times > 1),
        *(image for image, times in listed.items() if times > 1),
        *(key for key, times in keys.items() if times > 1),
        *(image for image in results if image not in uploads),
    ]


def _vanished(of_kind: dict[str, list[Event]], final: dict[str, Event]) -> list[str]:
    """Originals that were seen done with a result that is not theirs or not listed any more."""
    listed = {result for event in of_kind["listed"] for result in event["filtered"]}
    return [
        event["image"]
        for event in of_kind["seen"]
        if event["status"] == "done"
        and (
            final.get(event["image"], {}).get("result") != event["result"]
            or event["result"] not in listed
        )
    ]


def _left_behind(end: Event, uploads: int, done: int, clean: int) -> list[str]:
    """Files that belong to nothing that a user can see."""
    surplus = end["files"] - (uploads + done + 2 * clean)
    return [f"{surplus} files"] if surplus else []


def main(path: str) -> int:
    """Judge the record in the file ``path``."""
    try:
        with Path(path).open(encoding="utf-8") as lines:
            verdict = judge(json.loads(line) for line in lines)
    except (OSError, ValueError, KeyError) as error:
        print(f"{path} cannot be judged: {error!r}", file=sys.stderr)
        return 2
    print(json.dumps(verdict))
    return 1 if verdict["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
