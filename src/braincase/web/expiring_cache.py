"""A few things kept in memory for a while, the least recently used given up first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ExpiringCache(Generic[T]):
    """At most `most` things, each for `seconds` after its last use; safe among threads."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._held: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> T | None:
        """Return a thing if it is still kept."""
        with self._lock:
            self._forget_old()
            found = self._held.pop(key, None)
            if found is None:
                return None
            self._held[key] = (time.monotonic(), found[1])
            return found[1]

    def put(self, key: str, thing: T) -> T:
        """Keep a thing, and return it."""
        with self._lock:
            self._held.pop(key, None)
            self._held[key] = (time.monotonic(), thing)
            self._forget_old()
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return thing

    def drop(self, key: str) -> None:
        """Give a thing up."""
        with self._lock:
            self._held.pop(key, None)

    def drop_where(self, wanted: Callable[[T], bool]) -> None:
        """Give up all things of a kind."""
        with self._lock:
            for key in [key for key, (_, thing) in self._held.items() if wanted(thing)]:
                del self._held[key]

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self._seconds
        while self._held and next(iter(self._held.values()))[0] < oldest:
            self._held.popitem(last=False)
