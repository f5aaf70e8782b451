import errno
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from dpip.client import Client, batch, room, transport
from dpip.client.answers import Result, Workload
from dpip.client.batch import filter_in_workload, filter_pictures
from dpip.client.report import Progress
from dpip.client.targets import Picture
from dpip.errors import ApiRefused, NoSpaceLeft
from tests.unit.client.stub_api import StubApi


def make_pictures(folder: Path, contents: list[bytes]) -> list[Picture]:
    pictures = []
    for number, content in enumerate(contents):
        source = folder / "in" / f"{number:03}.png"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(content)
        pictures.append(Picture(source, folder / "out" / "sub" / source.name))
    return pictures


def test_every_picture_comes_back_under_its_own_name(client: Client, tmp_path: Path) -> None:
    """Whatever order they settle in, each target holds what came of its own source."""
    contents = [b"picture %d" % number for number in range(200)]
    pictures = make_pictures(tmp_path, contents)
    seen: list[Progress] = []
    report = filter_pictures(client, pictures, "blur", on_progress=seen.append)
    assert [picture.target.read_bytes() for picture in pictures] == [c[::-1] for c in contents]
    assert (report.filtered, report.failures) == (200, ())
    assert [(share.worker, share.pictures, share.milliseconds) for share in report.workers] == [
        ("w0", 100, 2.0),
        ("w1", 100, 2.0),
    ]
    assert seen[-1] == Progress(total=200, uploaded=200, filtered=200, finished=200, failed=0)


def test_uploads_and_downloads_overlap(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of many more pictures than may be in flight gets through."""
    monkeypatch.setattr(room, "MAX_PICTURES", 3)
    pictures = make_pictures(tmp_path, [b"x"] * 30)
    assert filter_pictures(client, pictures, "blur").filtered == 30


def test_results_are_removed_once_they_are_back(
    api: StubApi, client: Client, tmp_path: Path
) -> None:
    """Failed ones too, a few at a time; never one that is not back. By default all are kept."""
    pictures = make_pictures(tmp_path, [b"bad", *[b"fine"] * 39])
    removed: list[tuple[int, int]] = []
    has_removed = threading.Event()
    remove = client.remove_results

    def look_and_remove(workload_id: str, through: int) -> None:
        removed.append((through, len(list((tmp_path / "out/sub").glob("[!.]*")))))
        remove(workload_id, through)
        has_removed.set()

    download = client.download_result

    def download_last_after_a_removal(workload: Workload, result: Result, target: Path) -> None:
        if result.position == len(pictures):
            assert has_removed.wait(60)
        download(workload, result, target)

    client.remove_results = look_and_remove  # type: ignore[method-assign]
    client.download_result = download_last_after_a_removal  # type: ignore[method-assign]
    workload = client.create_workload("blur")
    report = filter_in_workload(client, workload, pictures, keep=False)
    assert report.filtered == 39
    assert 16 <= api.removed_through <= 40
    assert all(through - 1 <= back for through, back in removed)
    api.removed_through = 0
    filter_in_workload(client, workload, make_pictures(tmp_path / "kept", [b"x"] * 20))
    assert api.removed_through == 0


def test_bytes_on_their_way_are_bounded(api: StubApi, client: Client, tmp_path: Path) -> None:
    """A picture that is larger than the bound goes alone."""
    pictures = make_pictures(tmp_path, [b"x" * 100] * 8 + [b"y" * 1000] + [b"x" * 100] * 8)
    most = 0

    def look(progress: Progress) -> None:
        nonlocal most
        most = max(most, progress.uploaded - progress.finished)

    api.hold_results.clear()
    seen: list[Progress] = []

    def release_when_stuck(progress: Progress) -> None:
        look(progress)
        seen.append(progress)
        if seen[-5:].count(progress) == 5:
            api.hold_results.set()

    workload = client.create_workload("blur")
    report = filter_in_workload(
        client, workload, pictures, max_bytes=300, on_progress=release_when_stuck
    )
    assert report.filtered == 17
    assert most == 3


def test_a_full_disk_ends_the_batch(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All other pictures would fail as well; what is there stays."""

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(client, "download_result", full)
    with pytest.raises(NoSpaceLeft, match=str(tmp_path / "out")):
        filter_pictures(client, make_pictures(tmp_path, [b"x"] * 30), "blur")


def test_a_server_that_is_full_ends_the_batch(client: Client, tmp_path: Path) -> None:
    """Nothing waits for room that nobody makes."""
    workload = client.create_workload("blur")
    with pytest.raises(ApiRefused, match="no space left"):
        filter_in_workload(client, workload, make_pictures(tmp_path, [b"x", b"full"]))


def test_who_waits_is_told_of_a_picture_that_does(
    api: StubApi, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing has moved for a while, and again until something does."""
    monkeypatch.setattr(batch, "_QUIET_SECONDS", 0.0)
    api.hold_results.clear()
    told: list[str] = []

    def tell(image_id: str) -> None:
        told.append(image_id)
        if len(told) == 2:
            api.hold_results.set()

    workload = client.create_workload("blur")
    filter_in_workload(client, workload, make_pictures(tmp_path, [b"x"]), on_wait=tell)
    assert told[:2] == ["i0", "i0"]


def test_the_server_is_asked_no_more_once_every_result_is_known(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Downloads may still be under way; one of them here waits for the end of the questions."""
    download = client.download_result

    def download_after_the_questions(*arguments: Any) -> None:
        for thread in threading.enumerate():
            if thread.name == "follow":
                thread.join(30)
                assert not thread.is_alive()
        download(*arguments)

    monkeypatch.setattr(client, "download_result", download_after_the_questions)
    assert filter_pictures(client, make_pictures(tmp_path, [b"one"]), "blur").filtered == 1


def test_each_failure_is_told_and_holds_up_no_other(client: Client, tmp_path: Path) -> None:
    """Refused uploads, failed jobs, unreadable sources and targets are listed by source."""
    pictures = make_pictures(tmp_path, [b"fine", b"refuse", b"bad", b"fine", b"fine"])
    pictures[3].source.unlink()
    (tmp_path / "taken").touch()
    pictures[4] = Picture(pictures[4].source, tmp_path / "taken" / "x.png")
    report = filter_pictures(client, pictures, "blur")
    assert report.filtered == 1
    assert [(failure.source, failure.code) for failure in report.failures] == [
        (pictures[1].source, "unsupported_picture"),
        (pictures[2].source, "decode_failed"),
        (pictures[3].source, "file_error"),
        (pictures[4].source, "file_error"),
    ]
    assert report.failures[1].reason == "It is broken."
    assert report.failures[2].reason == f"{pictures[3].source}: No such file or directory"
    assert report.failures[3].reason == f"{tmp_path / 'taken'}: File exists"
    assert not list((tmp_path / "out/sub").glob(".*"))


def test_a_lost_upload_fails_its_picture_alone(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that breaks whenever a picture is sent costs that picture."""
    monkeypatch.setattr(transport, "_PATIENCE_SECONDS", 0.5)
    pictures = make_pictures(tmp_path, [b"one", b"cut", b"three"])
    report = filter_pictures(client, pictures, "blur")
    assert report.filtered == 2
    assert [(failure.source, failure.code) for failure in report.failures] == [
        (pictures[1].source, "api_unreachable")
    ]


def test_a_server_that_is_lost_fails_all_that_is_not_back(
    api: StubApi, client: Client, tmp_path: Path
) -> None:
    """Nobody waits for ever for a server that no longer knows the caller."""
    pictures = make_pictures(tmp_path, [b"one", b"two"])
    api.hold_results.clear()

    def forget(progress: Progress) -> None:
        if progress.uploaded == 2:
            api.token = "another"

    report = filter_pictures(client, pictures, "blur", on_progress=forget)
    assert [failure.code for failure in report.failures] == ["unauthenticated"] * 2


def test_a_batch_outlives_its_token(api: StubApi, url: str, tmp_path: Path) -> None:
    """Whoever has logged in by password does so again: a clock that jumps ends every token."""
    pictures = make_pictures(tmp_path, [b"one"] * 40)
    api.hold_results.clear()

    def expire(progress: Progress) -> None:
        if progress.uploaded == 40 and not progress.filtered:
            api.token = "another"
            api.hold_results.set()

    with Client(url) as client:
        client.login("ädmin", "pass:wörd")
        report = filter_pictures(client, pictures, "blur", on_progress=expire)
    assert report.filtered == 40
    assert api.requests.count(("POST", "/login")) == 2


def test_a_wrong_filter_is_refused_before_anything_is_sent(
    api: StubApi, client: Client, tmp_path: Path
) -> None:
    """The refusal of the workload is raised; no picture has left."""
    with pytest.raises(ApiRefused):
        filter_pictures(client, make_pictures(tmp_path, [b"one"]), "sepia")
    assert api.images == {}


def test_nothing_is_done_at_once(client: Client) -> None:
    """An empty batch ends with an empty report."""
    assert filter_pictures(client, [], "blur").filtered == 0


def test_an_interrupt_stops_the_batch(api: StubApi, client: Client, tmp_path: Path) -> None:
    """Ctrl-C is passed on at once, and no thread goes on sending."""
    pictures = make_pictures(tmp_path, [b"one"] * 20)
    api.hold_results.clear()

    def interrupt(progress: Progress) -> None:
        if progress.uploaded == 20:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        filter_pictures(client, pictures, "blur", on_progress=interrupt)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "transfer" in name]
