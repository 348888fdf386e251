"""Snapshot cache: the newest state of a record in memory, shared by the threads of a process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from braincase.errors import ParameterError
from braincase.gallery.record.connection import Database
from braincase.gallery.record.content import unreadable_note
from braincase.gallery.record.memory import Live, Memory, empty_memory, refresh
from braincase.gallery.record.place import copy_note
from braincase.gallery.record.reading import erased_note, newest_version
from braincase.gallery.record.selection import FilterCache, Selection, Snapshot, choose


class SnapshotCache:
    """A cache of the last snapshot, of what was live in it, and of the filters evaluated on it.

    It follows the record: whoever reads gets the newest version, whichever process wrote it.
    """

    def __init__(self, database: Database, n_dimensions: int, keep_codes: bool) -> None:
        self._database = database
        self._memory: Memory = empty_memory(n_dimensions, keep_codes)
        self._live: tuple[Memory, int, Live] | None = None
        self._snapshot: Snapshot | None = None
        self._filters = FilterCache()

    @contextmanager
    def reading(self) -> Iterator[tuple[sqlite3.Connection, Memory]]:
        """Yield the connection inside one read transaction, and memory brought up to its state."""
        with self._database.reading() as connection:
            self._memory = refresh(self._memory, connection, self._database.folder)
            yield connection, self._memory

    def snapshot(self, as_of: int | None = None) -> Snapshot:
        """Return a snapshot of one version; None is the newest.

        Raises
        ------
        ParameterError
            If there was no such version.
        """
        with self._database.lock:
            last = self._snapshot
            if last and self._is_newest(last.memory) and last.is_as_of(as_of):
                return last
        with self.reading() as (connection, memory):
            version = version_as_of(as_of, memory)
            notes = erased_note(connection, version) + unreadable_note(memory.bad, version)
            notes += copy_note(connection, self._database.folder)
            self._snapshot = Snapshot(memory, self.live(memory, version), version, notes)
            return self._snapshot

    def live(self, memory: Memory, version: int) -> Live:
        """Return what was live at a version; cached, since most searches ask for the same one."""
        if self._live is None or self._live[0] is not memory or self._live[1] != version:
            self._live = (memory, version, memory.live(version))
        return self._live[2]

    def select(
        self, snapshot: Snapshot, where: str, only_subject: str | None, without_subject: str | None
    ) -> Selection:
        """Return the cases a search looks at.

        Raises
        ------
        FilterError
            If the filter cannot be understood, names no column, or compares numbers with text.
        """
        with self._database.lock:
            passing = self._filters.passing(snapshot, where)
        return choose(snapshot, passing, only_subject, without_subject)

    def _is_newest(self, memory: Memory) -> bool:
        """Return whether memory is that of the newest version; one query, no transaction."""
        with self._database.querying() as connection:
            return newest_version(connection) == memory.version


def version_as_of(as_of: int | None, memory: Memory) -> int:
    """Return the version that `as_of` names.

    Raises
    ------
    ParameterError
        If there was no such version.
    """
    if as_of is None:
        return memory.version
    if not 0 <= as_of <= memory.version:
        raise ParameterError("as_of", f"version {as_of}", f"0 to {memory.version}, the newest")
    return as_of
