"""The system calls that a child was denied, by name."""

import asyncio
import contextlib
import fcntl
import os
import select
import socket
from struct import Struct

import structlog

from dpip.worker.seccomp import denial_code
from dpip.worker.system_calls import described

log = structlog.get_logger()

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
"""SECCOMP_IOCTL_NOTIF_RECV and SECCOMP_IOCTL_NOTIF_SEND, see seccomp_unotify(2)."""
_NOTIFICATION = Struct("=QIIiIQ6Q")
_RESPONSE = Struct("=QqiI")
_MOST_ANSWERS = 64
"""A child that is taken over may go on asking, which must not keep the worker busy."""

_logged: set[int] = set()


class DeniedCalls:
    """Answers each system call that the filter of one child denies, with an error.

    Without it they fail by themselves, and nobody learns which they were.
    """

    def __init__(self) -> None:
        self._socket, self.socket_of_child = socket.socketpair()
        """The second is the child's, which sends the listener of its filter by it."""
        self._listener: int | None = None
        self._answers = 0
        self._seen: dict[int, None] = {}

    def listen(self) -> None:
        """Wait for the child, which has its end of the socket by now."""
        self.socket_of_child.close()
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._take_listener)

    def __str__(self) -> str:
        """Name them, in the order in which they were denied."""
        return ", ".join(described(number) for number in self._seen)

    def __bool__(self) -> bool:
        """Whether there were any."""
        return bool(self._seen)

    def close(self) -> None:
        """Listen no more. Whatever is denied from now on fails as missing in the kernel."""
        self._close_socket()
        self.socket_of_child.close()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            os.close(self._listener)
            self._listener = None

    def _take_listener(self) -> None:
        descriptors: list[int] = []
        with contextlib.suppress(OSError):
            _, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        self._close_socket()
        if descriptors:
            self._listener = descriptors[0]
            asyncio.get_running_loop().add_reader(self._listener, self._answer)

    def _close_socket(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    def _answer(self) -> None:
        assert self._listener is not None  # noqa: S101  # nosec B101 # for the type checker
        if self._answers == _MOST_ANSWERS or not _is_asked(self._listener):
            self.close()
            return
        self._answers += 1
        notification = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, notification)
            identity, _, _, number, *_ = _NOTIFICATION.unpack(notification)
            self._remember(number)
            answer = _RESPONSE.pack(identity, 0, -denial_code(number), 0)
            fcntl.ioctl(self._listener, _SEND, answer)
        except OSError:  # The thread that asked was killed meanwhile.
            return

    def _remember(self, number: int) -> None:
        self._seen[number] = None
        if number not in _logged:
            _logged.add(number)
            log.warning(
                "a child asked for a system call that it may not make", call=described(number)
            )


def _is_asked(listener: int) -> bool:
    """Whether a call waits. If none does, older kernels would wait for one for ever."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))
