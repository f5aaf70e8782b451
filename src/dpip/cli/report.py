"""What became of a batch, for people and for programs."""

from collections import Counter
from pathlib import Path

from dpip.cli.output import say, say_json
from dpip.cli.tables import PlainTable
from dpip.client.folder import Skipped
from dpip.client.report import Report
from dpip.client.targets import listed
from dpip.model.note import sentence_of

_MOST_SUFFIXES = 10


def print_report(report: Report, out: Path) -> None:
    """Print a line per worker, then what failed and why, then the sum."""
    if report.workers:
        figures = ("pictures", "ms a picture")
        workers = PlainTable("worker", *figures, figures=figures)
        for share in report.workers:
            workers.add(share.worker, share.pictures, f"{share.milliseconds:.1f}")
        workers.show()
        say()
    if report.failures:
        failures = PlainTable("failed", "code", "why")
        for failure in report.failures:
            failures.add(failure.source, failure.code, failure.reason)
        failures.show()
        say()
    for line in _lines_of_notes(report):
        say(line)
    speed = report.filtered / report.seconds
    say(
        f"{report.filtered} of {report.filtered + len(report.failures)} pictures are in "
        f"{out} after {report.seconds:.1f} s ({speed:.1f} pictures/s)."
    )


def print_json(report: Report, out: Path, skipped: Skipped) -> None:
    """Print all of it as one JSON object on one line."""
    document = {
        "filtered": report.filtered,
        "out": out,
        "seconds": round(report.seconds, 3),
        "workload_id": report.workload_id,
        "workers": report.workers,
        "failures": [
            {"picture": failure.source, "code": failure.code, "reason": failure.reason}
            for failure in report.failures
        ],
        "notes": [{"picture": noted.source, "notes": noted.notes} for noted in report.notes],
        "skipped": {
            "unsupported": dict(skipped.unsupported),
            "hidden": skipped.hidden,
            "special": skipped.special,
            "linked_folders": skipped.linked_folders,
            "unreadable_folders": [
                {"folder": each.folder, "reason": each.reason} for each in skipped.unreadable
            ],
        },
    }
    say_json(document)


def _lines_of_notes(report: Report) -> list[str]:
    """A line for each code: how many pictures, one of them, and what it means."""
    noted: dict[str, list[Path]] = {}
    for picture in report.notes:
        for code in picture.notes:
            noted.setdefault(code, []).append(picture.source)
    return [
        f"{code} ({_pictures(sources)}): {sentence_of(code)}"
        for code, sources in sorted(noted.items())
    ]


def _pictures(sources: list[Path]) -> str:
    if len(sources) == 1:
        return str(sources[0])
    return f"{len(sources)} pictures, such as {sources[0]}"


def lines_of_skipped(skipped: Skipped) -> list[str]:
    """What is not filtered of the folders: files by why and suffix, and folders by name."""
    unsupported = sum(skipped.unsupported.values())
    kinds = [
        f"{unsupported} unsupported ({_suffixes(skipped.unsupported)})" if unsupported else "",
        f"{skipped.hidden} hidden" if skipped.hidden else "",
        f"{skipped.special} pipes or devices" if skipped.special else "",
    ]
    count = unsupported + skipped.hidden + skipped.special
    lines = [f"{each.folder} cannot be read: {each.reason}." for each in skipped.unreadable]
    if count:
        files = "1 file" if count == 1 else f"{count} files"
        lines.append(f"Skipped {files}: {', '.join(filter(None, kinds))}.")
    if links := skipped.linked_folders:
        folders = "1 link to a folder" if len(links) == 1 else f"{len(links)} links to folders"
        lines.append(f"Skipped {folders}; name a link to include it: {listed(links)}.")
    return lines


def _suffixes(counts: Counter[str]) -> str:
    most = [
        f"{count} {suffix or 'without suffix'}"
        for suffix, count in counts.most_common(_MOST_SUFFIXES)
    ]
    more = len(counts) - len(most)
    return ", ".join([*most, f"{more} more suffixes"] if more else most)
