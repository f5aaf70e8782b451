import re
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpip.errors import InvalidValue
from dpip.model.worker import check_worker_name
from dpip.wire import subjects

names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)

instances = st.from_regex(r"[a-z0-9]{1,26}", fullmatch=True)

OF_A_WORKER: list[Callable[[str, str], str]] = [
    partial(subjects.hello, "token"),
    subjects.heartbeat,
    subjects.goodbye,
    subjects.outcome,
    subjects.run,
    subjects.ping,
    subjects.rejoin,
    subjects.command,
]


def matches(pattern: str, subject: str) -> bool:
    """Whether a subscription to ``pattern`` hears ``subject``."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^.]+"), subject) is not None


@pytest.mark.parametrize("subject", OF_A_WORKER)
@given(name=names, instance=instances)
def test_a_subject_says_which_process_it_is_of(
    subject: Callable[[str, str], str], name: str, instance: str
) -> None:
    """The names that go in come out."""
    assert subjects.speaker_in(subject(name, instance)) == (name, instance)


def test_a_hello_says_by_which_token() -> None:
    """The server guards that, too."""
    assert subjects.join_token_in(subjects.hello("token", "w", "i")) == "token"


@given(name=st.text(max_size=70))
def test_a_name_cannot_change_the_shape_of_a_subject(name: str) -> None:
    """Whatever is let through as a name is exactly one token, without wildcards or spaces."""
    try:
        check_worker_name(name)
    except InvalidValue:
        return
    subject = subjects.heartbeat(name, "i")
    assert subject.count(".") == subjects.HEARTBEATS.count(".")
    assert not re.search(r"[\s*>]", subject)


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        (subjects.HELLOS, subjects.hello("token", "w", "i")),
        (subjects.HEARTBEATS, subjects.heartbeat("w", "i")),
        (subjects.GOODBYES, subjects.goodbye("w", "i")),
        (subjects.OUTCOMES, subjects.outcome("w", "i")),
        (subjects.ALL_SETTLED, subjects.settled("01hzzzzzzzzzzzzzzzzzzzzzzz")),
    ],
)
def test_who_subscribes_to_all_hears_each(pattern: str, subject: str) -> None:
    """The patterns with wildcards fit the subjects that are published on."""
    assert matches(pattern, subject)


def test_a_worker_says_and_hears_nothing_that_is_not_its_own() -> None:
    """All that it may do names it, and no wildcard reaches beyond its inbox."""
    said = subjects.said_by("token", "w", "i")
    heard = subjects.heard_by("w", "i")
    assert all(".w.i" in subject for subject in (*said, *heard))
    assert not any("*" in subject for subject in (*said, *heard))
    assert [subject for subject in heard if ">" in subject] == ["_INBOX.w.i.>"]
    assert not set(said) & set(heard)
