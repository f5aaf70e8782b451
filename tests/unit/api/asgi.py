"""Requests to an application without a server."""

import json
from typing import Any

from fastapi import FastAPI
from starlette.types import Message


async def ask(
    app: FastAPI, method: str, path: str, *, query: str = "", token: str | None = None
) -> tuple[Any, dict[str, str]]:
    """Send a request without a body; return the JSON of the answer and its headers."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"authorization", f"Bearer {token}".encode())] if token else [],
    }
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return json.loads(sent[1]["body"]), headers
