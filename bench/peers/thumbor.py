"""thumbor, from PyPI: a server a core behind no proxy, files by its file loader, nothing cached.

python bench/peers/thumbor.py blur:sigma=3 PICTURES OUT
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from shared.environments import virtual_environment
from shared.http_fetch import fetch_all, free_ports, servers
from shared.peer import CORES, PNG_LEVEL, QUALITY, LeftOut, Pictures, Started, Steps, main

VERSION = "7.8.0"
REACH = 3
SETTINGS = f"""
LOADER = 'thumbor.loaders.file_loader'
FILE_LOADER_ROOT_PATH = '/'
STORAGE = 'thumbor.storages.no_storage'
QUALITY = {QUALITY}
PNG_COMPRESSION_LEVEL = {PNG_LEVEL}
PROGRESSIVE_JPEG = False
MAX_ID_LENGTH = 0
ALLOW_UNSAFE_URL = True
"""


@contextlib.contextmanager
def start() -> Iterator[Started]:
    programs = virtual_environment("thumbor", [f"thumbor=={VERSION}"])
    ports = free_ports(CORES)
    with tempfile.TemporaryDirectory(prefix="dpip-thumbor-") as folder:
        settings = Path(folder, "thumbor.conf")
        settings.write_text(SETTINGS)
        thumbor = [programs / "thumbor", "--ip", "127.0.0.1", "--conf", settings]
        with servers({port: [*thumbor, "--port", str(port)] for port in ports}):
            yield Started(
                f"thumbor {VERSION}, {CORES} servers with Pillow, file loader, no storage",
                lambda steps, pictures: _filter(ports, steps, pictures),
            )


def _filter(ports: list[int], steps: Steps, pictures: Pictures) -> None:
    size, filters = "", []
    for step in steps:
        match step:
            case {"filter": "grayscale"}:
                filters.append("grayscale()")
            case {"filter": "blur", "sigma": float(sigma)}:
                filters.append(f"blur({round(REACH * sigma)},{sigma:g})")
            case {"filter": "sharpen", "sigma": float(sigma), "amount": float(amount)}:
                filters.append(f"sharpen({amount:g},{sigma:g},false)")
            case {"filter": "thumbnail", "size": int(side)} if step is steps[0]:
                size = f"fit-in/{side}x{side}/"
            case other:
                raise LeftOut(f"it has no {other['filter']} at that place")
    chain = f"filters:{':'.join(filters)}/" if filters else ""
    fetch_all(ports, lambda source: f"/unsafe/{size}{chain}{quote(source.lstrip('/'))}", pictures)


main(start)
