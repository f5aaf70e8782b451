"""libvips, set up for a process that filters one untrusted picture after another."""

import os

# Parallelism comes from one process a slot; threads within a picture would only compete with it.
# libvips and the libraries under it read this once, when they are loaded.
os.environ["VIPS_CONCURRENCY"] = "1"

import pyvips

__all__ = ["pyvips"]

# No result is ever asked for twice, so a cache would only hold on to memory.
pyvips.cache_set_max(0)

# Hostile bytes reach the decoders of the six formats and no other code.
pyvips.operation_block_set("VipsForeignLoad", True)
for _name in ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif"):
    pyvips.operation_block_set(f"VipsForeignLoad{_name}", False)


def warm_up() -> None:
    """Do once what libvips and its libraries do on first use."""
    grey = pyvips.Image.black(16, 16)
    for suffix in (".png", ".jpg"):
        grey.gaussblur(1).write_to_buffer(suffix)
