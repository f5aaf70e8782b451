"""The child process of a slot: all it does is filter one picture after another.

It reads tasks on standard input and answers on what was its standard output when it started. It
ends when its standard input does. Run as ``python -m dpip.worker.child <directory> <socket>
<calls>``: the two in the directory are all in which it can open files. The socket, a descriptor,
takes the listener to system calls that are denied; the calls, separated by commas, are allowed
beyond the usual ones.
"""

import os
import socket
import sys
import time
from pathlib import Path
from typing import BinaryIO

from dpip.errors import InvalidValue
from dpip.filters.failures import CannotWrite, FilterError
from dpip.filters.picture import filter_picture
from dpip.filters.pipeline import decode_pipeline
from dpip.filters.rehearsal import rehearse
from dpip.model.job import Failure, FailureCode
from dpip.worker.child_confinement import confine
from dpip.worker.child_memory import return_free_memory
from dpip.worker.child_messages import (
    FILTERED,
    ORIGINAL,
    ORIGINALS,
    ROOM,
    Answer,
    Failed,
    Filtered,
    Ready,
    Task,
    Unwritten,
    framed,
    read_task,
)


def main() -> None:
    """Serve tasks until standard input ends."""
    directory, reports, allowed_calls = sys.argv[1:]
    tasks, answers = _take_over_pipes()
    # From here its paths lead on, though the way here may be closed to the user it becomes.
    os.chdir(directory)
    room = Path(ROOM)
    with socket.socket(fileno=int(reports)) as to_parent:
        # Before the rehearsal, which starts threads that would keep what this one gives up.
        confinement = confine(
            room,
            Path(ORIGINALS),
            allowed_calls=allowed_calls.split(","),
            reports=to_parent,
        )
    _send(
        answers,
        Ready(
            left_open=confinement.left_open,
            is_tight=confinement.is_tight,
            failures=rehearse(room),
        ),
    )
    while task := read_task(tasks):
        answer = _answer(task)
        return_free_memory()
        _send(answers, answer)


def _take_over_pipes() -> tuple[BinaryIO, BinaryIO]:
    # Whatever a C library prints goes to standard error and cannot be taken for an answer.
    tasks, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return tasks, answers


def _answer(task: Task) -> Filtered | Failed | Unwritten:
    begin, begin_of_cpu = time.perf_counter(), time.process_time()
    try:
        result = filter_picture(
            Path(ORIGINAL),
            Path(FILTERED),
            decode_pipeline(task.pipeline),
            task.format,
        )
    except CannotWrite as error:
        return Unwritten(reason=str(error))
    except FilterError as error:
        return Failed(failure=error.failure)
    except (InvalidValue, OSError) as error:
        return Failed(failure=Failure(code=FailureCode.FILTER_FAILED, reason=str(error)))
    return Filtered(
        milliseconds=(time.perf_counter() - begin) * 1000,
        cpu_milliseconds=(time.process_time() - begin_of_cpu) * 1000,
        header=result.header,
        notes=result.notes,
    )


def _send(answers: BinaryIO, answer: Answer) -> None:
    answers.write(framed(answer))


if __name__ == "__main__":
    main()
