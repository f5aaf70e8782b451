"""What a person would type for a folder: one program, several pictures at a time."""

import subprocess  # nosec B404 # runs the image programs of the system alone
from collections.abc import Sequence

from shared.environments import program
from shared.peer import CORES

A_CALL = 8
"""Pictures for one call of a program that takes several."""


def xargs(command: Sequence[str], lines: Sequence[str], at_once: int, **options) -> None:
    """Run ``command`` with ``at_once`` of ``lines`` as its last arguments, a process a core."""
    subprocess.run(  # nosec B603 # a program of the system
        [
            program("xargs", "findutils"),
            "--null",
            f"--max-procs={CORES}",
            f"--max-args={at_once}",
            *command,
        ],
        input="\0".join(lines),
        text=True,
        check=False,
        **options,
    )


def version_of(command: Sequence[str]) -> str:
    """The first words that a program says of its version."""
    said = subprocess.run(  # nosec B603 # a program of the system
        command, capture_output=True, text=True, check=False
    ).stdout
    return " ".join(said.split()[:3])
