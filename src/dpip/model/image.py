"""Images: what was uploaded and what came of it."""

from enum import StrEnum

from msgspec import Struct


class ImageKind(StrEnum):
    """Which side of the filter an image is on."""

    ORIGINAL = "original"
    FILTERED = "filtered"


class PictureFormat(StrEnum):
    """The formats that DPIP reads and writes; a filtered image keeps the format of its original."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"
    TIFF = "tiff"
    AVIF = "avif"

    @property
    def media_type(self) -> str:
        """The ``Content-Type`` of this format."""
        return f"image/{self.value}"

    @property
    def suffix(self) -> str:
        """The file name suffix of this format, with its dot."""
        return ".jpg" if self is PictureFormat.JPEG else f".{self.value}"


class PictureHeader(Struct, frozen=True, kw_only=True):
    """What the first bytes of a picture declare, before any pixel is touched.

    ``width`` and ``height`` are pixels of one frame as stored (before EXIF orientation),
    ``frames`` the number of frames or pages, ``bands`` the channels of a pixel, ``depth`` the bits
    of one channel.
    """

    format: PictureFormat
    width: int
    height: int
    frames: int = 1
    bands: int = 3
    depth: int = 8

    @property
    def pixels(self) -> int:
        """Pixels of all frames together."""
        return self.width * self.height * self.frames

    @property
    def samples(self) -> int:
        """Channels of all pixels."""
        return self.pixels * self.bands

    @property
    def decoded_bytes(self) -> int:
        """Bytes of all pixels once they are decoded."""
        return self.samples * -(-self.depth // 8)

    @property
    def has_colour(self) -> bool:
        """Whether a pixel is more than a shade of gray and its opacity."""
        return self.bands > 2

    @property
    def has_alpha(self) -> bool:
        """Whether a pixel has an opacity, as far as that can be told by the number of bands."""
        return self.bands in (2, 4)


class Image(Struct, frozen=True, kw_only=True):
    """A picture in the image store together with where it belongs.

    ``source_id`` is the original that a filtered image was made from. ``size`` is in bytes,
    ``sha256`` in hexadecimal digits. ``notes`` are codes of ``dpip.model.note``, of this or a newer
    version.
    """

    id: str
    workload_id: str
    workload_name: str
    owner_id: str
    kind: ImageKind
    header: PictureHeader
    size: int
    sha256: str
    created_at: float
    source_id: str | None = None
    notes: tuple[str, ...] = ()
