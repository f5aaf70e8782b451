"""Commands run by a user who may read everything, so that Python is found, and write nothing."""

import os
import shutil

import pytest

_USER = "54321"
"""Has no entry in the list of users, as in a container that is run under a bare user id."""


def unprivileged() -> list[str]:
    """What stands before a command; skips the test where that cannot be."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("needs root, and setpriv, to become somebody else")
    reading = "-all,+dac_read_search"
    return [
        *(setpriv, "--reuid", _USER, "--regid", _USER, "--clear-groups"),
        *(f"--inh-caps={reading}", f"--ambient-caps={reading}", f"--bounding-set={reading}"),
    ]
