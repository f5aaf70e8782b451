"""Holds slow connections open on an API of this machine, and times GET /status beside them.

    DPIP_TOKEN=… python bench/slow_clients.py http://127.0.0.1:8080

A fifth of them each: says nothing, sends its headers byte by byte, sends its body byte by byte,
closes its half in the middle of a request, lets its connection lie after an answer. Prints the
quantiles of GET /status in ms before and meanwhile, and when the last connection was cut.
"""

import asyncio
import os
import sys
import time
from urllib.parse import urlsplit

import requests

CONNECTIONS = 500
REQUESTS = 500
GIVE_UP_SECONDS = 120


async def hold(kind: int, host: str, port: int, token: str) -> float:
    """Be slow until the connection is cut; return when that was."""
    reader, writer = await asyncio.open_connection(host, port, limit=1024)
    status = f"GET /status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    upload = b"POST /workloads HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    try:
        if kind == 0:
            await reader.read()
        elif kind == 1:
            await drip(writer, b"GET /status HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000)
        elif kind == 2:
            writer.write(upload)
            await drip(writer, b"x" * 60_000)
        elif kind == 3:
            writer.write(status[:-10])
            writer.write_eof()
            await reader.read()
        else:
            writer.write(status)
            await reader.read()
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return time.monotonic()


async def drip(writer: asyncio.StreamWriter, content: bytes) -> None:
    """Send a byte a second until the connection is cut."""
    for byte in content:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


def quantiles(session: requests.Session, url: str) -> str:
    """Time GET /status one after the other."""
    took = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        session.get(f"{url}/status", timeout=GIVE_UP_SECONDS).raise_for_status()
        took.append(1000 * (time.perf_counter() - began))
    took.sort()
    return " ".join(f"p{q} {took[REQUESTS * q // 100 - 1]:.1f}" for q in (50, 99, 100))


async def main(url: str, token: str) -> None:
    """Measure without, then with the slow connections."""
    where = urlsplit(url)
    if where.hostname not in ("127.0.0.1", "::1", "localhost"):
        sys.exit("This is for an API of this machine alone.")
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    print("alone        ", await asyncio.to_thread(quantiles, session, url))
    began = time.monotonic()
    slow = [
        asyncio.create_task(hold(number % 5, where.hostname, where.port or 80, token))
        for number in range(CONNECTIONS)
    ]
    await asyncio.sleep(2)
    print("beside slow  ", await asyncio.to_thread(quantiles, session, url))
    done, pending = await asyncio.wait(slow, timeout=GIVE_UP_SECONDS)
    last = max(task.result() for task in done) - began
    print(f"cut           {len(done)} of {CONNECTIONS}, the last after {last:.1f} s")
    for task in pending:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], os.environ["DPIP_TOKEN"]))
