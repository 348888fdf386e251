"""What every engine can do, and the door that finds the engine for a URL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from braincase.errors import FingerprintError, UsageError
from braincase.gallery.place import MilvusPlace, place_of
from braincase.gallery.records import (
    Change,
    Code,
    GalleryInfo,
    NewCase,
    StoredCase,
    Version,
    Weights,
)

if TYPE_CHECKING:
    from braincase.gallery.mirror import Synced


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest cases to a code: `distances` is Euclidean, shape (len(cases),), increasing.

    `n_cases` were in the gallery at `version`, `n_selected` passed the filter, and `n_searched` of
    these were left when the people to leave out were gone.
    """

    cases: tuple[StoredCase, ...]
    distances: NDArray[np.float64]
    version: int
    n_cases: int
    n_selected: int
    n_searched: int
    exact: bool = True
    notes: tuple[str, ...] = ()


class Gallery(Protocol):
    """A place that keeps cases and finds the nearest; an engine implements it.

    Every change is one transaction: when the call returns, it is on the disk; if it raises, nothing
    happened. `as_of` names an earlier version; None is the newest.
    """

    fingerprint: str

    def add(self, cases: Sequence[NewCase], fingerprint: str) -> Change:
        """Add new cases; one that is there already, the same, is left as it is."""
        ...

    def update(self, cases: Sequence[NewCase], fingerprint: str) -> Change:
        """Put cases in the place of those with the same scan_id; new ones are added."""
        ...

    def remove(self, scan_ids: Sequence[str], erase: bool = False) -> Change:
        """Take cases out; with `erase`, from the earlier versions and from the disk too."""
        ...

    def get(self, scan_id: str, as_of: int | None = None) -> StoredCase:
        """Return one case."""
        ...

    def person(
        self, subject: str, as_of: int | None = None, ever: bool = False
    ) -> tuple[StoredCase, ...]:
        """Return all scans of one person, or each state that any of them `ever` had."""
        ...

    def one_scan_each(
        self, most: int, seed: int = 0, as_of: int | None = None
    ) -> tuple[StoredCase, ...]:
        """Return one random scan of each of at most `most` random people."""
        ...

    def thumbnail(self, scan_id: str, as_of: int | None = None) -> bytes | None:
        """Return the small picture of a case, if it has one."""
        ...

    def find(self, scan_ids: Sequence[str], as_of: int | None = None) -> dict[str, StoredCase]:
        """Return those of the named cases that are there, by scan_id."""
        ...

    def nearest(
        self,
        code: Code,
        k: int,
        *,
        where: str = "",
        only_subject: str | None = None,
        without_subject: str | None = None,
        weights: Weights | None = None,
        as_of: int | None = None,
    ) -> Neighbours:
        """Return the k nearest cases that pass the filter and the condition on the person."""
        ...

    def closest_people(self, as_of: int | None = None) -> float:
        """Return the smallest distance between cases of different people, or infinity."""
        ...

    def info(self, as_of: int | None = None) -> GalleryInfo:
        """Return what the gallery holds."""
        ...

    def versions(self) -> tuple[Version, ...]:
        """Return the history, oldest first."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def open_gallery(url: str | Path, fingerprint: str | None = None) -> Gallery:
    """Open an existing gallery.

    Parameters
    ----------
    url
        A folder, ``sqlite:///folder``, or ``milvus://host:port/collection?record=folder``.
    fingerprint
        The model about to be used; None if none is.

    Raises
    ------
    GalleryError
        If there is none, or it is damaged.
    FingerprintError
        If it holds the codes of another model.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> create_gallery(folder, "my-model", resolution_mm=4).close()
    >>> gallery = open_gallery(folder, fingerprint="my-model")
    >>> gallery.info().cases
    0
    >>> gallery.close()
    """
    from braincase.gallery.embedded import EmbeddedGallery

    place = place_of(url)
    gallery: Gallery
    if isinstance(place, MilvusPlace):
        from braincase.gallery.milvus import MilvusGallery

        gallery = MilvusGallery(place)
    else:
        gallery = EmbeddedGallery(place)
    if fingerprint is not None:
        refuse_other_model(url, gallery.fingerprint, fingerprint)
    return gallery


def create_gallery(
    url: str | Path, fingerprint: str, resolution_mm: int, n_dimensions: int = 150
) -> Gallery:
    """Make an empty gallery for the codes of one model.

    Parameters
    ----------
    url
        A folder, ``sqlite:///folder``, or ``milvus://host:port/collection?record=folder``.
    fingerprint
        The model's.
    resolution_mm
        Voxel size of the standard volumes.
    n_dimensions
        Numbers in a code.

    Raises
    ------
    GalleryError
        If a gallery is there already, or the place cannot be written.
    """
    place = place_of(url)
    if isinstance(place, MilvusPlace):
        from braincase.gallery.milvus import create_milvus

        return create_milvus(place, fingerprint, resolution_mm, n_dimensions)
    from braincase.gallery.embedded import create_embedded

    return create_embedded(place, fingerprint, resolution_mm, n_dimensions)


def exists(url: str | Path) -> bool:
    """Return whether there is a gallery at `url`."""
    from braincase.gallery.database import FILE_NAME

    place = place_of(url)
    folder = place.record if isinstance(place, MilvusPlace) else place
    return (folder / FILE_NAME).is_file()


def sync_gallery(url: str | Path) -> Synced:
    """Make a distributed gallery's collection what its record says, whatever is there.

    A collection that is missing is made: so a gallery in a folder is spread to a server.

    Parameters
    ----------
    url
        ``milvus://host:port/collection?record=folder``; with ``&index=hnsw`` or ``&index=flat`` a
        collection of the other kind is made anew.

    Raises
    ------
    UsageError
        If the gallery is only a folder.
    GalleryError
        If there is no record, the server does not answer, or the collection is not this gallery's.
    """
    place = place_of(url)
    if not isinstance(place, MilvusPlace):
        raise UsageError(url, "a gallery in a folder has nothing to bring up", "a milvus:// URL")
    from braincase.gallery.milvus import sync_milvus

    return sync_milvus(place)


def refuse_other_model(where: str | Path, held: str, offered: str) -> None:
    """Stop before codes of two models meet.

    Raises
    ------
    FingerprintError
        If the fingerprints differ.
    """
    if held != offered:
        advice = "Codes of two models cannot be compared: use that model, or index with this one."
        raise FingerprintError(where, f"model {offered[:12]}", f"model {held[:12]}", advice)
