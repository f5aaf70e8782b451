"""A build of DPIP for tests, in which the fence can be taken down.

With this folder on ``PYTHONPATH`` and ``FENCING=off``, whoever names a job holds its lease,
whatever the attempt, the worker and the job's state. DPIP itself has no such switch.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

_FENCE = "dpip.controller.datastore.queries.fence"
_NO_FENCE = Path(__file__).with_name("no_fence.py")


class _WithoutFence:
    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_file_location(name, _NO_FENCE) if name == _FENCE else None


if os.environ.get("FENCING") == "off":
    sys.meta_path.insert(0, _WithoutFence)
