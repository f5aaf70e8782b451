"""How often a password may be guessed."""

import ipaddress
from collections import OrderedDict

import structlog

from dpip.api.rate_limit import RateLimit
from dpip.errors import TooManyRequests
from dpip.ports.clock import Clock

log = structlog.get_logger()

_OF_ACCOUNT_AND_ADDRESS = 10
_OF_ADDRESS = 100
_OF_ACCOUNT = 100
_MOST_KNOWN = 10_000
_BITS_OF_IPV6_SITE = 64


class _Bound(RateLimit):
    """So many failed logins a minute, of ``whose``."""

    def __init__(self, limit: int, whose: str, clock: Clock) -> None:
        super().__init__(limit, clock)
        self.whose = whose
        self.warnings = RateLimit(1, clock)


class LoginThrottle:
    """Bounds failed logins a minute: of an account from an address, and of each more widely.

    Once a bound is reached, the log says so, once a minute however many more are tried.

    From an address that has logged in to the account before, its own bound alone holds, so that
    guessing from elsewhere does not keep the owner out.
    """

    def __init__(self, clock: Clock) -> None:
        self._of_pair = _Bound(_OF_ACCOUNT_AND_ADDRESS, "of this account from this address", clock)
        self._of_address = _Bound(_OF_ADDRESS, "from this address", clock)
        self._of_account = _Bound(_OF_ACCOUNT, "of this account from new addresses", clock)
        self._known: OrderedDict[str, None] = OrderedDict()

    def begin(self, account: str, host: str) -> None:
        """Count a login as failed until it succeeds. Raises ``TooManyRequests`` for one too many.

        Counted before the password is looked at, so that guesses side by side are bounded too.
        """
        bounds = self._bounds(account, host)
        bound, key = max(bounds, key=lambda each: each[0].wait(each[1]))
        if wait := bound.wait(key):
            what = f"failed logins {bound.whose}"
            if not bound.warnings.wait(key):
                bound.warnings.take(key)
                log.warning("logins are put off", after=what, account=account, address=host)
            raise TooManyRequests(what=what, limit=bound.limit, wait=wait)
        for bound, key in bounds:
            bound.take(key)

    def succeeded(self, account: str, host: str) -> None:
        """Take back what ``begin`` counted, and know the address from now on."""
        for bound, key in self._bounds(account, host):
            bound.give_back(key)
        pair = _pair(account, host)
        self._known[pair] = None
        self._known.move_to_end(pair)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def _bounds(self, account: str, host: str) -> list[tuple[_Bound, str]]:
        pair = _pair(account, host)
        if pair in self._known:
            return [(self._of_pair, pair)]
        return [
            (self._of_pair, pair),
            (self._of_address, _site(host)),
            (self._of_account, account),
        ]


def _pair(account: str, host: str) -> str:
    return f"{_site(host)} {account}"


def _site(host: str) -> str:
    """The address or, in IPv6, the network of which a single site has every address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    return str(ipaddress.ip_network((address, _BITS_OF_IPV6_SITE), strict=False))
