"""Wires the parts together: the one place where adapters meet ports.

Each part is a context manager that starts it on entry and stops it on exit. ``dpip up`` enters
them all in one process, every other command enters its own.
"""

from dpip.compose.connections import message_server_rules
from dpip.compose.joining import worker
from dpip.compose.maintenance import adopt_store, check_store, repair_store
from dpip.compose.storage import has_datastore, open_datastore, shown_database
from dpip.compose.system import Running, api, controller, default_workers, scheduler, up

__all__ = [
    "Running",
    "adopt_store",
    "api",
    "check_store",
    "controller",
    "default_workers",
    "has_datastore",
    "message_server_rules",
    "open_datastore",
    "repair_store",
    "scheduler",
    "shown_database",
    "up",
    "worker",
]
