"""Throttling of failed logins: a growing delay for each pair of user name and client address.

Only failures count, and only against the pair: whoever guesses at a name from one address does not
lock its owner out at another, nor other people at the same address. All guesses of one address
together are bounded as well, for names that have not logged in from there before.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from limits import parse

#: Seconds of the first delay, and of the longest.
FIRST_DELAY_S, LONGEST_DELAY_S = 5.0, 300.0
#: Seconds without a failure after which a pair is forgotten.
FORGOTTEN_S = 3600.0
#: Pairs and addresses in memory; the oldest go first.
MOST_PAIRS = 10_000
#: Failures of one address, over all names, are this many times those of one name.
NAMES_PER_ADDRESS = 10


@dataclass(frozen=True)
class _Failures:
    """How often a pair failed, when last, and until when it must wait (`time.monotonic`)."""

    count: int = 0
    last: float = 0.0
    until: float = 0.0


class LoginThrottle:
    """Failed logins by (name, address), in memory; thread-safe."""

    def __init__(self, rate: str) -> None:
        """Take the free failures and their period from a rate such as ``10/minute``."""
        limit = parse(rate) if rate else None
        self._free = limit.amount if limit else 0
        self._period = float(limit.get_expiry()) if limit else 0.0
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._welcome: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, name: str, address: str) -> float:
        """Count a try as failed until `succeed`; return 0, or the seconds it must wait instead.

        It is counted before the password is checked, so that tries side by side count as well.
        """
        if not self._free:
            return 0.0
        now = time.monotonic()
        with self._lock:
            pairs = [((name, address), self._free)]
            if (name, address) not in self._welcome:
                pairs.append((("", address), self._free * NAMES_PER_ADDRESS))
            wait = max(self._seconds_left(pair, now) for pair, _ in pairs)
            if wait > 0:
                return wait
            for pair, free in pairs:
                self._count(pair, free, now)
            return 0.0

    def succeed(self, name: str, address: str) -> None:
        """Forget the failures of a pair, which has proven itself."""
        with self._lock:
            self._failures.pop((name, address), None)
            if ("", address) in self._failures:  # the try was counted as a failure
                of_all = self._failures["", address]
                self._failures["", address] = replace(of_all, count=max(of_all.count - 1, 0))
            self._welcome[name, address] = None
            self._welcome.move_to_end((name, address))
            while len(self._welcome) > MOST_PAIRS:
                self._welcome.popitem(last=False)

    def _seconds_left(self, pair: tuple[str, str], now: float) -> float:
        failures = self._failures.get(pair)
        return max(failures.until - now, 0.0) if failures else 0.0

    def _count(self, pair: tuple[str, str], free: int, now: float) -> None:
        before = self._failures.pop(pair, _Failures())
        # Within the free tries a quiet period is enough; once delayed, an hour.
        quiet = FORGOTTEN_S if before.count >= free else self._period
        count = 1 if now - before.last > quiet else before.count + 1
        delay = 0.0
        if count >= free:
            delay = min(FIRST_DELAY_S * 2.0 ** min(count - free, 20), LONGEST_DELAY_S)
        self._failures[pair] = _Failures(count, now, now + delay)
        while len(self._failures) > MOST_PAIRS:
            self._failures.popitem(last=False)
