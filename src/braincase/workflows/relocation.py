"""Relocate a gallery (path migration): where the images of its cases lie after a copy or move."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from braincase.cohort.stored_image import read_stored_image
from braincase.errors import GalleryError, ScanError, UsageError
from braincase.gallery.record.place import note_place, noted_place, place_of
from braincase.gallery.record.record import Record
from braincase.gallery.url import record_folder
from braincase.images.geometry import Grid, grid_of_resolution

#: Images of a cohort that are read to see that it is the one, evenly spread.
LOOKED_AT = 8


@dataclass(frozen=True)
class CohortPlace:
    """A cohort of a gallery: where it lay, where it lies, and how many live cases it has."""

    before: Path
    now: Path
    cases: int


def relocate_gallery(
    url: str | Path, before: Path | None = None, now: Path | None = None
) -> tuple[CohortPlace, ...]:
    """Note where a gallery lies now, and where the cohorts of its cases do.

    Without `before` and `now` the cohorts that lay in or beside the gallery's earlier folder are
    looked for in the same places in or beside its folder of now; one that is not there stays.

    Parameters
    ----------
    url
        The gallery, where it is now.
    before, now
        A folder of before, and the one with the same content now: a cohort, or one with cohorts
        in it.

    Raises
    ------
    UsageError
        If only one of `before` and `now` is given, or no cohort lay there.
    GalleryError
        If what lies there are not the images that the gallery holds, or it cannot be written.
    """
    if (before is None) != (now is None):
        raise UsageError("relocate", "one folder", "both, of before and of now, or none")
    folder = record_folder(url)
    with closing(Record(folder, keep_codes=False)) as record:
        grid = grid_of_resolution(record.resolution_mm)
        with record.database.writing() as connection:
            if before is None or now is None:
                roots = _roots(connection, folder)
            else:
                roots = [(before.absolute(), now.absolute())]
            places = [_moved(connection, folder, grid, row, roots) for row in _cohorts(connection)]
            if before is not None and all(place.before == place.now for place in places):
                there = ", ".join(str(place.before) for place in places) or "no cohort"
                raise UsageError("relocate", f"no cohort in {before}", there)
            note_place(connection, folder, moved=True)
    return tuple(places)


def _roots(connection: sqlite3.Connection, folder: Path) -> list[tuple[Path, Path]]:
    """Return the earlier and the present folder of the gallery, and those that they lie in."""
    earlier = noted_place(connection)
    here = Path(place_of(folder))
    if earlier is None or earlier == here:
        return []
    return [(earlier, here), (earlier.parent, here.parent)]


def _cohorts(connection: sqlite3.Connection) -> list[tuple[int, str, int]]:
    """Return number, folder and live cases of each cohort."""
    return connection.execute(
        "SELECT cohort, folder, (SELECT count(*) FROM cases WHERE cases.cohort = cohorts.cohort"
        " AND removed_in IS NULL) FROM cohorts ORDER BY cohort"
    ).fetchall()


def _moved(
    connection: sqlite3.Connection,
    folder: Path,
    grid: Grid,
    row: tuple[int, str, int],
    roots: list[tuple[Path, Path]],
) -> CohortPlace:
    """Change the folder of one cohort where a root leads to it and it is there."""
    cohort, before, n_cases = row
    old = Path(before)
    for earlier, here in roots:
        new = here / old.relative_to(earlier) if old.is_relative_to(earlier) else old
        if new == old or not new.is_dir():
            continue
        _check_images(connection, grid, cohort, new)
        try:
            connection.execute("UPDATE cohorts SET folder = ? WHERE cohort = ?", (str(new), cohort))
        except sqlite3.IntegrityError:
            found = f"{new} is another cohort of this gallery already"
            raise GalleryError(folder, found, "a folder that holds one of them") from None
        return CohortPlace(old, new, n_cases)
    return CohortPlace(old, old, n_cases)


def _check_images(connection: sqlite3.Connection, grid: Grid, cohort: int, folder: Path) -> None:
    """Read some images of a cohort in its new place.

    Raises
    ------
    GalleryError
        If one of them is missing or another.
    """
    rows = connection.execute(
        "SELECT image, image_hash FROM cases WHERE cohort = ? AND removed_in IS NULL"
        " AND image IS NOT NULL ORDER BY row",
        (cohort,),
    ).fetchall()
    for image, image_hash in rows[:: max(len(rows) // LOOKED_AT, 1)]:
        try:
            read_stored_image(folder, folder / image, image_hash, grid)
        except ScanError as error:
            advice = "Nothing was changed. Name the folder that holds the gallery's own images."
            raise GalleryError(folder, f"not this cohort ({error})", "its images", advice) from None
