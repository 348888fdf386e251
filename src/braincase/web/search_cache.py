"""An LRU cache of answered searches and their maps, bounded, and emptied of what was erased since.

A search with a stored case can be made again from its permalink, so few of those are kept; one with
an upload or a code cannot, and is kept as long as the upload. Maps show people as images do: they
are kept in memory only, and go with the upload, and whenever the gallery has changed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from braincase.answer.compose import Answer
from braincase.gallery import Gallery
from braincase.search.pipeline import FinishedSearch
from braincase.web import answer_schema, schema
from braincase.web.expiring_cache import ExpiringCache
from braincase.web.service_settings import MIB

#: Searches with stored cases, and their bytes: enough for the pages that are open.
MOST_LINKS, MOST_LINK_BYTES = 64, 32 * MIB
#: Searches with uploads or codes, and their bytes.
MOST_TOKENS, MOST_TOKEN_BYTES = 1000, 256 * MIB
#: Maps, and their bytes.
MOST_MAPS, MOST_MAP_BYTES = 200, 128 * MIB
#: Bytes in memory for each byte of the answer as JSON, measured with `tracemalloc`.
BYTES_PER_LETTER = 10


@dataclass(frozen=True, eq=False)
class AnsweredSearch:
    """A search with its answer: who asked for it, what was found, and `body`, which is sent."""

    request: schema.SearchRequest
    owner: str
    finished: FinishedSearch
    answer: Answer
    body: answer_schema.AnswerBody

    @property
    def upload(self) -> str | None:
        """The upload it was made with."""
        return self.request.upload

    def scan_ids(self) -> set[str]:
        """Return every case that the answer tells about."""
        body, request = self.body, self.request
        visits = (visit.scan_id for hit in body.hits for visit in hit.outcome)
        shown = (hit.scan_id for hit in (*body.hits, *body.same_subject))
        asked = (request.case,) if request.case else ()
        return {*shown, *visits, *asked, *request.plus, *request.minus}


@dataclass(frozen=True, eq=False)
class MapFile:
    """A map as a NIfTI file, and the upload that it was made with."""

    content: bytes
    upload: str | None


class SearchCache:
    """Answered searches by permalink or token, and maps by what they show; thread-safe."""

    def __init__(self, seconds: float) -> None:
        self._links = ExpiringCache(MOST_LINKS, seconds, MOST_LINK_BYTES, _size_of)
        self._tokens = ExpiringCache(MOST_TOKENS, seconds, MOST_TOKEN_BYTES, _size_of)
        self.maps = ExpiringCache[MapFile](MOST_MAPS, seconds, MOST_MAP_BYTES, _bytes_of_map)
        self._checked = -1
        self._lock = threading.Lock()

    def get(self, name: str, gallery: Gallery) -> AnsweredSearch | None:
        """Return a cached search, unless a case it tells about was erased since."""
        self._drop_erased(gallery)
        return self._links.get(name) or self._tokens.get(name)

    def put(self, name: str, search: AnsweredSearch) -> None:
        """Cache a search."""
        if search.body.gallery_version != self._checked:
            self._checked = -1  # a case may have been erased while this was searched
        (self._links if search.request.case is not None else self._tokens).put(name, search)

    def drop(self, name: str) -> None:
        """Evict a search."""
        self._links.drop(name)
        self._tokens.drop(name)

    def drop_upload(self, job: str) -> None:
        """Evict every search with an upload, and every map."""
        self._tokens.drop_where(lambda search: search.upload == job)
        self.maps.drop_where(lambda made: made.upload == job)

    def __len__(self) -> int:
        """Return how many searches are cached."""
        return len(self._links.values()) + len(self._tokens.values())

    def _drop_erased(self, gallery: Gallery) -> None:
        """Evict what tells about an erased case; looked for once for each version of the gallery.

        An erased case is in no version any more, also not in the one that was searched.
        """
        version = gallery.info().version
        with self._lock:
            if version == self._checked:
                return
            searched: dict[int, set[str]] = {}
            for search in self._all():
                searched.setdefault(search.body.gallery_version, set()).update(search.scan_ids())
            erased = {
                at: scan_ids - set(gallery.find(sorted(scan_ids), at))
                for at, scan_ids in searched.items()
            }
            for cache in (self._links, self._tokens):
                cache.drop_where(
                    lambda s: not erased.get(s.body.gallery_version, set()).isdisjoint(s.scan_ids())
                )
            self.maps.drop_where(lambda _: True)  # they are quickly made again
            self._checked = version

    def _all(self) -> Iterator[AnsweredSearch]:
        yield from self._links.values()
        yield from self._tokens.values()


def _bytes_of_map(made: MapFile) -> int:
    return len(made.content)


def _size_of(search: AnsweredSearch) -> int:
    """Estimate the bytes that a search takes in memory."""
    scan = search.finished.scan
    volume = scan.volume.nbytes if scan is not None else 0
    return BYTES_PER_LETTER * len(search.body.model_dump_json()) + volume
