"""The workload of one command on a server that others use too."""

from collections.abc import Iterator
from contextlib import contextmanager

from dpip.cli.output import say, say_each
from dpip.client import Client
from dpip.client.answers import Workload
from dpip.errors import ApiRefused, DpipError

_NOT_FOUND = 404


@contextmanager
def removed_at_the_end(client: Client, workload: Workload, server: str) -> Iterator[None]:
    """Remove ``workload`` from ``server`` at the end of the block, whatever ends it.

    What has not run yet is cancelled by that. A removal that fails is told with the way to do it.
    """
    try:
        yield
    except KeyboardInterrupt:
        say("Removing the workload from the server; Ctrl-C leaves it there.", aside=True)
        raise
    finally:
        try:
            client.remove_workload(workload.id)
        except (DpipError, KeyboardInterrupt) as error:
            if not (isinstance(error, ApiRefused) and error.status == _NOT_FOUND):
                reason = str(error) or "Interrupted while it was being removed."
                say_each(
                    f"Workload {workload.id} is still on the server: {reason}",
                    "To remove it: curl -X DELETE -H 'Authorization: Bearer TOKEN' "
                    f"{server.rstrip('/')}/workloads/{workload.id}",
                    aside=True,
                )
