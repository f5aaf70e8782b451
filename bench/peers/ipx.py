"""ipx, from npm, which is sharp behind HTTP: one server, a libuv thread a core, nothing cached.

python bench/peers/ipx.py blur:sigma=3 PICTURES OUT
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from shared.environments import node_packages, program
from shared.http_fetch import fetch_all, free_ports, servers
from shared.peer import CORES, PNG_LEVEL, QUALITY, LeftOut, Pictures, Started, Steps, main

VERSION = "3.1.1"
SERVER = Path(__file__).with_name("shared") / "ipx_server.mjs"


@contextlib.contextmanager
def start() -> Iterator[Started]:
    home = node_packages("ipx", [f"ipx@{VERSION}"])
    node = program("node", "nodejs")
    ports = free_ports(CORES)
    commands = {port: [node, SERVER, home, str(port), str(PNG_LEVEL)] for port in ports}
    with servers(commands, UV_THREADPOOL_SIZE="2", NODE_ENV="production"):
        yield Started(
            f"ipx {VERSION} (sharp), {CORES} servers, file storage, sharp's cache off",
            lambda steps, pictures: _filter(ports, steps, pictures),
        )


def _filter(ports: list[int], steps: Steps, pictures: Pictures) -> None:
    names = [step["filter"] for step in steps]
    if len(set(names)) < len(names):
        raise LeftOut("it can apply each filter once")
    modifiers = []
    for step in steps:
        match step:
            case {"filter": "grayscale"}:
                modifiers.append("grayscale")
            case {"filter": "blur", "sigma": float(sigma)}:
                modifiers.append(f"blur_{sigma:g}")
            case {"filter": "sharpen", "sigma": float(sigma)}:
                modifiers.append(f"sharpen_{sigma:g}")
            case {"filter": "thumbnail", "size": int(side)} if step is steps[0]:
                modifiers.append(f"fit_inside,s_{side}x{side}")
            case other:
                raise LeftOut(f"it has no {other['filter']} at that place")

    def path_of(source: str) -> str:
        # A quality for a PNG would have sharp reduce its colours to a palette.
        quality = "" if source.lower().endswith(".png") else f",quality_{QUALITY}"
        return f"/{','.join(modifiers)}{quality}{quote(source)}"

    fetch_all(ports, path_of, pictures)


main(start)
