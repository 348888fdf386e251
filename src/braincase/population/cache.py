"""What a gallery teaches about itself, computed once for each of its versions and kept beside it.

Calibrations and the distances between people cost hundreds of searches. They are kept in the folder
``learned`` of the gallery, in files named by everything they depend on: the gallery's version and
model, and the filter, weights and number of hits of the search. Deleting the folder loses nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from braincase.files import write_json
from braincase.gallery import Gallery, SearchResult, Weights

_SINCE: ContextVar[int | None] = ContextVar("since", default=None)
#: Whoever learns the same thing at the same time waits for the first, instead of learning it too.
_LEARNING = tuple(threading.RLock() for _ in range(64))
#: Part of every name; raised when what is kept changes its meaning.
FORMAT = 1
#: Files that are kept in the folder; one is a few kilobytes, a normative model a few megabytes.
MOST_FILES = 200


@contextmanager
def knowing_since(version: int | None) -> Iterator[None]:
    """Within the block, let what was learned at `version` hold for the version that is asked about.

    For a gallery that grows case by case while it is searched: one case more changes nothing that
    can be seen, and learning takes hundreds of searches. None learns for each version.
    """
    token = _SINCE.set(version)
    try:
        yield
    finally:
        _SINCE.reset(token)


def cached(
    gallery: Gallery,
    version: int,
    kind: str,
    asked: Mapping[str, Any],
    learn: Callable[[], Any],
) -> Any:
    """Return what was learned before, or learn it and keep it where the folder can be written.

    Parameters
    ----------
    gallery, version
        Of which it is true.
    kind
        What it is, a plain word.
    asked
        All else it depends on, plain JSON values.
    learn
        Returns it, as plain JSON values.
    """
    since = _SINCE.get()
    version = version if since is None else since
    path = gallery.cache_folder / f"{cache_name(gallery, version, kind, asked)}.json"
    with _LEARNING[hash(path) % len(_LEARNING)]:
        # A damaged file is learned again: it is a copy of what the gallery itself can tell.
        with contextlib.suppress(OSError, ValueError):
            learned = json.loads(path.read_text(encoding="utf-8"))["learned"]
            with contextlib.suppress(OSError):
                os.utime(path)  # used now: the last to be evicted
            return learned
        learned = learn()
        with contextlib.suppress(OSError):
            content = {"kind": kind, "version": version, **asked, "learned": learned}
            write_json(path, content, durable=False)
            drop_older(path, version)
        return learned


def cache_name(gallery: Gallery, version: int, kind: str, asked: Mapping[str, Any]) -> str:
    """Return a file name, without ending, that differs whenever an answer could differ."""
    told = {"format": FORMAT, "fingerprint": gallery.fingerprint, **asked}
    digest = sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    # A gallery made anew in the same folder has the same versions at other times.
    at = sha256(gallery.info(version).changed.encode()).hexdigest()
    return f"{kind}-{digest[:16]}-{at[:8]}-v{version}"


def drop_older(path: Path, version: int) -> None:
    """Remove what the same question had as answer in earlier versions of the gallery."""
    question = "-".join(path.name.split("-")[:2])
    for other in path.parent.glob(f"{question}-*-v*{path.suffix}"):
        number = other.stem.rpartition("-v")[2]
        if number.isdigit() and int(number) < version:
            other.unlink(missing_ok=True)
    evict(path.parent)


def evict(folder: Path) -> None:
    """Remove the least recently used files beyond `MOST_FILES`: everybody can ask new questions."""
    files = [(entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(folder)]
    for _, file in sorted(files)[: max(len(files) - MOST_FILES, 0)]:
        Path(file).unlink(missing_ok=True)


def search_of(result: SearchResult, weights: Weights | None) -> dict[str, Any]:
    """Return what a search's lessons depend on: its filter, and a hash of its weights."""
    name = None if weights is None else sha256(np.asarray(weights, "<f8").tobytes()).hexdigest()
    return {"where": result.where.strip(), "weights": name}
