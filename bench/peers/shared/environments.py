"""Where peers are installed: environments of their own in the user's cache, kept for next time."""

import hashlib
import os
import shutil
import subprocess  # nosec B404 # runs pip, npm and the peers alone
import sys
from pathlib import Path

from shared.peer import LeftOut

_LAST_LINES = 3


def virtual_environment(name: str, requirements: list[str]) -> Path:
    """The ``bin`` of a virtual environment that has ``requirements``. Raises ``LeftOut``."""
    home = _home(name, requirements)
    if not (home / "installed").exists():
        shutil.rmtree(home, ignore_errors=True)
        _install([sys.executable, "-m", "venv", str(home)], cwd=home.parent)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements]
        _install(pip, cwd=home)
        (home / "installed").touch()
    return home / "bin"


def node_packages(name: str, packages: list[str]) -> Path:
    """A folder whose ``node_modules`` has ``packages``. Raises ``LeftOut``."""
    program("node", "nodejs")
    program("npm", "npm")
    home = _home(name, packages)
    if not (home / "installed").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        _install(
            ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(home), *packages], home
        )
        (home / "installed").touch()
    return home


def program(name: str, package: str) -> str:
    """The path of a program of the system. Raises ``LeftOut`` with the package that has it."""
    path = shutil.which(name)
    if path is None:
        raise LeftOut(f"there is no {name} here: apt-get install {package}")
    return path


def _home(name: str, contents: list[str]) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pinned = hashlib.sha256(" ".join(contents).encode()).hexdigest()[:8]
    home = cache / "dpip-bench" / f"{name}-{pinned}"
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LeftOut(f"{home.parent} cannot be made: {error.strerror}") from error
    return home


def _install(command: list[str], cwd: Path) -> None:
    ran = subprocess.run(  # nosec B603 # pip or npm
        command, cwd=cwd, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        said = " ".join(ran.stderr.strip().splitlines()[-_LAST_LINES:])
        raise LeftOut(f"{command[0]} cannot install it: {said}")
