"""An LRU cache with expiry: the least recently used entry is evicted first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ExpiringCache(Generic[T]):
    """An LRU cache of at most `most` values, each for `seconds` after its last use; thread-safe.

    With `most_bytes` and `size_of`, the values are also bounded by their sizes together.
    """

    def __init__(
        self,
        most: int,
        seconds: float,
        most_bytes: int = 0,
        size_of: Callable[[T], int] | None = None,
    ) -> None:
        self._most, self._seconds = most, seconds
        self._most_bytes, self._size_of = most_bytes, size_of
        self._entries: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> T | None:
        """Return the value of a key if it is still cached."""
        with self._lock:
            self._evict_old()
            entry = self._entries.pop(key, None)
            if entry is None:
                return None
            self._entries[key] = (time.monotonic(), entry[1])
            return entry[1]

    def take(self, key: str) -> T | None:
        """Return the value of a key and evict it: of two who ask, one gets it."""
        with self._lock:
            self._evict_old()
            entry = self._entries.get(key)
            self._pop(key)
            return entry[1] if entry else None

    def put(self, key: str, value: T) -> T:
        """Cache a value, and return it."""
        size = self._size_of(value) if self._size_of else 0
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = (time.monotonic(), value)
            self._sizes[key] = size
            self._evict_old()
            while len(self._entries) > self._most or self._is_too_large():
                self._pop(next(iter(self._entries)))
        return value

    def values(self) -> list[T]:
        """Return all values, the least recently used first."""
        with self._lock:
            return [value for _, value in self._entries.values()]

    def drop(self, key: str) -> None:
        """Evict the value of a key."""
        with self._lock:
            self._pop(key)

    def drop_where(self, wanted: Callable[[T], bool]) -> None:
        """Evict every value of a kind."""
        with self._lock:
            for key in [key for key, (_, value) in self._entries.items() if wanted(value)]:
                self._pop(key)

    def _evict_old(self) -> None:
        oldest = time.monotonic() - self._seconds
        while self._entries and next(iter(self._entries.values()))[0] < oldest:
            self._pop(next(iter(self._entries)))

    def _pop(self, key: str) -> None:
        self._entries.pop(key, None)
        self._sizes.pop(key, None)

    def _is_too_large(self) -> bool:
        return 0 < self._most_bytes < sum(self._sizes.values())
