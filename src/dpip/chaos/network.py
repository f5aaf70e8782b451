"""A network that can be cut: each worker reaches the servers through relays of its own."""

import asyncio
import contextlib
import threading
from functools import partial
from types import TracebackType
from typing import Self

_BLOCK = 1 << 16


class Cable:
    """The connections of one worker. What is sent while a direction is cut arrives when it heals.

    So does the end of a connection: to the other side a partition looks like silence.
    """

    def __init__(self) -> None:
        self._to_servers = asyncio.Event()
        self._to_worker = asyncio.Event()
        self.heal()

    def cut(self, *, to_servers: bool, to_worker: bool) -> None:
        """Let nothing through in the directions that are named."""
        if to_servers:
            self._to_servers.clear()
        if to_worker:
            self._to_worker.clear()

    def heal(self) -> None:
        """Let everything through again."""
        self._to_servers.set()
        self._to_worker.set()

    async def relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int
    ) -> None:
        """Carry one connection to ``port`` on 127.0.0.1, until one of its ends closes it."""
        with contextlib.suppress(OSError), contextlib.closing(writer):
            await self._to_servers.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(far_writer):
                directions = [
                    asyncio.create_task(_carry(reader, far_writer, self._to_servers)),
                    asyncio.create_task(_carry(far_reader, writer, self._to_worker)),
                ]
                try:
                    await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for direction in directions:
                        direction.cancel()
                    await asyncio.gather(*directions, return_exceptions=True)


class Network:
    """A cable for each worker, in a thread of its own.

    The servers listen on 127.0.0.1; worker 0 finds them on 127.0.0.2, worker 1 on 127.0.0.3 and so
    on, on the same ports (Linux has all of 127.0.0.0/8).
    """

    def __init__(self, workers: int, ports: tuple[int, ...]) -> None:
        self._ports = ports
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._cables = [Cable() for _ in range(workers)]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(_end_all_else(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def address(self, worker: int) -> str:
        """Where a worker finds the servers."""
        return f"127.0.0.{worker + 2}"

    def cut(self, worker: int, *, to_servers: bool, to_worker: bool) -> None:
        """Cut a worker off in the directions that are named."""
        cable = self._cables[worker]
        self._loop.call_soon_threadsafe(
            lambda: cable.cut(to_servers=to_servers, to_worker=to_worker)
        )

    def heal(self, worker: int) -> None:
        """Connect a worker again."""
        self._loop.call_soon_threadsafe(self._cables[worker].heal)

    async def _listen(self) -> None:
        for number, cable in enumerate(self._cables):
            for port in self._ports:
                relay = partial(cable.relay, port=port)
                await asyncio.start_server(relay, self.address(number), port)


async def _end_all_else() -> None:
    """Cancel every other task of the loop, and return when they have ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, open_way: asyncio.Event
) -> None:
    while block := await reader.read(_BLOCK):
        await open_way.wait()
        writer.write(block)
        await writer.drain()
    await open_way.wait()
