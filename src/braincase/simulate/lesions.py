"""Lesions: generative models of stroke cavities, MS lesions and white-matter hyperintensities.

Sizes, numbers and places are those of real masks, measured by `benchmarks/lesion_priors.py`; a
lesion is drawn in the template's space at 2 mm and then moves with the person's anatomy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from braincase.images.geometry import STANDARD_GRID
from braincase.json_values import parse_json
from braincase.simulate.atrophy import MEASURED
from braincase.simulate.conditions import LesionKind
from braincase.simulate.fields import FIELD_GRID, random_field
from braincase.volumetry.registration import sample
from braincase.volumetry.template import at_resolution, load_template

Map = NDArray[np.float32]

#: Lesions are drawn on this grid.
LESION_GRID = STANDARD_GRID
#: MNI millimetres of the first voxels of both grids: an affine anew for each lesion takes long.
LESION_CORNER_MM, FIELD_CORNER_MM = (grid.affine[:3, 3] for grid in (LESION_GRID, FIELD_GRID))
VOXEL_ML = LESION_GRID.resolution_mm**3 / 1000
#: Strokes are told apart by size (ml): each class has its own places.
STROKE_CLASSES_ML = (4.0, 30.0)
#: Nobody has more lesions than this.
MOST_MS_LESIONS = 400
#: White-matter hyperintensities of healthy people: median ml at 70, log spread, and growth of the
#: log volume a year. Chosen; they are rare before 50.
WMH_ML_AT_70, WMH_SPREAD, WMH_PER_YEAR = 2.0, 0.8, 0.09
#: The same in small-vessel disease.
SVD_ML, SVD_SPREAD = 22.0, 0.55
#: Roughness of a lesion's edge: the spread of the random field against the pull of its centre.
ROUGHNESS = 0.7


def draw_lesion(kind: LesionKind, rng: np.random.Generator, age: float, severity: float) -> Map:
    """Draw all lesions of a person: how much of each 2 mm voxel they fill, in [0, 1].

    Parameters
    ----------
    kind
        Of the disease, or '' for what age alone brings.
    age
        Years.
    severity
        Of the disease; the load of MS and small-vessel disease grows with it.
    """
    if kind == "stroke":
        return draw_stroke(rng)
    if kind == "ms":
        return draw_ms(rng, severity)
    if kind == "wmh":
        millilitres = SVD_ML * severity * np.exp(rng.normal(0, SVD_SPREAD))
    else:
        late = WMH_PER_YEAR * (age - 70)
        millilitres = WMH_ML_AT_70 * np.exp(late + rng.normal(0, WMH_SPREAD))
    return draw_hyperintensities(rng, float(np.clip(millilitres, 0.05, 90)))


def draw_stroke(rng: np.random.Generator) -> Map:
    """Draw one old infarct: measured size, a place where strokes of that size lie, rough edge."""
    millilitres = _size_ml(lesion_numbers("stroke"), rng.normal())
    size = int(np.searchsorted(STROKE_CLASSES_ML, millilitres))
    centre = _draw_place(rng, f"stroke_centre_{size}")
    radius = (3 * 1000 * millilitres / (4 * np.pi)) ** (1 / 3)
    usual = _candidates(f"stroke_share_{size}")
    x, y, z = ((usual.points_mm[:, axis] - centre[axis]) ** 2 for axis in range(3))
    away = (x + y + z) / (2 * radius**2)
    score = usual.log_share + ROUGHNESS * _rough(rng, radius, usual) - away
    # An artery feeds one side; only the brain stem and what lies near the midline is crossed.
    score[usual.points_mm[:, 0] * np.sign(centre[0]) < -4] = -np.inf
    return _largest(score, millilitres, usual)


def draw_ms(rng: np.random.Generator, severity: float) -> Map:
    """Draw the lesions of one person with MS: ellipsoids of measured sizes, up to a load."""
    numbers = lesion_numbers("ms")
    load = severity * _at_level(rng.uniform(), numbers.load_levels, numbers.load_ml)
    filled, drawn = np.zeros(LESION_GRID.shape, np.float32), 0
    while load > 0 and drawn < MOST_MS_LESIONS:
        millilitres = min(_size_ml(numbers, rng.normal()), load)
        centre = _draw_place(rng, "ms")
        load -= _fill_ball(filled, centre, millilitres, rng.uniform(0.7, 1.4, 3))
        drawn += 1
    return filled


def draw_hyperintensities(rng: np.random.Generator, millilitres: float) -> Map:
    """Draw white-matter hyperintensities of one volume: caps of the ventricles first."""
    usual = _candidates("wmh")
    return _largest(usual.log_share + ROUGHNESS * _rough(rng, 8.0, usual), millilitres, usual)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Voxels of `LESION_GRID` that one kind of lesion may fill.

    Parameters
    ----------
    flat
        Their indices, C order.
    points_mm
        Their MNI RAS+ coordinates, shape (voxels, 3).
    log_share
        Log of how often real lesions are there.
    """

    flat: NDArray[np.intp]
    points_mm: Map
    log_share: Map

    @cached_property
    def field_voxels(self) -> NDArray[np.float64]:
        """Their places in `FIELD_GRID`, voxels, shape (3, voxels)."""
        return (self.points_mm - FIELD_CORNER_MM).T / FIELD_GRID.resolution_mm


@cache
def _candidates(kind: str) -> Candidates:
    share = at_resolution(lesion_maps()[kind], FIELD_GRID.resolution_mm, LESION_GRID.resolution_mm)
    tissue = load_template(LESION_GRID.resolution_mm)
    # A map of places was smoothed by 6 mm for the strokes: its root is as wide as one lesion.
    possible = (
        (tissue.white > 0.4) & (share > 0.004)
        if kind == "wmh"
        else tissue.grey + tissue.white > 0.5
    )
    flat = np.flatnonzero(possible)
    points = LESION_GRID.points_mm().reshape(3, -1).T[flat]
    taken = share.ravel()[flat]
    log_share = np.log(taken + 1e-4) if kind == "wmh" else 0.5 * np.log(taken + 1e-3)
    return Candidates(flat, points, log_share.astype(np.float32))


@dataclass(frozen=True)
class LesionNumbers:
    """Measured sizes of one kind of lesion: volumes (ml) at `levels` of their distribution.

    MS has the same of the volume of all lesions of a person.
    """

    levels: tuple[float, ...]
    level_ml: tuple[float, ...]
    load_levels: tuple[float, ...] = ()
    load_ml: tuple[float, ...] = ()


@cache
def lesion_numbers(kind: str) -> LesionNumbers:
    """Read the measured sizes and numbers of 'stroke' or 'ms'."""
    numbers = parse_json((MEASURED / "lesions.json").read_text("utf-8"))[kind]
    chosen = {f.name: numbers[f.name] for f in fields(LesionNumbers) if f.name in numbers}
    return LesionNumbers(**chosen)


@cache
def lesion_maps() -> Mapping[str, Map]:
    """Read the measured maps of places, 4 mm, peak 1."""
    with np.load(MEASURED / "lesion_maps.npz") as file:
        return {name: (file[name].astype(np.float32) / 255) ** 2 for name in file.files}


def _size_ml(numbers: LesionNumbers, deviate: float) -> float:
    """Return the volume (ml) of the measured distribution at a standard normal deviate."""
    return _at_level(float(ndtr(deviate)), numbers.levels, numbers.level_ml)


def _at_level(level: float, levels: Sequence[float], millilitres: Sequence[float]) -> float:
    """Interpolate a distribution of volumes (ml), given at some levels, on a log scale."""
    return float(np.exp(np.interp(level, levels, np.log(millilitres))))


@cache
def _cumulated(name: str) -> NDArray[np.float64]:
    """Return the running sum of a map of places: a person with MS draws hundreds of them."""
    return np.cumsum(lesion_maps()[name].ravel(), dtype=np.float64)


def _draw_place(rng: np.random.Generator, name: str) -> NDArray[np.float64]:
    """Draw a point (MNI mm) from one of the measured maps of places."""
    cumulated = _cumulated(name)
    index = int(np.searchsorted(cumulated, rng.uniform(0, cumulated[-1])))
    voxel = np.array(np.unravel_index(min(index, FIELD_GRID.size - 1), FIELD_GRID.shape))
    inside = rng.uniform(-0.5, 0.5, 3)
    return FIELD_CORNER_MM + FIELD_GRID.resolution_mm * (voxel + inside)


def _rough(rng: np.random.Generator, scale_mm: float, where: Candidates) -> Map:
    """Draw a random field as smooth as a third of a lesion's radius, at some voxels."""
    field = random_field(rng, float(np.clip(scale_mm / 3, 4, 10)), 1.0, components=1)
    (taken,) = sample(field, where.field_voxels)
    return np.asarray(taken)


def _largest(score: Map, millilitres: float, where: Candidates) -> Map:
    """Fill the voxels of the highest score until the volume is reached, with soft edges."""
    possible = int(np.isfinite(score).sum())
    n_voxels = int(np.clip(round(millilitres / VOXEL_ML), 1, possible))
    threshold = np.partition(score, -n_voxels)[-n_voxels]
    filled = np.zeros(LESION_GRID.shape, np.float32)
    flat = where.flat[score >= threshold]
    filled.ravel()[flat] = 1
    # Around it all stays zero: two voxels further than the filter's single one reaches.
    reached = (
        slice(max(int(index.min()) - 3, 0), int(index.max()) + 4)
        for index in np.unravel_index(flat, filled.shape)
    )
    box = tuple(reached)
    filled[box] = gaussian_filter(filled[box], 0.5, truncate=2)
    return filled


def _fill_ball(
    filled: Map, centre: NDArray[np.float64], millilitres: float, axes: NDArray[np.float64]
) -> float:
    """Add an ellipsoid of this volume to white matter, in place; return the ml it added."""
    step = LESION_GRID.resolution_mm
    radii = (3 * 1000 * millilitres / (4 * np.pi)) ** (1 / 3) * axes / np.cbrt(np.prod(axes))
    middle = (centre - LESION_CORNER_MM) / step
    low = np.maximum(np.floor(middle - radii / step - 1).astype(int), 0)
    high = np.minimum(np.ceil(middle + radii / step + 2).astype(int), filled.shape)
    box = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    if any(side.stop <= side.start for side in box):
        return 0.0
    x, y, z = (
        ((np.arange(side.start, side.stop) - at) * step / radius) ** 2
        for side, at, radius in zip(box, middle, radii, strict=True)
    )
    squared = x[:, None, None] + y[:, None] + z
    distance_mm = (np.sqrt(squared) - 1) * min(radii)
    wanted = np.clip(0.5 - distance_mm / step, 0, 1) * _in_white()[box]
    before, after = filled[box], np.maximum(filled[box], wanted)
    added = float((after - before).sum()) * VOXEL_ML
    filled[box] = after
    return added


@cache
def _in_white() -> Map:
    return np.asarray(load_template(LESION_GRID.resolution_mm).white > 0.25, np.float32)
