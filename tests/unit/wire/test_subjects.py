import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpip.errors import InvalidValue
from dpip.model.worker import check_worker_name
from dpip.wire import subjects

names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)

OF_A_WORKER: list[Callable[[str], str]] = [
    subjects.heartbeat,
    subjects.goodbye,
    subjects.outcome,
    lambda name: subjects.run(name, "01hzzzzzzzzzzzzzzzzzzzzzzz"),
    lambda name: subjects.ping(name, "01hzzzzzzzzzzzzzzzzzzzzzzz"),
    lambda name: subjects.rejoin(name, "01hzzzzzzzzzzzzzzzzzzzzzzz"),
]


def matches(pattern: str, subject: str) -> bool:
    """Whether a subscription to ``pattern`` hears ``subject``."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^.]+"), subject) is not None


@pytest.mark.parametrize("subject", OF_A_WORKER)
@given(name=names)
def test_a_subject_says_which_worker_it_is_of(subject: Callable[[str], str], name: str) -> None:
    """The name that goes in comes out."""
    assert subjects.worker_in(subject(name)) == name


@given(name=st.text(max_size=70))
def test_a_name_cannot_change_the_shape_of_a_subject(name: str) -> None:
    """Whatever is let through as a name is exactly one token, without wildcards or spaces."""
    try:
        check_worker_name(name)
    except InvalidValue:
        return
    subject = subjects.heartbeat(name)
    assert subject.count(".") == subjects.HEARTBEATS.count(".")
    assert not re.search(r"[\s*>]", subject)


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        (subjects.HEARTBEATS, subjects.heartbeat("w")),
        (subjects.GOODBYES, subjects.goodbye("w")),
        (subjects.OUTCOMES, subjects.outcome("w")),
        (subjects.ALL_SETTLED, subjects.settled("01hzzzzzzzzzzzzzzzzzzzzzzz")),
        (subjects.WORKERS_HEAR[0], subjects.run("w", "01hzzzzzzzzzzzzzzzzzzzzzzz")),
        (subjects.WORKERS_HEAR[1], subjects.ping("w", "01hzzzzzzzzzzzzzzzzzzzzzzz")),
        (subjects.WORKERS_HEAR[2], subjects.rejoin("w", "01hzzzzzzzzzzzzzzzzzzzzzzz")),
    ],
)
def test_who_subscribes_to_all_hears_each(pattern: str, subject: str) -> None:
    """The patterns with wildcards fit the subjects that are published on."""
    assert matches(pattern, subject)


def test_workers_hear_nothing_that_workers_say() -> None:
    """What a worker may subscribe to is apart from where workers speak."""
    spoken = [subjects.heartbeat("w"), subjects.goodbye("w"), subjects.outcome("w"), subjects.HELLO]
    assert not [
        subject for subject in spoken for heard in subjects.WORKERS_HEAR if matches(heard, subject)
    ]
