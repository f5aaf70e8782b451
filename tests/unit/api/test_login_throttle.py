"""Guesses are bounded, and the owner of an account stays let in."""

from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from dpip.api.login_throttle import LoginThrottle
from dpip.errors import TooManyRequests

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.{}"


class FakeClock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def logins(clock: FakeClock) -> LoginThrottle:
    return LoginThrottle(clock)


def guesses(logins: LoginThrottle, account: str, host: str, tries: int = 1000) -> int:
    """How many of so many tries get through."""
    let_through = 0
    with suppress(TooManyRequests):
        for _ in range(tries):
            logins.begin(account, host)
            let_through += 1
    return let_through


def test_ten_a_minute_get_through(logins: LoginThrottle, clock: FakeClock) -> None:
    """And ten more once a minute has passed since the first ten."""
    for _ in range(10):
        logins.begin("ann", HOME)
        clock.seconds += 1
    with pytest.raises(TooManyRequests) as refusal:
        logins.begin("ann", HOME)
    assert refusal.value.retry_after == 50
    clock.seconds += 50
    assert guesses(logins, "ann", HOME) == 1
    clock.seconds += 60
    assert guesses(logins, "ann", HOME) == 10


def test_guesses_side_by_side_are_bounded(logins: LoginThrottle) -> None:
    """A login counts from its beginning, before anybody knows how it ends."""
    assert guesses(logins, "ann", HOME) == 10


def test_logins_that_succeed_are_not_counted(logins: LoginThrottle) -> None:
    """A program may log in as often as it likes."""
    for _ in range(1000):
        logins.begin("ann", HOME)
        logins.succeeded("ann", HOME)
    assert guesses(logins, "ann", HOME) == 10


def test_guessing_from_elsewhere_keeps_no_owner_out(logins: LoginThrottle) -> None:
    """Who has logged in from an address before goes on to, whatever others do."""
    logins.begin("ann", HOME)
    logins.succeeded("ann", HOME)
    assert sum(guesses(logins, "ann", ELSEWHERE.format(n)) for n in range(50)) == 100
    logins.begin("ann", HOME)


def test_an_account_is_not_guessed_from_everywhere(logins: LoginThrottle, clock: FakeClock) -> None:
    """All unknown addresses together have a bound, and other accounts their own."""
    assert sum(guesses(logins, "ann", ELSEWHERE.format(n)) for n in range(50)) == 100
    assert guesses(logins, "bob", HOME) == 10
    clock.seconds += 60
    assert guesses(logins, "ann", HOME) == 10


def test_an_address_does_not_try_every_account(logins: LoginThrottle) -> None:
    """One password for all is bounded like many for one."""
    assert sum(guesses(logins, f"user-{n}", HOME, 1) for n in range(1000)) == 100
    assert guesses(logins, "user-1", ELSEWHERE.format(1)) == 10


def test_a_network_is_one_address_in_ipv6(logins: LoginThrottle) -> None:
    """A single site has all of them."""
    assert sum(guesses(logins, "ann", f"2001:db8:1:2::{n}") for n in range(1, 50)) == 10
    assert guesses(logins, "ann", "2001:db8:1:3::1") == 10


def test_the_bound_that_was_reached_is_told(logins: LoginThrottle) -> None:
    """By its number and by what it is of."""
    told = r"at most {} failed logins {} a minute"
    guesses(logins, "ann", HOME)
    with pytest.raises(TooManyRequests, match=told.format(10, "of this account from this address")):
        logins.begin("ann", HOME)
    assert sum(guesses(logins, f"user-{n}", HOME, 1) for n in range(200)) == 90
    with pytest.raises(TooManyRequests, match=told.format(100, "from this address")):
        logins.begin("bob", HOME)
    for n in range(20):
        guesses(logins, "ann", ELSEWHERE.format(n))
    everywhere = told.format(100, "of this account from new addresses")
    with pytest.raises(TooManyRequests, match=everywhere):
        logins.begin("ann", ELSEWHERE.format(99))


def test_the_log_says_once_that_logins_are_put_off(logins: LoginThrottle, clock: FakeClock) -> None:
    """Whose and from where, when it begins, and not with every guess."""
    with capture_logs() as lines:
        guesses(logins, "ann", HOME)
        for _ in range(100):
            guesses(logins, "ann", HOME)
    (line,) = lines
    assert (line["log_level"], line["account"], line["address"]) == ("warning", "ann", HOME)
    with capture_logs() as lines:
        clock.seconds += 60
        assert guesses(logins, "ann", HOME) == 10
    assert len(lines) == 1
    with capture_logs() as lines:
        for number in range(1000):
            guesses(logins, f"user-{number}", HOME)
    assert len(lines) <= 10, "one for each account until the address has its own"


def test_memory_is_bounded(logins: LoginThrottle, clock: FakeClock) -> None:
    """However many names and addresses there are."""
    for number in range(20_000):
        host = f"203.0.{number // 256}.{number % 256}"
        logins.begin(f"user-{number}", host)
        logins.succeeded(f"user-{number}", host)
        logins.begin(f"other-{number}", host)
    bounds = (logins._of_pair, logins._of_address, logins._of_account)
    assert max(len(bound._events) for bound in bounds) <= 10_000
    assert len(logins._known) <= 10_000
