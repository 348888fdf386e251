"""Usual difference of two people of a gallery: in their codes, and voxel by voxel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from braincase.errors import TooFewPeopleError
from braincase.gallery import Gallery
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.population.cache import Arrays, cached, cached_arrays, numbers
from braincase.population.controls import USUAL_CONTROLS, ControlModel, control_model_of
from braincase.population.spread import VoxelSpread, usual_spread
from braincase.population.volumes import stored_volume
from braincase.progress import progress_if_slow

#: People from whom the usual difference of codes is learned.
MOST_CODES = 2000
#: People whose volumes tell the usual spread where there are too few controls.
MOST_PEOPLE = 100
#: Fewer people than this tell nothing usual; the command line and the web show no map then.
FEWEST_PEOPLE = 10


def learned_usual(
    gallery: Gallery, version: int, *, learned_at: int | None = None
) -> NDArray[np.float64] | None:
    """Return the mean squared difference of two people in each number of the code.

    Shape (n_dimensions,); None if the gallery has fewer than `FEWEST_PEOPLE`. `learned_at` is that
    of `braincase.population.cache`.
    """

    def learn() -> list[float] | None:
        people = gallery.one_scan_each(MOST_CODES, as_of=version)
        if len(people) < FEWEST_PEOPLE:
            return None
        codes = np.stack([case.code for case in people]).astype(np.float64)
        return [float(value) for value in 2 * codes.var(axis=0, ddof=1)]

    read = partial(numbers, count=gallery.info(version).n_dimensions)
    return cached(gallery, version, "usual", {}, learn, read, learned_at)


@dataclass(frozen=True, eq=False)
class Usual:
    """Usual spread of a gallery's images, and their normative model.

    Parameters
    ----------
    grid
        The grid of the images.
    spread
        How much they usually differ; None where fewer than `FEWEST_PEOPLE` have images.
    controls
        What is normal for age and sex; None where there are too few controls.
    """

    grid: Grid
    spread: VoxelSpread | None
    controls: ControlModel | None


def usual_of(
    gallery: Gallery,
    as_of: int | None = None,
    controls: str = USUAL_CONTROLS,
    *,
    learned_at: int | None = None,
) -> Usual:
    """Return what a gallery's images usually look like, learned once for each version.

    The spread is that of the controls about what is normal for their age and sex; with too few
    controls it is that of all people, and with too few images None. `controls` is that of
    `braincase.population.controls.control_model_of`, `learned_at` of `braincase.population.cache`.
    """
    info = gallery.info(as_of)
    grid = grid_of_resolution(info.resolution_mm)
    with contextlib.suppress(TooFewPeopleError):
        model = control_model_of(gallery, info.version, controls, learned_at=learned_at)
        return Usual(grid, model.spread(), model)
    return Usual(grid, _spread_of_all(gallery, info.version, grid, learned_at), None)


def _spread_of_all(
    gallery: Gallery, version: int, grid: Grid, learned_at: int | None
) -> VoxelSpread | None:
    def learn() -> Arrays | None:
        spread = _measured(gallery, version, grid)
        if spread.n < FEWEST_PEOPLE:
            return None
        return {"deviation": spread.deviation, "n": np.asarray(spread.n)}

    def read(arrays: Arrays) -> VoxelSpread:
        deviation = np.asarray(arrays["deviation"], np.float32).reshape(grid.shape)
        return VoxelSpread(deviation, int(arrays["n"]))

    depends_on = {"most": MOST_PEOPLE}
    return cached_arrays(gallery, version, "spread", depends_on, learn, read, learned_at)


def _measured(gallery: Gallery, version: int, grid: Grid) -> VoxelSpread:
    people = gallery.one_scan_each(MOST_PEOPLE, as_of=version)
    with progress_if_slow("learning the usual spread", len(people)) as advance:

        def volumes() -> Iterator[NDArray[np.uint8]]:
            for case in people:
                volume = stored_volume(case, grid)
                advance()
                if volume is not None:
                    yield volume

        return usual_spread(volumes(), grid)
