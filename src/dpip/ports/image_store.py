"""Where the bytes of images are kept."""

from collections.abc import AsyncGenerator, Sequence
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

    async def sees_area(self, area: str) -> bool:
        """Whether some process of this one's user has made the staging area ``area``.

        That proves that it reaches the medium itself, and may write there.
        """
        ...

    async def adopt(self, area: str, name: str, limit: int) -> StagedFile:
        """Take over the bytes that such a process has staged as ``name``, ``limit`` at most.

        They are its no more. Raises ``NotFound`` where there are none, ``InvalidValue`` for what is
        no file, or is one that another name leads to, and ``TooLarge``; then nothing is left of it.
        """
        ...

    async def keep(self, staged: StagedFile, image: Image) -> None:
        """Make ``staged`` the bytes of ``image``: all or nothing, and durable on return.

        No sweep touches them before ``staged`` is discarded, or its process has ended. Raises
        ``NotFound`` if the workload is removed meanwhile.
        """
        ...

    def read(
        self, image: Image, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes]:
        """Iterate over ``length`` bytes of ``image`` from ``start``; by default over all.

        Raises ``ImageDamaged`` where the bytes are missing, of another number, or not those that
        were kept: before the first of them, but that those of a large image, all of which are read,
        may turn out to have changed only before the last.
        """
        ...

    async def describe(
        self, workload: Workload, owner: str | None, results: Sequence[Image] = ()
    ) -> None:
        """Keep what is needed to know ``workload`` of the user ``owner`` without a datastore.

        ``results`` are those that it has already.
        """
        ...

    async def undescribed(self) -> list[str]:
        """Ids of workloads with images of which that is not kept."""
        ...

    async def remove_workload(self, name: str, workload_id: str) -> None:
        """Forget the bytes of all images of a workload; more may come in meanwhile, or after.

        Those are to be removed by whoever is told that the workload is gone.
        """
        ...

    async def remove(self, image: Image) -> None:
        """Forget the bytes of ``image``, if they are there."""
        ...

    async def sweep(self, workloads: Workloads) -> int:
        """Move the bytes of images that ``workloads`` does not know aside; how many images.

        Those that some process has kept, and may be about to record, are left alone; and all of
        them, if they are so many that rows must have been lost. What was moved aside can be brought
        back for some days, and goes then.
        """
        ...
