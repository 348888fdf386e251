"""Cases of a gallery and its versions: what goes in, what is stored, and what a change did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import UsageError
from braincase.json_values import Json, to_json_object
from braincase.labels import TRUE_SEVERITY, Value

Code = NDArray[np.float32]


@dataclass(frozen=True)
class NewCase:
    """One scan on its way into a gallery.

    Parameters
    ----------
    scan_id
        The identity of the scan, ``sub-X`` or ``sub-X_ses-Y``; one live case a scan.
    subject
        The person.
    code
        The model's code, shape (n_dimensions,), finite.
    session
        The visit, or None.
    labels
        What filters and tables see: diagnosis, age, sex, ...
    cohort, image
        Folder of the prepared cohort, and the standard volume's path relative to it.
    image_hash
        Hash of the standard volume; tells a repeated add from a changed scan, and finds duplicates.
    thumbnail
        A small picture, as `braincase.images.planes.thumbnail_of` makes it.
    view, view_hash
        The view volume's path relative to the cohort, and SHA-256 of its voxels, where it has one.
    """

    scan_id: str
    subject: str
    code: ArrayLike
    session: str | None = None
    labels: Mapping[str, Value] = field(default_factory=dict)
    cohort: str | Path | None = None
    image: str | None = None
    image_hash: str | None = None
    thumbnail: bytes | None = None
    view: str | None = None
    view_hash: str | None = None


@dataclass(frozen=True, eq=False)
class StoredCase:
    """One case as the gallery holds it.

    `code` has shape (n_dimensions,); `image` is the standard volume's absolute path, which may have
    moved since; `since` is the gallery version that brought this state of the case. `cohort` is
    the folder that the image lies in, `view` the absolute path of the view volume there. All are
    what the gallery says, to be read by way of `braincase.cohort.stored_image` only.
    """

    scan_id: str
    subject: str
    session: str | None
    labels: Mapping[str, Value]
    code: Code
    image: Path | None
    image_hash: str | None
    since: int
    cohort: Path | None = None
    view: Path | None = None
    view_hash: str | None = None


@dataclass(frozen=True)
class Change:
    """A change log entry: what one call did; `version` names the gallery after it.

    `duplicates` holds pairs (scan put in, scan with the same image under another identity);
    `erased_before` the scans that were left out because they, or their images, had been erased;
    `notes` what is not finished.
    """

    version: int
    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    erased_before: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Version:
    """One state of a gallery: its number, when it came about (UTC) and by what."""

    version: int
    at: str
    what: str


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery holds at one version; `notes` says what cannot be read or is erased.

    `encoder` is the name of the foreign encoder whose codes they are; empty for a model's.
    """

    url: str
    engine: str
    version: int
    fingerprint: str
    resolution_mm: int
    n_dimensions: int
    cases: int
    people: int
    columns: tuple[str, ...]
    changed: str
    notes: tuple[str, ...] = ()
    encoder: str = ""

    @property
    def simulated(self) -> bool:
        """Whether its people are simulated, as far as their labels tell."""
        return TRUE_SEVERITY in self.columns

    def to_json(self) -> dict[str, Json]:
        """Serialise to a JSON object."""
        return to_json_object(self)


def checked_code(code: ArrayLike, n_dimensions: int, where: str) -> Code:
    """Return a code as a float32 array of shape (n_dimensions,).

    Raises
    ------
    UsageError
        If the shape is another or a number is not finite.
    """
    try:
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(code, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise UsageError(where, "a code that is no array of numbers", "numbers") from None
    if array.shape != (n_dimensions,):
        shape = "x".join(map(str, array.shape)) or "one number"
        raise UsageError(where, f"a code of {shape}", f"{n_dimensions} numbers")
    if not np.isfinite(array).all():
        raise UsageError(where, "a code with numbers that are not finite", "finite numbers")
    return array


@dataclass(frozen=True)
class ClosestPeople:
    """The smallest distance between two people of a gallery, among those compared.

    Parameters
    ----------
    distance
        Euclidean; infinite if there are no two people.
    people
        How many people were compared with each other; of a large gallery a sample.
    """

    distance: float
    people: int

    def chance_of_stranger(self, people: int) -> float:
        """Return the probability that a new person is closer than this to one of many people.

        By exchangeability every pair is the closest one with the same probability: of the pairs
        among those compared, and those of the new person with everybody. With all people compared
        it is 2 / (people + 1); with a sample of them it is at most this, for the distances of one
        person depend on each other.

        Parameters
        ----------
        people
            How many the new person is compared with.
        """
        pairs = self.people * (self.people - 1) / 2
        return people / (people + pairs)
