"""A line of the log for each request, and an answer to the errors that nobody expected."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dpip.api.errors import problem
from dpip.errors import DpipError
from dpip.model.ids import new_id

log = structlog.get_logger()


class RequestLog:
    """ASGI middleware: logs requests, and turns an unexpected exception into an incident.

    The client is told the incident's id and nothing else; the log has the traceback under it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        request = {"method": scope["method"], "path": scope["path"]}
        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            incident = new_id()
            log.exception("request failed unexpectedly", incident=incident, **request)
            if status is not None:
                raise  # The server breaks off an answer that has begun.
            await problem(DpipError(), incident=incident)(scope, receive, send_and_note)
        finally:
            milliseconds = round(1000 * (time.perf_counter() - began), 1)
            log.debug("request", status=status, milliseconds=milliseconds, **request)
