"""Volumes of named brain regions, and their percentiles for age and sex among a gallery's controls.

The volumes are those that the local code of a case holds (`braincase.volumetry.readout`), so no
image is read. They are of the standard space, in which every brain has one size. What is usual is a
regression of log volumes on age and sex (`braincase.population.regression`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.gallery import Gallery
from braincase.json_values import Json
from braincase.labels import Value, age_and_sex, is_simulated
from braincase.population.cache import Arrays, cached_arrays
from braincase.population.controls import MOST_CONTROLS, USUAL_CONTROLS, controls_of
from braincase.population.normative import FEWEST_CONTROLS
from braincase.population.regression import (
    Regression,
    fit_regression,
    regression_arrays,
    regression_of_arrays,
    terms_of,
)
from braincase.volumetry.code_layout import holds_volumes, volumes_of_code

_SIDES = ("left", "right")
_FRONTAL = ("superior-frontal", "middle-frontal", "inferior-frontal", "orbitofrontal", "precentral")
_PARIETAL = (
    "postcentral",
    "superior-parietal",
    "inferior-parietal",
    "supramarginal",
    "precuneus",
)
_TEMPORAL = (
    "superior-temporal",
    "middle-temporal",
    "inferior-temporal",
    "temporal-pole",
    "fusiform",
)
_OCCIPITAL = ("lateral-occipital", "lingual", "cuneus", "pericalcarine")


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{side}-{name}" for name in names for side in _SIDES)


def _each(shown: str, *names: str) -> dict[str, tuple[str, ...]]:
    return {f"{side}-{shown}": tuple(f"{side}-{name}" for name in names) for side in _SIDES}


#: What is shown, in this order -> the regions of `braincase.volumetry` it joins.
MEASURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **_each("hippocampus", "hippocampus"),
        **_each("amygdala", "amygdala"),
        **_each("entorhinal", "entorhinal"),
        **_each("frontal", *_FRONTAL),
        **_each("parietal", *_PARIETAL),
        **_each("temporal", *_TEMPORAL),
        **_each("occipital", *_OCCIPITAL),
        "deep-grey": _both("thalamus", "caudate", "putamen", "pallidum", "accumbens"),
        "cerebral-white-matter": _both("cerebral-white-matter"),
        "lateral-ventricle": _both("lateral-ventricle"),
        **_each("inferior-horn", "inferior-horn"),
        "third-ventricle": ("third-ventricle",),
        "cerebellum": _both("cerebellar-cortex", "cerebellar-white-matter"),
        "brain-stem": ("brain-stem",),
    }
)
#: Those that the weights, taught by simulated people, read of real heads no better than who guesses
#: the mean (`benchmarks/real_readout.py`): they are told of people alone who are known to be
#: simulated, in galleries of such. A raw head says nothing of it, and counts as real.
SIMULATED_ONLY = frozenset(
    {
        "cerebral-white-matter",
        "left-inferior-horn",
        "right-inferior-horn",
        "third-ventricle",
        "cerebellum",
    }
)
#: Below and above these percentiles a volume is called unusual: one control in ten is.
USUAL = (5.0, 95.0)


@dataclass(frozen=True)
class VolumeForAge:
    """Volume of a region in ml of the standard space, and its percentile for age and sex.

    The percentile, 0 to 100, is None where age or sex, or what is usual at that age, is not known.
    """

    name: str
    ml: float
    percentile: float | None = None

    @property
    def unusual(self) -> bool:
        """Whether it is smaller or larger than in nine of ten controls."""
        return self.percentile is not None and not USUAL[0] <= self.percentile <= USUAL[1]


def percentiles_of(
    volumes_ml: NDArray[np.float64], labels: Mapping[str, Value], norms: Regression
) -> list[float] | None:
    """Return the percentiles of one person's volumes for age and sex, 0 to 100.

    None where age or sex are not known, or no control is like that.
    """
    known = age_and_sex(labels)
    if known is None or not norms.covers(*known):
        return None
    z = norms.z(np.log(volumes_ml), terms_of(*known))
    return [100 * NormalDist().cdf(value) for value in z.tolist()]


def volumes_ml(code: ArrayLike) -> NDArray[np.float64] | None:
    """Return the volume of each of `MEASURES` in ml, or None where a code holds no volumes."""
    volumes = volumes_of_code(code)
    if volumes is None:
        return None
    return np.array([sum(volumes[name] for name in parts) / 1000 for parts in MEASURES.values()])


def told_volumes(gallery_simulated: bool, *scans: Mapping[str, Value]) -> list[str]:
    """Return those of `MEASURES` that may be told of a person, a query or a hit.

    Parameters
    ----------
    gallery_simulated
        Whether the people of the gallery are simulated.
    scans
        The labels of each scan of the person that is looked at.
    """
    every = gallery_simulated and bool(scans) and all(map(is_simulated, scans))
    return [name for name in MEASURES if every or name not in SIMULATED_ONLY]


def volumes_for_age(
    code: ArrayLike,
    labels: Mapping[str, Value],
    norms: Regression | None,
    gallery_simulated: bool,
) -> tuple[VolumeForAge, ...]:
    """Return the volumes that a code holds, with percentiles where norms are known.

    Parameters
    ----------
    code
        Shape (numbers,).
    labels
        Of the scan: age and sex, if they are known, and what only simulated people have.
    norms
        From `volume_norms_of`; None where the gallery has too few controls.
    gallery_simulated
        As in `told_volumes`.
    """
    volumes = volumes_ml(code)
    if volumes is None:
        return ()
    percentiles = percentiles_of(volumes, labels, norms) if norms else None
    each: Sequence[float | None] = percentiles or [None] * len(volumes)
    told = dict(zip(MEASURES, map(VolumeForAge, MEASURES, volumes.tolist(), each), strict=True))
    return tuple(told[name] for name in told_volumes(gallery_simulated, labels))


def volume_norms_of(
    gallery: Gallery,
    as_of: int | None = None,
    controls: str = USUAL_CONTROLS,
    *,
    learned_at: int | None = None,
) -> Regression | None:
    """Return the normative model of log volumes of a gallery's controls, fitted once a version.

    None where its codes hold no volumes, or where it has too few controls with age and sex.

    Parameters
    ----------
    gallery
        Its codes are read, no image.
    as_of
        The version; None for the newest.
    controls
        Who is a control, in the language of `braincase.gallery.filter`.
    learned_at
        As in `braincase.population.cache`.
    """
    info = gallery.info(as_of)
    if not holds_volumes(info.n_dimensions) or info.encoder:
        return None

    def learn() -> Arrays:
        people = controls_of(gallery, info.version, controls)[:MOST_CONTROLS]
        if len(people) < FEWEST_CONTROLS:
            return {"people": np.array(0)}  # so that no search looks for them again
        volumes = [v for case in people if (v := volumes_ml(case.code)) is not None]
        known = [pair for case in people if (pair := age_and_sex(case.labels))]
        return regression_arrays(fit_regression(known, np.log(np.stack(volumes))))

    def read(arrays: Arrays) -> Regression | None:
        return regression_of_arrays(arrays) if arrays["people"] else None

    depends_on: dict[str, Json] = {"controls": controls, "most": MOST_CONTROLS}
    return cached_arrays(gallery, info.version, "volumes", depends_on, learn, read, learned_at)
