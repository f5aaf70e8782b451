"""What the API is told when it is made."""

from msgspec import Struct

from dpip.model.quota import QuotaLimits

_BYTES_OF_RAW_PIXEL = 8
"""Four bands of sixteen bits: no lossless format of a result needs more."""


class ApiSettings(Struct, frozen=True, kw_only=True):
    """``login_hours`` is how long a token is good, ``upload_bytes`` the size of one picture, and
    ``pixels``, ``channels`` and ``animation_bytes`` what its header may declare. ``pending_jobs``
    may wait, and ``incoming_bytes`` have come in and not be kept yet, before uploads are put off.
    """

    system_name: str
    login_hours: float
    upload_bytes: int
    pixels: int
    channels: int
    animation_bytes: int
    pending_jobs: int
    incoming_bytes: int
    quotas: QuotaLimits = QuotaLimits()

    @property
    def result_bytes(self) -> int:
        """Bytes of a filtered picture, which may compress worse than its original did."""
        return max(self.upload_bytes, self.pixels * _BYTES_OF_RAW_PIXEL)


class HttpLimits(Struct, frozen=True, kw_only=True):
    """What a client may send and how long it may take, as the settings of section ``http`` say."""

    header_seconds: float
    body_seconds: float
    request_seconds: float
    idle_seconds: float
    least_bytes_a_second: int
    header_bytes: int
    headers: int
    connections: int
    trusted_proxies: str
