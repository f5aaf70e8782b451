"""How often a password may be guessed."""

import ipaddress
from collections import OrderedDict

import structlog
from msgspec import Struct

from dpip.errors import TooManyRequests
from dpip.model.rate import MINUTE, Bound
from dpip.ports.clock import Clock
from dpip.ports.datastore import Logins

log = structlog.get_logger()

_OF_ACCOUNT_AND_ADDRESS = 10
_OF_ADDRESS = 100
_OF_ACCOUNT = 100
_MOST_WARNED_OF = 10_000
_BITS_OF_IPV6_SITE = 64


class Attempt(Struct, frozen=True):
    """A login that counts as failed until it succeeds: who, by which bounds, since when."""

    pair: str
    bounds: list[Bound]
    began_at: float


class LoginThrottle:
    """Bounds failed logins a minute: of an account from an address, and of each more widely.

    They are counted in the datastore, for all processes together. Once a bound is reached, the log
    says so, once a minute however many more are tried.

    From an address that has logged in to the account before, its own bound alone holds, so that
    guessing from elsewhere does not keep the owner out.
    """

    def __init__(self, logins: Logins, clock: Clock) -> None:
        self._logins = logins
        self._clock = clock
        self._warned_of: OrderedDict[str, float] = OrderedDict()
        """When the log last told of a bound."""

    async def begin(self, account: str, host: str) -> Attempt:
        """Count a login as failed until it succeeds. Raises ``TooManyRequests`` for one too many.

        Counted before the password is looked at, so that guesses side by side are bounded too.
        """
        now = self._clock.now()
        site = _site(host)
        pair = f"{site} {account}"
        whose = {
            f"logins of {pair}": ("of this account from this address", _OF_ACCOUNT_AND_ADDRESS)
        }
        if not await self._logins.knows_address(pair):
            whose[f"logins from {site}"] = ("from this address", _OF_ADDRESS)
            whose[f"logins to {account}"] = ("of this account from new addresses", _OF_ACCOUNT)
        bounds = [Bound(key, limit) for key, (_, limit) in whose.items()]
        waits = await self._logins.begin_login(bounds, now)
        if any(waits):
            wait, bound = max(zip(waits, bounds, strict=True), key=lambda each: each[0])
            what = f"failed logins {whose[bound.key][0]}"
            if self._is_news(bound.key, now):
                log.warning("logins are put off", after=what, account=account, address=host)
            raise TooManyRequests(what=what, limit=bound.limit, wait=wait)
        return Attempt(pair, bounds, now)

    async def succeeded(self, attempt: Attempt) -> None:
        """Take back what ``begin`` counted, and know the address from now on."""
        await self._logins.end_login(attempt.pair, attempt.bounds, attempt.began_at)

    def _is_news(self, key: str, now: float) -> bool:
        if abs(now - self._warned_of.get(key, -MINUTE)) < MINUTE:
            return False
        self._warned_of[key] = now
        self._warned_of.move_to_end(key)
        if len(self._warned_of) > _MOST_WARNED_OF:
            self._warned_of.popitem(last=False)
        return True


def _site(host: str) -> str:
    """The address or, in IPv6, the network of which a single site has every address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, _BITS_OF_IPV6_SITE), strict=False))
