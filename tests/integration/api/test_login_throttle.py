"""Guesses are bounded, and the owner of an account stays let in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dpip.api.login_throttle import Attempt, LoginThrottle
from dpip.controller.datastore import SqlDatastore
from dpip.controller.datastore.engines import open_engines
from dpip.errors import TooManyRequests
from tests.postgres import PostgresServer, postgres

__all__ = ["postgres"]

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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dpip.sqlite3"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
async def both(database_url: str, clock: FakeClock) -> AsyncIterator[list[LoginThrottle]]:
    """Those of two APIs on one database."""
    datastores = [await SqlDatastore.open(database_url) for _ in range(2)]
    yield [LoginThrottle(datastore, clock) for datastore in datastores]
    for datastore in datastores:
        await datastore.close()


@pytest.fixture
def logins(both: list[LoginThrottle]) -> LoginThrottle:
    return both[0]


async def guesses(logins: LoginThrottle, account: str, host: str, tries: int = 1000) -> int:
    """How many of so many tries get through."""
    let_through = 0
    with suppress(TooManyRequests):
        for _ in range(tries):
            await logins.begin(account, host)
            let_through += 1
    return let_through


async def guesses_from_elsewhere(logins: LoginThrottle) -> int:
    """How many of many tries at one account get through, ten from each address."""
    return sum([await guesses(logins, "ann", ELSEWHERE.format(n)) for n in range(15)])


async def log_in(logins: LoginThrottle) -> None:
    await logins.succeeded(await logins.begin("ann", HOME))


async def test_ten_a_minute_get_through(logins: LoginThrottle, clock: FakeClock) -> None:
    """And ten more once a minute has passed since the first ten."""
    for _ in range(10):
        await logins.begin("ann", HOME)
        clock.seconds += 1
    with pytest.raises(TooManyRequests) as refusal:
        await logins.begin("ann", HOME)
    assert refusal.value.retry_after == 51
    clock.seconds += 51
    assert await guesses(logins, "ann", HOME) == 1
    clock.seconds += 61
    assert await guesses(logins, "ann", HOME) == 10


async def test_guesses_side_by_side_are_bounded(both: list[LoginThrottle]) -> None:
    """A login counts from its beginning, and for all processes, before anybody knows its end."""
    tries = [logins.begin("ann", HOME) for logins in both * 15]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, Attempt) for each in outcomes) == 10
    assert sum(isinstance(each, TooManyRequests) for each in outcomes) == 20


async def test_logins_that_succeed_are_not_counted(logins: LoginThrottle) -> None:
    """A program may log in as often as it likes."""
    for _ in range(30):
        await log_in(logins)
    assert await guesses(logins, "ann", HOME) == 10


async def test_guessing_from_elsewhere_keeps_no_owner_out(both: list[LoginThrottle]) -> None:
    """Who has logged in from an address before goes on to, whatever others do, at any API."""
    await log_in(both[0])
    assert await guesses_from_elsewhere(both[0]) == 100
    for logins in both:
        await log_in(logins)


async def test_an_account_is_not_guessed_from_everywhere(
    logins: LoginThrottle, clock: FakeClock
) -> None:
    """All unknown addresses together have a bound, and other accounts their own."""
    assert await guesses_from_elsewhere(logins) == 100
    assert await guesses(logins, "bob", HOME) == 10
    clock.seconds += 61
    assert await guesses(logins, "ann", HOME) == 10


async def test_an_address_does_not_try_every_account(logins: LoginThrottle) -> None:
    """One password for all is bounded like many for one."""
    assert sum([await guesses(logins, f"user-{n}", HOME, 1) for n in range(150)]) == 100
    assert await guesses(logins, "user-1", ELSEWHERE.format(1)) == 10


async def test_a_network_is_one_address_in_ipv6(logins: LoginThrottle) -> None:
    """A single site has all of them."""
    assert sum([await guesses(logins, "ann", f"2001:db8:1:2::{n}") for n in range(1, 9)]) == 10
    assert await guesses(logins, "ann", "2001:db8:1:3::1") == 10


async def test_the_bound_that_was_reached_is_told(logins: LoginThrottle) -> None:
    """By its number and by what it is of."""
    told = r"at most {} failed logins {} a minute"
    await guesses(logins, "ann", HOME)
    with pytest.raises(TooManyRequests, match=told.format(10, "of this account from this address")):
        await logins.begin("ann", HOME)
    assert sum([await guesses(logins, f"user-{n}", HOME, 1) for n in range(100)]) == 90
    with pytest.raises(TooManyRequests, match=told.format(100, "from this address")):
        await logins.begin("bob", HOME)
    await guesses_from_elsewhere(logins)
    everywhere = told.format(100, "of this account from new addresses")
    with pytest.raises(TooManyRequests, match=everywhere):
        await logins.begin("ann", ELSEWHERE.format(99))


async def test_the_log_says_once_that_logins_are_put_off(
    logins: LoginThrottle, clock: FakeClock
) -> None:
    """Whose and from where, when it begins, and not with every guess."""
    with capture_logs() as lines:
        for _ in range(100):
            await guesses(logins, "ann", HOME)
    (line,) = lines
    assert (line["log_level"], line["account"], line["address"]) == ("warning", "ann", HOME)
    with capture_logs() as lines:
        clock.seconds += 61
        assert await guesses(logins, "ann", HOME) == 10
    assert len(lines) == 1
    with capture_logs() as lines:
        for number in range(100):
            await guesses(logins, f"user-{number}", HOME)
    assert len(lines) <= 10, "one for each account until the address has its own"


async def test_no_guess_stays_for_longer_than_it_counts(
    logins: LoginThrottle, clock: FakeClock, database_url: str
) -> None:
    """However many names and addresses there are; an address that is known stays for a while."""
    await log_in(logins)
    for number in range(30):
        await logins.begin(f"user-{number}", ELSEWHERE.format(number))
    clock.seconds += 300
    await log_in(logins)
    assert rows_of(database_url, "recent_events") == 1
    assert rows_of(database_url, "known_addresses") == 1


def rows_of(database_url: str, table: str) -> int:
    writer, reader = open_engines(database_url, readers=1)
    with writer.connect() as connection:
        count: int = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
    writer.dispose()
    reader.dispose()
    return count
