"""Normative model of a gallery's controls, and z-scores of its cases against them.

The model is fitted once to the controls of a version and cached beside the gallery.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.errors import FilterError, TooFewPeopleError, UsageError
from braincase.gallery import Gallery, StoredCase
from braincase.gallery.columns import columns_of_labels
from braincase.gallery.filter import columns_of, parse_where, select
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.json_values import Json
from braincase.labels import CONTROL_NAMES, Value, age_and_sex
from braincase.population.cache import Arrays, cached_arrays
from braincase.population.normative import (
    FEWEST_CONTROLS,
    Normative,
    beyond_normal,
    fit_normative,
    normative_arrays,
    normative_of_arrays,
    region_means,
)
from braincase.population.region_means import means_of_cases
from braincase.population.regression import terms_of
from braincase.population.spread import VoxelSpread
from braincase.population.volumes import image_of_case
from braincase.progress import progress_if_slow

#: Controls the model is fitted to at most; more change the spread by less than 5 %.
MOST_CONTROLS = 300
#: People looked through for controls.
MOST_PEOPLE = 20_000
USUAL_CONTROLS = f"diagnosis in ({', '.join(repr(name) for name in CONTROL_NAMES)})"


@dataclass(frozen=True, eq=False)
class RegionZScores:
    """One person's z-scores for age and sex, by region, against `controls` people.

    `ages` are those of the youngest and of the oldest control, `sexes` theirs; of other people
    nothing is known and `by_region` is empty.
    """

    by_region: Mapping[str, float]
    controls: int
    ages: tuple[float, float]
    sexes: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether anything is known of people of this age and sex."""
        return bool(self.by_region)

    def abnormal(self) -> list[tuple[str, float]]:
        """Return the regions beyond the normal range, farthest first."""
        return beyond_normal(self.by_region)


@dataclass(frozen=True, eq=False)
class ControlModel:
    """Normative model of one version of a gallery, ready to score its cases."""

    gallery: Gallery
    model: Normative

    @property
    def grid(self) -> Grid:
        """The grid of the gallery's volumes."""
        return self.model.grid

    def spread(self) -> VoxelSpread:
        """Return the voxelwise spread of controls about what is normal, for difference maps."""
        voxels = self.model.voxels
        deviation = voxels.deviation.reshape(self.grid.shape).astype(np.float32)
        return VoxelSpread(deviation, voxels.people)

    def of_volume(self, volume: NDArray[np.uint8], labels: Mapping[str, Value]) -> RegionZScores:
        """Score a volume whose age and sex are in `labels`.

        Raises
        ------
        UsageError
            If they are not.
        """
        means = region_means(volume, self.grid, len(self.model.names))
        return self._scored(means, labels)

    def of_cases(self, cases: Sequence[StoredCase]) -> dict[str, RegionZScores]:
        """Score cases of the gallery, by scan_id; those without image, age or sex are left out."""
        means = means_of_cases(self.gallery, cases, self.grid, len(self.model.names))
        return {
            case.scan_id: self._scored(means[case.scan_id], case.labels)
            for case in cases
            if case.scan_id in means and age_and_sex(case.labels)
        }

    def _scored(self, means: NDArray[np.float64], labels: Mapping[str, Value]) -> RegionZScores:
        known = age_and_sex(labels)
        if known is None:
            raise UsageError("query", "no age and sex known", "both, to say what is normal")
        regions = self.model.regions
        of = regions.people, regions.ages, regions.sexes
        if not regions.covers(*known):
            return RegionZScores({}, *of)
        z = regions.z(means, terms_of(*known))
        return RegionZScores(dict(zip(self.model.names, z.tolist(), strict=True)), *of)


def control_model_of(
    gallery: Gallery,
    as_of: int | None = None,
    controls: str = USUAL_CONTROLS,
    *,
    learned_at: int | None = None,
) -> ControlModel:
    """Return the normative model of a gallery's controls, fitted once for each version.

    Parameters
    ----------
    gallery
        Its cases need their images, and age and sex.
    as_of
        The version; None for the newest.
    controls
        Who is a control, in the language of `braincase.gallery.filter`.
    learned_at
        As in `braincase.population.cache`.

    Raises
    ------
    TooFewPeopleError
        If there are too few controls.
    """
    info = gallery.info(as_of)

    def learn() -> Arrays:
        grid = grid_of_resolution(info.resolution_mm)
        return normative_arrays(_fitted(gallery, info.version, controls, grid))

    depends_on: dict[str, Json] = {"controls": controls, "most": MOST_CONTROLS}
    told = cached_arrays(
        gallery, info.version, "normative", depends_on, learn, normative_of_arrays, learned_at
    )
    assert told is not None  # too few controls are an error
    return ControlModel(gallery, told)


def controls_of(gallery: Gallery, version: int, controls: str) -> list[StoredCase]:
    """Return one scan of each control whose age and sex are known, of a version of a gallery."""
    people = [
        case
        for case in gallery.one_scan_each(MOST_PEOPLE, as_of=version)
        if age_and_sex(case.labels)
    ]
    return [people[i] for i in np.flatnonzero(are_controls(people, controls))]


def are_controls(people: Sequence[StoredCase], controls: str) -> NDArray[np.bool_]:
    """Return which of these cases are controls, shape (people,).

    Raises
    ------
    FilterError
        If `controls` cannot be understood, or names a column that is not there.
    """
    columns = columns_of_labels([case.labels for case in people])
    if controls == USUAL_CONTROLS and "diagnosis" not in columns:
        return np.zeros(len(people), bool)
    with _about_controls():
        return select(parse_where(controls), columns)


def check_controls(controls: str, columns: Sequence[str]) -> None:
    """Refuse a filter of controls that cannot be understood, or names a column that is not there.

    Raises
    ------
    FilterError
        Then.
    """
    with _about_controls():
        missing = columns_of(parse_where(controls)) - {*columns}
    if missing and controls != USUAL_CONTROLS:
        found = f"no column '{min(missing)}'"
        raise FilterError("controls", found, f"one of {', '.join(columns)}")


@contextmanager
def _about_controls() -> Iterator[None]:
    """Name the parameter that holds the filter, if it cannot be used."""
    try:
        yield
    except FilterError as error:
        raise FilterError("controls", error.found, error.expected, error.advice) from None


def _fitted(gallery: Gallery, version: int, controls: str, grid: Grid) -> Normative:
    people = controls_of(gallery, version, controls)
    there = [case for case in people if case.image is not None and case.image.is_file()]
    cases = there[:MOST_CONTROLS]
    if len(cases) < FEWEST_CONTROLS:
        found = f"{len(cases)} controls with age, sex and image"
        expected = f"{FEWEST_CONTROLS} to say what is normal"
        raise TooFewPeopleError(gallery.info(version).url, found, expected)
    with progress_if_slow("learning what is normal", len(cases)) as advance:

        def volumes() -> Iterator[NDArray[np.uint8]]:
            for case in cases:
                yield image_of_case(case, grid).volume
                advance()

        known = [pair for case in cases if (pair := age_and_sex(case.labels))]
        return fit_normative(volumes(), known, grid)
