"""A small real HTTP server that behaves as the API does, and misbehaves on demand."""

import base64
import contextlib
import email.parser
import email.policy
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

EXPLANATION: dict[str, Any] = {
    "workload_id": "w1",
    "state": "pending",
    "summary": "No worker can take it now.",
    "details": ["It is the next of its workload."],
    "remedy": "Have a worker with the tag fast join.",
    "retry_at": "2030-01-31T18:00:00Z",
    "obstacles": [{"worker": "ada", "reason": "has no tag fast"}],
}


class StubApi:
    """Filters a picture by reversing its bytes; one that starts with ``bad`` fails, with
    ``refuse`` is refused, with ``full`` finds no room,
    with ``cut`` breaks the connection off, and with ``film`` loses frames.

    ``script`` holds answers (status, headers, problem) that the next requests get in place of the
    real ones; the status 0 breaks the connection off.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.wanted: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.filenames: list[str] = []
        self.script: deque[tuple[int, dict[str, str], dict[str, Any]]] = deque()
        self.images: dict[str, bytes] = {}
        self.results: list[dict[str, Any]] = []
        self.settled = threading.Condition()
        self.hold_results = threading.Event()
        self.hold_results.set()
        self.truncate_downloads = 0
        self.workload_count = 0
        self.removed: list[str] = []
        """Ids of the workloads that were removed."""
        self.removed_through = 0
        self.token = "t0ken"
        self.words = "It is broken."
        self.workers = "w"

    def upload(self, form: dict[str, tuple[str | None, bytes]]) -> dict[str, Any]:
        filename, content = form["data"]
        with self.settled:
            image_id = f"i{len(self.images)}"
            self.images[image_id] = content
            self.filenames.append(filename or "")
            result: dict[str, Any] = {"position": len(self.results) + 1, "image_id": image_id}
            if content.startswith(b"bad"):
                result |= {"status": "failed", "code": "decode_failed", "reason": self.words}
            else:
                self.images[f"f-{image_id}"] = content[::-1]
                result |= {
                    "status": "done",
                    "filtered_image_id": f"f-{image_id}",
                    "worker": f"{self.workers}{len(self.results) % 2}",
                    "milliseconds": 2.0,
                }
                if content.startswith(b"film"):
                    result["notes"] = ["frames_dropped", "tea_spilled"]
            self.results.append(result)
            self.settled.notify_all()
        workload_id = form["workload_id"][1].decode()
        return {"workload_id": workload_id, "image_id": image_id, "type": "original"}

    def results_after(self, after: int, limit: int, wait: float) -> dict[str, Any]:
        with self.settled:
            self.settled.wait_for(
                lambda: self.hold_results.is_set() and len(self.results) > after, wait
            )
            page = self.results[after : after + limit] if self.hold_results.is_set() else []
        return {"results": page, "next": after + len(page)}


def _handler(api: StubApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._handle()

        def do_POST(self) -> None:
            self._handle()

        def do_DELETE(self) -> None:
            self._handle()

        def _handle(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            api.requests.append((self.command, url.path))
            if key := self.headers.get("Idempotency-Key"):
                api.keys.append(key)
            if api.script:
                status, headers, problem = api.script.popleft()
                if status == 0:
                    self.close_connection = True
                    return
                self._answer(status, json.dumps(problem).encode(), headers)
            elif url.path == "/login":
                self._login()
            elif self.headers.get("Authorization") != f"Bearer {api.token}":
                self._refuse(401, "unauthenticated", "This needs a valid token.")
            else:
                self._serve(url.path, parse_qs(url.query), body)

        def _login(self) -> None:
            given = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
            if given != "ädmin:pass:wörd":
                self._refuse(401, "wrong_password", "User name and password do not match.")
                return
            self._json(200, {"user": "ädmin", "token": api.token, "expires_at": "2030-01-01"})

        def _serve(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
            match self.command, path.strip("/").split("/"):
                case "DELETE", ["logout"]:
                    api.token = "another"
                    self._json(200, {"logout_message": "bye"})
                case "POST", ["workloads"]:
                    wanted = json.loads(body)
                    api.wanted.append(wanted)
                    if wanted["filter"] == "sepia":
                        self._refuse(422, "invalid_value", "filter cannot be 'sepia'.")
                        return
                    self._json(201, _workload(wanted["filter"]))
                case "GET", ["workloads"]:
                    ids = [f"w{number:03}" for number in range(api.workload_count, 0, -1)]
                    older = [each for each in ids if each < query.get("before", ["x"])[0]]
                    page = older[: int(query["limit"][0])]
                    answer = {"workloads": [_workload("blur", each) for each in page]}
                    more = len(older) > len(page)
                    self._json(200, answer | {"next": page[-1] if more else None})
                case "DELETE", ["workloads", workload_id]:
                    api.removed.append(workload_id)
                    self._json(200, {"workload_id": workload_id, "images": 0})
                case "DELETE", ["workloads", workload_id, "results"]:
                    api.removed_through = int(query["through"][0])
                    self._json(200, {"workload_id": workload_id, "images": 0})
                case "POST", ["images"]:
                    form = _form(self.headers["Content-Type"], body)
                    if form["data"][1].startswith(b"refuse"):
                        self._refuse(415, "unsupported_picture", "This is not a picture.")
                        return
                    if form["data"][1].startswith(b"full"):
                        self._refuse(507, "storage_full", "There is no space left to keep this.")
                        return
                    if form["data"][1].startswith(b"cut"):
                        self.close_connection = True
                        return
                    self._json(201, api.upload(form))
                case "GET", ["images", image_id] if image_id in api.images:
                    self._picture(api.images[image_id])
                case "GET", ["images", image_id, "explain"] if image_id in api.images:
                    self._json(200, EXPLANATION | {"image_id": image_id})
                case "GET", ["workloads", _, "results"]:
                    after, limit = int(query["after"][0]), int(query["limit"][0])
                    self._json(200, api.results_after(after, limit, float(query["wait"][0])))
                case _:
                    self._refuse(404, "not_found", f"There is no {path}.")

        def _picture(self, content: bytes) -> None:
            if not api.truncate_downloads:
                self._answer(200, content, {"Content-Type": "image/png"})
                return
            api.truncate_downloads -= 1
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:-1])

        def _json(self, status: int, answer: dict[str, Any]) -> None:
            self._answer(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def _refuse(self, status: int, code: str, detail: str) -> None:
            problem = {"code": code, "detail": detail, "status": status, "title": code}
            self._answer(status, json.dumps(problem).encode(), {})

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _workload(pipeline: str, workload_id: str = "w1") -> dict[str, Any]:
    return {
        "workload_id": workload_id,
        "workload_name": "frames",
        "filter": pipeline,
        "status": "scheduling",
        "running_jobs": 0,
        "filtered_images": [],
    }


def _form(content_type: str, body: bytes) -> dict[str, tuple[str | None, bytes]]:
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + body
    )
    return {
        str(part.get_param("name", header="content-disposition")): (
            part.get_filename(),
            part.get_payload(decode=True),  # type: ignore[misc]
        )
        for part in message.iter_parts()
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, api: StubApi) -> None:
        self._connections: list[socket.socket] = []
        super().__init__(("127.0.0.1", port), _handler(api))

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def server_close(self) -> None:
        super().server_close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # A client that goes away is no news.


@contextmanager
def serving(api: StubApi, port: int = 0) -> Iterator[str]:
    """Serve ``api``; gives its URL."""
    server = _Server(port, api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
