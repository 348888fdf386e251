"""What two people of a gallery usually differ by: in their codes, and voxel by voxel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.errors import GalleryError
from braincase.files import atomic_write
from braincase.gallery.interface import Gallery
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.population.cache import cache_name, cached, drop_older
from braincase.population.controls import ControlModel, normal_of
from braincase.population.normative import DAMAGED
from braincase.population.spread import Spread, usual_spread
from braincase.population.volumes import stored_volume
from braincase.progress import progress_if_slow

#: People from whom the usual difference of codes is learned.
MOST_CODES = 2000
#: People whose volumes tell the usual spread where there are too few controls.
MOST_PEOPLE = 100
#: Fewer people than this tell nothing usual.
FEWEST_PEOPLE = 10


def learned_usual(gallery: Gallery, version: int) -> NDArray[np.float64] | None:
    """Return the mean squared difference of two people in each number of the code.

    Shape (n_dimensions,); None if the gallery has fewer than `FEWEST_PEOPLE`.
    """

    def learn() -> list[float] | None:
        people = gallery.one_scan_each(MOST_CODES, as_of=version)
        if len(people) < FEWEST_PEOPLE:
            return None
        codes = np.stack([case.code for case in people]).astype(np.float64)
        return [float(value) for value in 2 * codes.var(axis=0, ddof=1)]

    known = cached(gallery, version, "usual", {}, learn)
    return None if known is None else np.array(known, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Usual:
    """What a gallery's images usually look like: spread, and what is normal where that is known."""

    grid: Grid
    spread: Spread | None
    normal: ControlModel | None


def usual_of(gallery: Gallery, as_of: int | None = None) -> Usual:
    """Return what a gallery's images usually look like, learned once for each version.

    The spread is that of the controls about what is normal for their age and sex; with too few
    controls it is that of all people, and with too few images None.
    """
    grid = grid_of_resolution(gallery.info(as_of).resolution_mm)
    with contextlib.suppress(GalleryError):
        normal = normal_of(gallery, as_of)
        return Usual(grid, normal.spread(), normal)
    return Usual(grid, _spread_of_all(gallery, as_of, grid), None)


def _spread_of_all(gallery: Gallery, as_of: int | None, grid: Grid) -> Spread | None:
    version = gallery.info(as_of).version
    folder = gallery.cache_folder
    name = f"{cache_name(gallery, version, 'spread', {'most': MOST_PEOPLE})}.npz"
    if folder is not None:
        with (
            contextlib.suppress(*DAMAGED),
            open(folder / name, "rb") as stored,
            np.load(stored) as held,
        ):
            return Spread(held["mean"], held["deviation"], int(held["n"]))
    people = gallery.one_scan_each(MOST_PEOPLE, as_of=version)
    with progress_if_slow("learning the usual spread", len(people)) as advance:

        def volumes() -> Iterator[NDArray[np.uint8]]:
            for case in people:
                volume = stored_volume(case, grid)
                advance()
                if volume is not None:
                    yield volume

        spread = usual_spread(volumes(), grid)
    if spread.n < FEWEST_PEOPLE:
        return None
    if folder is not None:
        with (
            contextlib.suppress(OSError),
            atomic_write(folder / name) as aside,
            open(aside, "wb") as file,
        ):
            np.savez(file, mean=spread.mean, deviation=spread.deviation, n=spread.n)
            drop_older(folder / name, version)
    return spread
