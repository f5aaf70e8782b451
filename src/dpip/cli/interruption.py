"""How a command is interrupted: in order, whoever asks for it."""

import signal
from types import FrameType

_CLOSING = (signal.SIGHUP, signal.SIGTERM)


def interrupt_on_signals() -> None:
    """Have SIGTERM and SIGHUP raise ``KeyboardInterrupt`` as Ctrl-C does, but only once.

    A terminal that closes sends SIGHUP, and its shell sends another, which must not end the
    cleaning up. A signal that is ignored, as under nohup, stays so.
    """
    for number in (signal.SIGINT, *_CLOSING):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in _CLOSING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
