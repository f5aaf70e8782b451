"""Where the bytes of images are kept."""

from collections.abc import AsyncIterator
from typing import BinaryIO, Protocol

from dpip.model.image import Image
from dpip.model.workload import Workload
from dpip.ports.datastore import Workloads


class StagedFile(Protocol):
    """Bytes on their way in: invisible until the store keeps them."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, in hexadecimal digits."""
        ...

    async def write(self, chunk: bytes) -> None:
        """Append ``chunk``. Raises ``StorageFull`` or ``StorageUnavailable``."""
        ...

    def open(self) -> BinaryIO:
        """Open the bytes written so far for reading."""
        ...

    async def discard(self) -> None:
        """Leave nothing behind of bytes that were not kept; let go of those that were.

        From here on kept bytes are safe from a sweep by their row alone. A second time does
        nothing.
        """
        ...


class ImageStore(Protocol):
    """Keeps each image under its workload's directory, originals apart from filtered ones.

    Every method raises ``StorageFull`` or ``StorageUnavailable`` when the medium fails.
    """

    async def stage(self) -> StagedFile:
        """Begin to take bytes in."""
        ...

    async def keep(self, staged: StagedFile, image: Image) -> None:
        """Make ``staged`` the bytes of ``image``: all or nothing, and durable on return.

        No sweep touches them before ``staged`` is discarded, or its process has ended.
        """
        ...

    def read(self, image: Image, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Iterate over ``length`` bytes of ``image`` from ``start``; by default over all.

        Raises ``ImageDamaged`` where the bytes are missing or not those that were kept: before the
        last of them if all are read, before the first if a part is.
        """
        ...

    async def remove_workload(self, workload: Workload) -> None:
        """Forget the bytes of all images of ``workload``."""
        ...

    async def remove(self, image: Image) -> None:
        """Forget the bytes of ``image``, if they are there."""
        ...

    async def sweep(self, workloads: Workloads) -> int:
        """Forget the bytes of images that ``workloads`` does not know; how many images that were.

        Those that some process has kept, and may be about to record, are left alone.
        """
        ...
