"""DPIP: distributed and parallel image processing.

``dpip.Client`` is the SDK; everything else is the system itself.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpip.client import Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> object:
    # Imported on first use: the system's own processes start without the SDK's HTTP client.
    if name == "Client":
        from dpip.client import Client

        return Client
    raise AttributeError(name)
