"""A child that strangers' bytes have taken over, in its real confinement."""

import subprocess
from typing import Any

import pytest

_PROGRAM = """
import ctypes, mmap, os, socket, sys, threading, time
from dpip.worker import child, seccomp

libc = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20

def wait():
    while True:
        time.sleep(60)

def attack(*_):
    exec(os.environ["PYTHON_ATTACK"], globals())

exec(os.environ.get("PYTHON_PRELUDE", ""), globals())
if "PYTHON_ATTACK" in os.environ:
    child.filter_picture = attack
child.main()
"""


def take_over_children(
    monkeypatch: pytest.MonkeyPatch, *, attack: str | None = None, prelude: str = ""
) -> None:
    """Have children run ``attack`` in place of filtering, and ``prelude`` before they start."""
    real = subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        return real([command[0], "-c", _PROGRAM, *command[3:]], **options)

    monkeypatch.setattr("dpip.worker.slot_process.Popen", start)
    monkeypatch.setenv("PYTHON_PRELUDE", prelude)  # Variables of libraries reach a child.
    if attack:
        monkeypatch.setenv("PYTHON_ATTACK", attack)
