"""What DPIP uses of nats-py.

nats-py loads aiohttp wherever that is installed, for WebSockets, which DPIP does not speak. That is
a tenth of the time that a controller or a scheduler takes to start, so it is not found while this
module loads; nor would a thread find it that imports it in the same moment.
"""

import sys
from types import ModuleType
from typing import cast

_aiohttp = sys.modules.get("aiohttp")
sys.modules["aiohttp"] = cast("ModuleType", None)
try:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from nats import errors
finally:
    del sys.modules["aiohttp"]
    if _aiohttp is not None:
        sys.modules["aiohttp"] = _aiohttp

__all__ = ["Client", "Msg", "errors"]
