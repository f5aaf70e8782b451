"""A whole measurement: every folder with every filter, all contenders started once."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from msgspec import Struct, structs

from dpip.bench.bare_loop import BareLoop
from dpip.bench.contest import (
    DPIP,
    Comparison,
    Contender,
    Contest,
    LeftOut,
    NothingToMeasure,
    compete,
)
from dpip.bench.limit import Limit
from dpip.bench.machine import Machine, this_machine
from dpip.bench.mixes import make_mix
from dpip.bench.peers import Peer, running_peers
from dpip.client.api_client import Client
from dpip.client.batch import filter_pictures
from dpip.client.folder import plan_batch
from dpip.client.targets import Picture
from dpip.compose import default_workers
from dpip.errors import DpipError

FILTERS = (
    "grayscale",
    "blur",
    "thumbnail:size=200",
    "thumbnail:size=640,grayscale,blur:sigma=1,sharpen",
)
"""The filters of the table in docs/performance.md."""


class Report(Struct, frozen=True, kw_only=True):
    """All that was measured in one run; ``left_out`` are peers that could not be started."""

    machine: Machine
    seconds: float
    comparisons: tuple[Comparison, ...]
    left_out: tuple[LeftOut, ...]


class ThroughDpip:
    """The contender that is measured: from folder to folder as ``dpip run`` does it."""

    name = DPIP
    how = "upload, scheduling, workers, download; as dpip run"

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workloads: list[str] = []

    def filter(self, pictures: Sequence[Picture], filter: str) -> float:  # noqa: A002
        """Filter every picture in a workload of its own."""
        report = filter_pictures(self._client, pictures, filter)
        self._workloads.append(report.workload_id)
        return report.seconds

    def clean_up(self) -> None:
        """Remove the workloads; not before all is measured, as it has the disk work."""
        for workload_id in self._workloads:
            with suppress(DpipError):  # What was measured is worth more than its traces.
                self._client.remove_workload(workload_id)


@contextmanager
def folders_of(
    folder: Path | None, mixes: Sequence[str], photographs: Sequence[Path]
) -> Iterator[dict[str, Path]]:
    """Give ``folder`` by its name, or the ``mixes``, made of ``photographs`` and removed after."""
    if folder is not None:
        yield {folder.name: folder}
        return
    with tempfile.TemporaryDirectory(prefix="dpip-mixes-") as home:
        folders = {mix: Path(home, mix) for mix in mixes}
        for mix, place in folders.items():
            place.mkdir()
            make_mix(mix, photographs, place)
        yield folders


def measure(
    folders: dict[str, Path],
    filters: Sequence[str],
    client: Client,
    *,
    rounds: int,
    with_peers: bool,
    say: Callable[[str], None],
) -> Report:
    """Have all contenders compete in every folder with every filter; ``say`` tells what goes on."""
    machine, begin = this_machine(), time.perf_counter()
    comparisons = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dpip-bench-")))
        limit = Limit(stack.enter_context(BareLoop(default_workers())), scratch)
        peers: list[Peer] = []
        left_out: list[LeftOut] = []
        if with_peers:
            peers, left_out = stack.enter_context(
                running_peers(lambda name: say(f"starting {name}"))
            )
        dpip = ThroughDpip(client)
        stack.callback(dpip.clean_up)
        contenders: list[Contender] = [limit, dpip, *peers]
        for mix, folder in folders.items():
            found = [picture.source for picture in plan_batch([folder], scratch).pictures]
            for filter in filters:  # noqa: A001
                say(f"{mix}, {filter}: choosing the limit's ways")
                unfit = frozenset(limit.unfit(found, filter))
                sources = [source for source in found if source not in unfit]
                if not sources:
                    raise NothingToMeasure(count=len(found), folder=folder, filter=filter)
                trials = tuple(limit.choose(sources, filter))
                contest = Contest(
                    mix=mix,
                    folder=folder,
                    filter=filter,
                    scratch=scratch,
                    rounds=rounds,
                    unfit=unfit,
                )
                comparison = compete(contest, contenders, _teller(contest, say))
                comparisons.append(structs.replace(comparison, trials=trials))
    return Report(
        machine=machine,
        seconds=time.perf_counter() - begin,
        comparisons=tuple(comparisons),
        left_out=tuple(left_out),
    )


def _teller(contest: Contest, say: Callable[[str], None]) -> Callable[[int, str], None]:
    def on_turn(number: int, name: str) -> None:
        which = f"round {number}" if number else "warming up"
        say(f"{contest.mix}, {contest.filter}: {which}, {name}")

    return on_turn
