"""The URL of a NATS server, or of several separated by commas."""

import re


def without_credentials(url: str) -> str:
    """``url`` as it may be shown: without user and password, in each server that it names."""
    return re.sub(r"//[^@/,]*@", "//", url)
