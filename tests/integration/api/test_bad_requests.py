"""Whatever is wrong with a request, the answer is a problem document with a stable code."""

import socket
from typing import Any

import pytest
import requests

from tests.hostile import GIF_FRAME, HOSTILE, gif
from tests.integration.api.system import SETTINGS, ApiSession, System, picture, wait_until

ID = "0" * 26


def check(answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["title"]
    assert document["detail"]
    assert document["type"]
    return document


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/logout"),
        ("GET", "/status"),
        ("GET", "/workloads"),
        ("POST", "/workloads"),
        ("GET", f"/workloads/{ID}"),
        ("GET", f"/workloads/{ID}/results"),
        ("GET", "/workloads?limit=nonsense"),
        ("POST", "/images"),
        ("GET", f"/images/{ID}"),
    ],
)
@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", "Basic YTpi", "Bearer \xff"])
def test_nothing_opens_without_a_token(
    system: System, method: str, path: str, authorization: str | None
) -> None:
    """Without a good token there is a 401 with its challenge, before anything else is looked at."""
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    answer = requests.request(
        method, system.url + path, headers=headers, data=b"{broken", timeout=60
    )
    check(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/workloads/", 404, "not_found"),
        ("GET", f"/workloads/{ID}", 404, "not_found"),
        ("GET", "/workloads/%00", 404, "not_found"),
        ("GET", "/workloads/..%2F..%2Fetc", 404, "not_found"),
        ("GET", f"/workloads/{ID}/results", 404, "not_found"),
        ("GET", f"/images/{ID}", 404, "not_found"),
        ("GET", "/images/%00%ff", 404, "not_found"),
        ("HEAD", "/status", 405, "method_not_allowed"),
        ("GET", "/login", 405, "method_not_allowed"),
        ("PUT", "/workloads", 405, "method_not_allowed"),
        ("DELETE", f"/images/{ID}", 405, "method_not_allowed"),
        ("POST", "/logout", 405, "method_not_allowed"),
        ("GET", "/workloads?limit=0", 422, "invalid_value"),
        ("GET", "/workloads?limit=201", 422, "invalid_value"),
        ("GET", "/workloads?limit=x", 422, "invalid_value"),
        ("GET", "/workloads?before=%00", 422, "invalid_value"),
        ("GET", f"/workloads/{ID}/results?wait=31", 422, "invalid_value"),
        ("GET", f"/workloads/{ID}/results?wait=nan", 422, "invalid_value"),
        ("GET", f"/workloads/{ID}/results?after=-1", 422, "invalid_value"),
        ("GET", f"/workloads/{ID}/results?after=99999999999999999999", 422, "invalid_value"),
    ],
)
def test_a_bad_address_is_refused(
    user: ApiSession, method: str, path: str, status: int, code: str
) -> None:
    """Unknown paths and objects, wrong methods and values out of range."""
    answer = user.request(method, path)
    if method == "HEAD":
        assert answer.status_code == status
        return
    document = check(answer, status, code)
    if status == 405:
        assert answer.headers["Allow"] == document["allowed"]
    if status == 422:
        assert document["field"] in {"limit", "before", "wait", "after"}


def test_a_wrong_method_is_told_all_right_ones(user: ApiSession) -> None:
    """Allow names every method of the path."""
    assert user.put("/workloads").headers["Allow"] == "GET, POST"
    assert user.put(f"/images/{ID}").headers["Allow"] == "GET, HEAD"


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("headers", "body", "status", "code", "field"),
    [
        (JSON, b"{", 400, "malformed_request", None),
        (JSON, b"\xff", 400, "malformed_request", None),
        (JSON, b'{"sigma": NaN}', 400, "malformed_request", None),
        (JSON, b'{"sigma": ' + 5000 * b"9" + b"}", 400, "malformed_request", None),
        (JSON, 50_000 * b"[", 400, "malformed_request", None),
        (JSON, b"[]", 422, "invalid_value", "body"),
        (JSON, b'"blur"', 422, "invalid_value", "body"),
        (JSON, b'{"filter": "sepia"}', 422, "invalid_value", "filter"),
        (JSON, b'{"filter": 3}', 422, "invalid_value", "filter"),
        (JSON, b'{"filter": "blur", "sigma": -1}', 422, "invalid_value", "sigma"),
        (JSON, b'{"filter": "blur", "sigma": []}', 422, "invalid_value", "sigma"),
        (JSON, b'{"filter": "blur", "colour": 1}', 422, "invalid_value", "colour"),
        (JSON, b'{"workload_name": ""}', 422, "invalid_value", "workload_name"),
        (JSON, b'{"workload_name": 7}', 422, "invalid_value", "workload_name"),
        (JSON, b'{"workload_name": "a\\nb"}', 422, "invalid_value", "workload_name"),
        (JSON, b'{"workload_name": "a\\u0000"}', 422, "invalid_value", "workload_name"),
        (JSON, b'{"workload_name": "%b"}' % (201 * b"x"), 422, "invalid_value", "workload_name"),
        (JSON, 70_000 * b" ", 413, "too_large", None),
        (FORM, b"filter=%ff", 400, "malformed_request", None),
        (FORM, b"filter=blur&filter=blur", 400, "malformed_request", None),
        (FORM, b"filter", 400, "malformed_request", None),
        (FORM, b"filter=sepia", 422, "invalid_value", "filter"),
        (FORM, b"colour=1", 422, "invalid_value", "colour"),
        (MULTIPART, b"nonsense", 400, "malformed_request", None),
        ({"Content-Type": "multipart/form-data"}, b"x", 400, "malformed_request", None),
        ({"Content-Type": "text/plain"}, b"blur", 415, "unsupported_media_type", None),
        ({"Content-Type": "\xff"}, b"blur", 415, "unsupported_media_type", None),
    ],
)
def test_a_bad_workload_is_refused(
    user: ApiSession,
    headers: dict[str, str],
    body: bytes,
    status: int,
    code: str,
    field: str | None,
) -> None:
    """The field, its value and what is allowed are named."""
    document = check(user.post("/workloads", headers=headers, data=body), status, code)
    if field:
        assert document["field"] == field
        assert document["allowed"]
    assert user.get("/workloads").json()["workloads"] == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 415, "unsupported_picture"),
        (b"no picture", 415, "unsupported_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported_picture"),
        (picture()[:20], 415, "unsupported_picture"),
        (b"%PDF-1.7", 415, "unsupported_picture"),
        (HOSTILE["heic"], 415, "unsupported_picture"),
        (picture(101, 100), 422, "invalid_value"),
        (HOSTILE["jpeg of many channels"], 422, "invalid_value"),
        (gif(50, 50, GIF_FRAME * 3 + b";"), 422, "invalid_value"),
        (bytes(SETTINGS.upload_bytes + 1), 413, "too_large"),
        (bytes(3 * SETTINGS.upload_bytes), 413, "too_large"),
    ],
    ids=[
        *("empty", "text", "svg", "cut off", "pdf", "heic"),
        *("pixels", "channels", "animation", "bytes", "many bytes"),
    ],
)
def test_a_bad_picture_is_refused_and_not_kept(
    system: System, user: ApiSession, content: bytes, status: int, code: str
) -> None:
    """What is no picture, or too much of one, leaves neither file nor job behind."""
    workload = user.create_workload()
    before = system.files()
    answer = user.post("/images", files={"data": content}, data={"workload_id": workload})
    check(answer, status, code)
    assert system.files() == before
    assert user.get(f"/workloads/{workload}").json()["counts"]["pending"] == 0


@pytest.mark.parametrize(
    ("fields", "files", "status", "code"),
    [
        ({}, {"data": b"x"}, 422, "invalid_value"),
        ({"workload_id": ID}, {"data": picture()}, 404, "not_found"),
        ({"workload_id": "\0"}, {"data": picture()}, 404, "not_found"),
        ({"workload_id": ID, "type": "raw"}, {"data": picture()}, 422, "invalid_value"),
        ({"workload_id": ID, "colour": "red"}, {"data": picture()}, 422, "invalid_value"),
        ({"workload_id": ID, "type": "filtered"}, {"data": picture()}, 403, "forbidden"),
        ({"workload_id": ID}, {"data": b"x", "file": b"y"}, 422, "invalid_value"),
        ({"workload_id": ID}, {"picture": b"x"}, 422, "invalid_value"),
        ({}, {"workload_id": (None, ID)}, 422, "invalid_value"),
    ],
)
def test_a_bad_upload_is_refused(
    system: System, user: ApiSession, fields: Any, files: Any, status: int, code: str
) -> None:
    """Missing, unknown and repeated fields, and workloads that are not there."""
    before = system.files()
    check(user.post("/images", data=fields, files=files), status, code)
    assert system.files() == before


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (JSON, b"{}", 415, "unsupported_media_type"),
        (FORM, b"workload_id=x", 415, "unsupported_media_type"),
        ({}, b"", 415, "unsupported_media_type"),
        ({"Content-Type": "multipart/form-data"}, b"--x--", 400, "malformed_request"),
        (MULTIPART, b"", 400, "malformed_request"),
        (MULTIPART, b"--y\r\n", 400, "malformed_request"),
        (MULTIPART, b"--x\r\nContent-Disposition: form-data\r\n", 400, "malformed_request"),
        (MULTIPART, b"--x--\r\n", 422, "invalid_value"),
    ],
)
def test_a_broken_body_is_refused(
    system: System, user: ApiSession, headers: Any, body: bytes, status: int, code: str
) -> None:
    """Another type, no boundary, or a form that ends too soon."""
    before = system.files()
    check(user.post("/images", headers=headers, data=body), status, code)
    assert system.files() == before


def test_an_announced_size_is_refused_before_the_body_is_sent(
    system: System, user: ApiSession
) -> None:
    """A client that asks first is told 413 without having sent a byte of the picture."""
    host, port = system.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = [
            "POST /images HTTP/1.1",
            "Host: x",
            f"Authorization: {user.headers['Authorization']!s}",
            "Content-Type: multipart/form-data; boundary=x",
            "Content-Length: 99999999999",
            "Expect: 100-continue",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_breaks_off_leaves_nothing(system: System, user: ApiSession) -> None:
    """Half of an upload is forgotten as soon as its connection is closed."""
    before = system.files()
    host, port = system.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = [
            "POST /images HTTP/1.1",
            "Host: x",
            f"Authorization: {user.headers['Authorization']!s}",
            "Content-Type: multipart/form-data; boundary=x",
            "Content-Length: 500000",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        part = b'--x\r\nContent-Disposition: form-data; name="data"; filename="x"\r\n\r\n'
        connection.sendall(part + bytes(200_000))
        wait_until(lambda: system.files() != before)
    wait_until(lambda: system.files() == before)
