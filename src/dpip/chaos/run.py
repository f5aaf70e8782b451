"""One run: a clean start, a workload under faults, a last look at everything, the verdict."""

import subprocess  # nosec B404 # runs our own programs alone
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from dpip.chaos import checker
from dpip.chaos.network import Network
from dpip.chaos.plan import Fault
from dpip.chaos.record import Record
from dpip.chaos.system import System, two_free_ports
from dpip.chaos.user import User
from dpip.errors import CannotStart

_PATIENCE = 120.0
_SWEPT_SECONDS = 15.0
_LOOK_AGAIN_SECONDS = 0.2


class Verdict(Struct, frozen=True, kw_only=True):
    """What the checker found; ``kept`` is whether the system has kept its promises.

    ``report`` is the checker's own words, as JSON.
    """

    kept: bool
    report: dict[str, object]


def run_chaos(
    directory: Path,
    pictures: Sequence[Path],
    faults: Sequence[Fault],
    *,
    filter: str,  # noqa: A002
    jobs: int,
    workers: int,
    settings: Mapping[str, str],
    on_progress: Callable[[int, int], None],
) -> Verdict:
    """Run ``jobs`` jobs on ``workers`` workers under ``faults``, with all files in ``directory``.

    ``on_progress`` is called with the jobs that have settled and the faults that were inflicted.
    Raises ``CannotStart`` if the system does not come up or its record cannot be judged.
    """
    ports = two_free_ports()
    record_file = directory / "record.jsonl"
    with Network(workers, ports) as network, Record(record_file) as record:
        system = System(directory, network, ports, settings)
        with system.running(workers):
            user = User(
                system.client(), pictures, record, filter=filter, jobs=jobs, patience=_PATIENCE
            )
            user.see_clean_run()
            threads = user.begin()
            threads += _inflict_when_due(system, user, faults, record, on_progress)
            user.wait_for(jobs)
            _join(threads, _PATIENCE)
        # What was acknowledged is still there after everything was stopped and started again.
        with system.running(workers):
            user.look_at_everything()
            record.write("end", files=_files_after_the_sweep(system, user.files))
    return _judge(record_file)


def _inflict_when_due(
    system: System,
    user: User,
    faults: Sequence[Fault],
    record: Record,
    on_progress: Callable[[int, int], None],
) -> list[threading.Thread]:
    """Inflict each fault as soon as it is due, whatever becomes of those before it."""
    threads = []
    for number, fault in enumerate(faults, start=1):
        user.wait_for(fault.after)
        if user.gave_up:
            break
        record.write("fault", **msgspec.structs.asdict(fault))
        thread = threading.Thread(target=system.inflict, args=(fault,), daemon=True)
        thread.start()
        threads.append(thread)
        on_progress(user.settled, number)
    return threads


def _join(threads: Sequence[threading.Thread], seconds: float) -> None:
    """Wait for all of them, but not for ever: in a system that stands still some never end."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _files_after_the_sweep(system: System, expected: int) -> int:
    """How many files there are, once those that nobody knows are swept away, or have not been."""
    give_up_at = time.monotonic() + _SWEPT_SECONDS
    while (files := system.files()) != expected and time.monotonic() < give_up_at:
        time.sleep(_LOOK_AGAIN_SECONDS)
    return files


def _judge(record_file: Path) -> Verdict:
    # In a process of its own, which has none of the system's code in it.
    checked = subprocess.run(  # noqa: S603  # nosec B603 # our own program
        [sys.executable, "-I", "-S", checker.__file__, str(record_file)],
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode not in (0, 1):
        raise CannotStart(part="The verdict", reason=checked.stderr.strip())
    report = msgspec.json.decode(checked.stdout, type=dict[str, object])
    return Verdict(kept=checked.returncode == 0, report=report)
