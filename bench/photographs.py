"""Print the paths of a dozen real photographs, one a line.

They lie in the wheel of scikit-image, the extra ``demo`` of this package.
"""

import importlib.util
import sys
from pathlib import Path

# By the notes of skimage.data, each is under CC0 or in the public domain.
PHOTOGRAPHS = (
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


def main() -> int:
    """Print the paths; the exit code is 1 where scikit-image is not installed."""
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        print(
            "scikit-image, which has the photographs, is missing: pip install dpip[demo]",
            file=sys.stderr,
        )
        return 1
    for name in PHOTOGRAPHS:
        print(Path(package.origin).with_name("data") / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
