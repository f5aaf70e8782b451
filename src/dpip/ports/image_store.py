"""Where the bytes of images are kept."""

from collections.abc import AsyncIterator
from typing import BinaryIO, Protocol

from dpip.model.image import Image
from dpip.model.workload import Workload


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
        """Leave nothing behind. Does nothing to a file that was kept or discarded before."""
        ...


class ImageStore(Protocol):
    """Keeps each image under its workload's directory, originals apart from filtered ones.

    Every method raises ``StorageFull`` or ``StorageUnavailable`` when the medium fails.
    """

    async def stage(self) -> StagedFile:
        """Begin to take bytes in."""
        ...

    async def keep(self, staged: StagedFile, image: Image) -> None:
        """Make ``staged`` the bytes of ``image``: all or nothing, and durable on return."""
        ...

    def read(self, image: Image, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Iterate over ``length`` bytes of ``image`` from ``start``; by default over all.

        Raises ``ImageDamaged`` where the bytes are missing and, if all are read, before the last of
        them where they are not those that were kept.
        """
        ...

    async def remove_workload(self, workload: Workload) -> None:
        """Forget the bytes of all images of ``workload``."""
        ...

    async def remove(self, image: Image) -> None:
        """Forget the bytes of ``image``, if they are there."""
        ...
