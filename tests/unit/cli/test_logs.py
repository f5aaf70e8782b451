"""What is logged cannot steer a terminal, nor forge a line of the log."""

import subprocess
import sys

PROGRAM = r"""
import logging, structlog
from dpip.cli.logs import write_logs

write_logs("info")
hostile = "\x1b[31m\u202e\nforged"
log = structlog.get_logger()
log.info(hostile, reason=hostile, error=OSError(hostile), names=[hostile], **{hostile: 1})
logging.getLogger("library").warning("%s", hostile)
try:
    raise ValueError(hostile)
except ValueError:
    log.exception("failed")
    logging.getLogger("library").exception("failed")
"""


def test_a_log_is_plain() -> None:
    """Events, values, names and exceptions, of our own and of libraries."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert r"reason='\x1b[31m\u202e\nforged'" in ended.stderr or (
        r"reason=\x1b[31m\u202e\nforged" in ended.stderr
    )
    assert "WARNING:library:\\x1b[31m" in ended.stderr
    for unsafe in "\x1b\u202e":
        assert unsafe not in ended.stderr
    events = [line for line in ended.stderr.splitlines() if line.startswith("forged")]
    assert len(events) == 2, "only the tracebacks have lines of their own"
