"""A dozen real photographs, in the wheel of scikit-image, the extra ``demo`` of this package.

Run as ``python -m dpip.cli.photographs`` it prints their paths, one a line.
"""

import importlib.util
import sys
from pathlib import Path

from dpip.errors import CannotStart, DpipError

# By the notes of skimage.data, each is under CC0 or in the public domain.
_NAMES = (
    "astronaut.png",  # public domain: NASA
    "brick.png",  # CC0: CC0Textures
    "camera.png",  # CC0: Lav Varshney
    "cell.png",  # CC0: David Root
    "chelsea.png",  # CC0: Stefan van der Walt
    "clock_motion.png",  # public domain: Stefan van der Walt
    "coffee.png",  # CC0: Rachel Michetti
    "grass.png",  # CC0: linolafett
    "gravel.png",  # CC0: CC0Textures
    "hubble_deep_field.jpg",  # public domain: NASA
    "retina.jpg",  # CC0: Mikael Häggström
    "rocket.jpg",  # public domain: SpaceX
)


def photographs() -> list[Path]:
    """Return their paths. Raises ``CannotStart`` where scikit-image is not installed."""
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise CannotStart(
            part="This without pictures of your own",
            reason="scikit-image, which has some photographs, is missing: pip install 'dpip[demo]'",
        )
    return [Path(package.origin).with_name("data") / name for name in _NAMES]


if __name__ == "__main__":
    try:
        print(*photographs(), sep="\n")
    except DpipError as error:
        sys.exit(str(error))
