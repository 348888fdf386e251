"""Normal or not, for the cases of a gallery: its controls, and every case's distance from them.

The normative model is fitted once to the gallery's controls and kept beside the gallery, and so are
the mean grey levels of the atlas regions of every case that was looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.errors import BraincaseError, GalleryError, UsageError
from braincase.files import atomic_write
from braincase.gallery import Gallery, StoredCase
from braincase.gallery.columns import columns_of_labels
from braincase.gallery.filter import parse_where, select
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.labels import CONTROL_NAMES, Value, knows_age_and_sex
from braincase.population.cache import cache_name, drop_older
from braincase.population.normative import (
    DAMAGED,
    FEWEST_CONTROLS,
    NORMAL_Z,
    Normative,
    fit_normative,
    load_normative,
    region_means,
    save_normative,
    terms_of,
)
from braincase.population.spread import Spread
from braincase.population.volumes import image_of_case, stored_volume
from braincase.progress import progress_if_slow

#: Controls the model is fitted to at most; more change the spread by less than 5 %.
MOST_CONTROLS = 300
#: People looked through for controls.
MOST_PEOPLE = 20_000
USUAL_CONTROLS = f"diagnosis in ({', '.join(repr(name) for name in CONTROL_NAMES)})"
#: Measurements written at a time, so that an interrupted run goes on where it was.
KEPT_AT_A_TIME = 500
_REGIONS_FILE = "regions.npz"


@dataclass(frozen=True, eq=False)
class Normality:
    """How far one person is from normal for age and sex: z by region, against `controls` people."""

    by_region: Mapping[str, float]
    controls: int

    def abnormal(self) -> list[tuple[str, float]]:
        """Return the regions beyond the normal range, farthest first."""
        beyond = [(name, z) for name, z in self.by_region.items() if abs(z) > NORMAL_Z]
        return sorted(beyond, key=lambda item: -abs(item[1]))


@dataclass(frozen=True, eq=False)
class ControlModel:
    """What is normal in one version of a gallery, ready to judge its cases."""

    gallery: Gallery
    model: Normative

    @property
    def grid(self) -> Grid:
        """The grid of the gallery's volumes."""
        return self.model.grid

    def spread(self) -> Spread:
        """Return the usual spread of smoothed volumes, for difference maps."""
        voxels, shape = self.model.voxels, self.grid.shape
        return Spread(
            voxels.coefficients[0].reshape(shape).astype(np.float32),
            voxels.deviation.reshape(shape).astype(np.float32),
            voxels.people,
        )

    def of_volume(self, volume: NDArray[np.uint8], labels: Mapping[str, Value]) -> Normality:
        """Judge a volume whose age and sex are in `labels`.

        Raises
        ------
        UsageError
            If they are not.
        """
        means = region_means(volume, self.grid, len(self.model.names))
        return self._judged(means, labels)

    def of_cases(self, cases: Sequence[StoredCase]) -> dict[str, Normality]:
        """Judge cases of the gallery; those without an image, age or sex are left out."""
        means = _means_of_cases(self.gallery, cases, self.grid, len(self.model.names))
        return {
            case.scan_id: self._judged(means[case.scan_id], case.labels)
            for case in cases
            if case.scan_id in means and knows_age_and_sex(case.labels)
        }

    def _judged(self, means: NDArray[np.float64], labels: Mapping[str, Value]) -> Normality:
        if not knows_age_and_sex(labels):
            raise UsageError("query", "no age and sex known", "both, to say what is normal")
        z = self.model.regions.z(means, terms_of_labels(labels))
        by_region = dict(zip(self.model.names, z.tolist(), strict=True))
        return Normality(by_region, self.model.voxels.people)


def normal_of(
    gallery: Gallery, as_of: int | None = None, controls: str = USUAL_CONTROLS
) -> ControlModel:
    """Return what is normal among the controls of a gallery, fitted once for each version.

    Parameters
    ----------
    gallery
        Its cases need their images, and age and sex.
    as_of
        The version; None for the newest.
    controls
        Who is a control, in the language of `braincase.gallery.filter`.

    Raises
    ------
    GalleryError
        If there are too few controls.
    """
    info = gallery.info(as_of)
    folder = gallery.cache_folder
    asked = {"controls": controls, "most": MOST_CONTROLS}
    name = f"{cache_name(gallery, info.version, 'normative', asked)}.npz"
    if folder is not None:
        with contextlib.suppress(BraincaseError):
            return ControlModel(gallery, load_normative(folder / name))
    model = _fitted(gallery, info.version, controls, grid_of_resolution(info.resolution_mm))
    if folder is not None:
        with contextlib.suppress(OSError):
            save_normative(model, folder / name)
            drop_older(folder / name, info.version)
    return ControlModel(gallery, model)


def terms_of_labels(labels: Mapping[str, Value]) -> NDArray[np.float64]:
    """Return the regression's terms for labels in which age and sex are known."""
    return terms_of(float(labels["age"] or 0), str(labels["sex"]))


def _fitted(gallery: Gallery, version: int, controls: str, grid: Grid) -> Normative:
    people = [
        case
        for case in gallery.one_scan_each(MOST_PEOPLE, as_of=version)
        if knows_age_and_sex(case.labels) and case.image is not None and case.image.is_file()
    ]
    columns = columns_of_labels([case.labels for case in people])
    chosen: NDArray[np.bool_] = np.zeros(0, bool)
    if (people and "diagnosis" in columns) or controls != USUAL_CONTROLS:
        chosen = select(parse_where(controls), columns)
    cases = [people[i] for i in np.flatnonzero(chosen)[:MOST_CONTROLS]]
    if len(cases) < FEWEST_CONTROLS:
        found = f"{len(cases)} controls with age, sex and image"
        raise GalleryError(
            gallery.info(version).url, found, f"{FEWEST_CONTROLS} to say what is normal"
        )
    with progress_if_slow("learning what is normal", len(cases)) as advance:

        def volumes() -> Iterator[NDArray[np.uint8]]:
            for case in cases:
                yield image_of_case(case, grid).volume
                advance()

        ages = [float(case.labels["age"] or 0) for case in cases]
        return fit_normative(volumes(), ages, [str(case.labels["sex"]) for case in cases], grid)


def _means_of_cases(
    gallery: Gallery, cases: Sequence[StoredCase], grid: Grid, n_regions: int
) -> dict[str, NDArray[np.float64]]:
    """Return the region means of cases by scan_id; what was measured once is kept by image."""
    folder = gallery.cache_folder
    path = folder / _REGIONS_FILE if folder is not None else None
    kept: dict[str, NDArray[np.float64]] = {}
    if path is not None:
        with contextlib.suppress(*DAMAGED), open(path, "rb") as file, np.load(file) as held:
            if held["means"].shape[1] == n_regions:
                kept = dict(zip(held["images"].tolist(), held["means"], strict=True))
    known, found = len(kept), {}
    missing = sum(case.image_hash not in kept for case in cases)
    with progress_if_slow("measuring regions of the cases", missing) as advance:
        for case in cases:
            if len(kept) >= known + KEPT_AT_A_TIME:
                _keep(path, kept)
                known = len(kept)
            if case.image_hash in kept:
                found[case.scan_id] = kept[str(case.image_hash)]
                continue
            volume = stored_volume(case, grid)
            advance()
            if volume is None:
                continue
            found[case.scan_id] = region_means(volume, grid, n_regions)
            if case.image_hash is not None:
                kept[case.image_hash] = found[case.scan_id]
    if len(kept) > known:
        _keep(path, kept)
    return found


def _keep(path: Path | None, kept: Mapping[str, NDArray[np.float64]]) -> None:
    if path is not None:
        with contextlib.suppress(OSError), atomic_write(path) as aside, open(aside, "wb") as file:
            np.savez(file, images=np.array(list(kept)), means=np.stack(list(kept.values())))
