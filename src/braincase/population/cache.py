"""Cache on disk of what a gallery teaches, computed once for each of its versions.

Calibrations and the distances between people cost hundreds of searches, and what is normal a pass
over hundreds of images. They lie in the cache folder of the gallery, in files named by everything
they depend on: the gallery's version and model, and the filter, weights and number of hits of the
search. Numbers and texts are JSON, arrays ``.npz``. Deleting the folder loses nothing.

Every learner takes `learned_at`: the version whose lesson holds for the version that is searched.
It is for a gallery that grows case by case while it is searched, where one case more changes
nothing that can be seen. None learns for each version.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from braincase.files import atomic_write, write_json
from braincase.gallery import Gallery, SearchResult, Weights
from braincase.json_values import Json, JsonObject, parse_json

#: What is cached as JSON: plain JSON values, which are the same after writing and reading.
Lesson = TypeVar("Lesson")
#: The record that a learner makes of it.
Told = TypeVar("Told")
#: What is cached as ``.npz``, by name.
Arrays = Mapping[str, NDArray[np.generic]]
#: Whoever learns the same thing at the same time waits for the first, instead of learning it too.
_LEARNING = tuple(threading.RLock() for _ in range(64))
#: Part of every name; raised when what is cached changes its meaning.
FORMAT = 3
#: Files that are cached; one is a few kilobytes, a normative model a few megabytes.
MOST_FILES = 200


def cached(
    gallery: Gallery,
    version: int,
    kind: str,
    depends_on: JsonObject,
    learn: Callable[[], Lesson],
    read: Callable[[Lesson], Told],
    learned_at: int | None = None,
) -> Told:
    """Return what a JSON value in the cache tells, or learn and cache it, where one may write.

    Parameters
    ----------
    gallery, version
        Of which it is true.
    kind
        What it is, a plain word.
    depends_on
        All else it depends on.
    learn
        Returns it, as plain JSON values.
    read
        Makes a record of it. Whatever it raises of a stored value that is not as `learn` makes it,
        the value is learned again.
    learned_at
        The version whose lesson holds; None for `version` itself.
    """
    learned_at = version if learned_at is None else learned_at
    path = gallery.cache_folder / f"{_file_name(gallery, learned_at, kind, depends_on)}.json"
    with _lock_of(path):
        # A damaged or another file is learned again: the gallery itself can tell it.
        with contextlib.suppress(Exception):
            told = read(parse_json(path.read_text(encoding="utf-8"))["learned"])
            _touch(path)
            return told
        lesson = learn()
        content = {"kind": kind, "version": learned_at, **depends_on, "learned": lesson}
        with contextlib.suppress(OSError):
            write_json(path, content, durable=False)
            _drop_older(path, learned_at)
        return read(lesson)


def cached_arrays(
    gallery: Gallery,
    version: int,
    kind: str,
    depends_on: JsonObject,
    learn: Callable[[], Arrays | None],
    read: Callable[[Arrays], Told],
    learned_at: int | None = None,
) -> Told | None:
    """Return what arrays in the cache tell, or learn and cache them, as `cached` does with JSON.

    `learn` returns None where the gallery has too little to teach; that is not cached, for a moved
    image may come back.
    """
    learned_at = version if learned_at is None else learned_at
    path = gallery.cache_folder / f"{_file_name(gallery, learned_at, kind, depends_on)}.npz"
    with _lock_of(path):
        stored = read_arrays(path)
        if stored is not None:
            with contextlib.suppress(Exception):
                told = read(stored)
                _touch(path)
                return told
        arrays = learn()
        if arrays is None:
            return None
        with contextlib.suppress(OSError):
            write_arrays(path, arrays)
            _drop_older(path, learned_at)
        return read(arrays)


def numbers(stored: Sequence[float] | None, count: int | None = None) -> NDArray[np.float64] | None:
    """Return stored numbers as a vector, None as None; an error if they are not so many."""
    if stored is None:
        return None
    vector = np.array(stored, np.float64)
    if vector.ndim != 1 or not vector.size or count not in (None, vector.size):
        raise ValueError(f"numbers of shape {vector.shape}")
    return vector


def read_arrays(path: Path) -> Arrays | None:
    """Read a whole ``.npz`` file; None if it is missing or damaged."""
    # NumPy parses headers as Python: a damaged one raises whatever its tokens lead to.
    with contextlib.suppress(Exception), open(path, "rb") as file, np.load(file) as archive:
        return {name: archive[name] for name in archive.files}
    return None


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write a whole ``.npz`` file, not compressed: it is read at every search."""
    with atomic_write(path, durable=False) as aside, open(aside, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def search_identity(result: SearchResult, weights: Weights | None) -> dict[str, Json]:
    """Return what a search's lessons depend on: its filter, and a hash of its weights."""
    return {"where": result.where.strip(), "weights": weights_digest(weights)}


def weights_digest(weights: Weights | None) -> str | None:
    """Return a hash of a search's weights; None without any."""
    return None if weights is None else sha256(np.asarray(weights, "<f8").tobytes()).hexdigest()


def _touch(path: Path) -> None:
    """Mark a file as used now, the last to be evicted; a cache that is only read stays as it is."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _evict(folder: Path) -> None:
    """Remove the least recently used files beyond `MOST_FILES`: everybody can ask new questions."""
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # another search has just removed it
                files.append((entry.stat().st_mtime_ns, entry.path))
    for _, file in sorted(files)[: max(len(files) - MOST_FILES, 0)]:
        Path(file).unlink(missing_ok=True)


def _lock_of(path: Path) -> threading.RLock:
    return _LEARNING[hash(path) % len(_LEARNING)]


def _file_name(gallery: Gallery, version: int, kind: str, depends_on: JsonObject) -> str:
    """Return a file name, without ending, that differs whenever an answer could differ."""
    content = {"format": FORMAT, "fingerprint": gallery.fingerprint, **depends_on}
    digest = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    # A gallery made anew in the same folder has the same versions at other times.
    changed = sha256(gallery.info(version).changed.encode()).hexdigest()
    return f"{kind}-{digest[:16]}-{changed[:8]}-v{version}"


def _drop_older(path: Path, version: int) -> None:
    """Remove what the same question had as answer in earlier versions of the gallery."""
    question = "-".join(path.name.split("-")[:2])
    for older in path.parent.glob(f"{question}-*-v*{path.suffix}"):
        number = older.stem.rpartition("-v")[2]
        if number.isdigit() and int(number) < version:
            older.unlink(missing_ok=True)
    _evict(path.parent)
