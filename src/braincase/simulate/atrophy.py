"""Regional atrophy: from asked volume changes of named regions to one deformation of the brain.

The regions are those of `braincase.volumetry`. A change map a(x), the log of the local volume
factor, is made of the regions' maps, so that each region's integral changes as asked; its
velocity follows from Poisson's equation (`braincase.simulate.fields`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft

from braincase.simulate.fields import (
    FIELD_GRID,
    Field,
    exponentiate,
    smoothness_gain,
    squared_wave_number,
    velocity_of_log_volume_change,
)
from braincase.volumetry.priors import load_priors, load_region_maps
from braincase.volumetry.regions import NAMES, SIDED, SULCI, plain_name

Map = NDArray[np.float32]
Vector = NDArray[np.float64]

#: Numbers measured on real people, with their sources (SOURCES.md there).
MEASURED = Path(__file__).parent / "measured"
#: Parts of the sulci that a disease may widen or close (MNI mm); the rest of the fluid around the
#: brain takes what all other regions leave, so that the skull's inside stays as large as it is.
CONVEXITY, SYLVIAN = "convexity-csf", "sylvian-csf"
PARTS = (*NAMES, CONVEXITY, SYLVIAN)
#: A region's coefficient is found by ridge regression: neighbours share voxels at 4 mm, and exact
#: answers would set one against the other.
RIDGE = 0.003
#: Rounds in which the effect of AD is corrected; three bring every region within 1 %.
CORRECTIONS = 3
#: How much larger these are in controls of 75 than in the template (log volume).
OLDER: Mapping[str, float] = MappingProxyType(
    {
        "lateral-ventricle": np.log(1.5),
        "third-ventricle": np.log(1.3),
        "inferior-horn": np.log(1.4),
        "fourth-ventricle": np.log(1.2),
    }
)
#: The age (years) at which the measured effects hold and to which `OLDER` belongs.
MEASURED_AGE = 75.0
#: How fast people age relative to the measured slope: up to 50, to 65, and later. OASIS-1 (Marcus
#: 2007): normalised brain volume falls by 0.10, 0.14 and 0.42 % a year.
AGEING = ((50.0, 0.24), (65.0, 0.33), (np.inf, 1.0))


@dataclass(frozen=True, eq=False)
class MeasuredEffects:
    """What was measured of real people, one number a region of `NAMES`, all logs of volumes.

    Parameters
    ----------
    ad
        Difference from controls of the same age.
    per_year
        Change a year at about 75.
    spread
        Standard deviation between people of the same age, sex and head size.
    male
        Difference of men from women of the same head size.
    icv_exponent
        Power of the intracranial volume that a region's volume follows.
    philips_3t, ge_15t
        Apparent difference on two scanners from a Philips 1.5 T one.
    """

    ad: Vector
    per_year: Vector
    spread: Vector
    male: Vector
    icv_exponent: Vector
    philips_3t: Vector
    ge_15t: Vector


@cache
def load_effects_table() -> pd.DataFrame:
    """Read `measured/regions.csv`, one row a region in the order of `NAMES`."""
    return pd.read_csv(MEASURED / "regions.csv", index_col="region").loc[list(NAMES)]


@cache
def load_effects() -> MeasuredEffects:
    """Return the measured effects as logs of volumes."""
    table = load_effects_table()

    def logs(column: str) -> Vector:
        return np.log1p(table[column].to_numpy(float) / 100)

    variation = table["cv_percent"].to_numpy(float) / 100
    return MeasuredEffects(
        ad=logs("ad_percent"),
        per_year=logs("age_percent_per_year"),
        # Of a log-normal volume with this coefficient of variation.
        spread=np.sqrt(np.log1p(variation**2)),
        male=logs("male_percent"),
        icv_exponent=table["icv_exponent"].to_numpy(float),
        philips_3t=logs("philips_3t_percent"),
        ge_15t=logs("ge_15t_percent"),
    )


def ageing_years(age: float) -> float:
    """Return years of ageing from `MEASURED_AGE` to an age, counted at the pace after 65.

    Negative for younger people: ageing is slow up to 50 and bends near 65 (`AGEING`).
    """

    def since_birth(to: float) -> float:
        years, start = 0.0, 0.0
        for end, pace in AGEING:
            years += pace * max(0.0, min(to, end) - start)
            start = end
        return years

    return since_birth(age) - since_birth(MEASURED_AGE)


@cache
def base_change() -> Vector:
    """Return the log volume change from the template to controls of `MEASURED_AGE`, per region."""
    return np.array([OLDER.get(plain_name(name), 0.0) for name in NAMES])


def pattern(percent: Mapping[str, float]) -> Vector:
    """Return the log volume changes of `PARTS` of a disease given in percent by region.

    Parameters
    ----------
    percent
        By a region of `NAMES`, by its name without a side for both, or by a part of the sulci.

    Raises
    ------
    KeyError
        If there is no such region.
    """
    changes = np.zeros(len(PARTS))
    for name, change in percent.items():
        if name not in PARTS and name not in SIDED:
            raise KeyError(name)
        places = [i for i, part in enumerate(PARTS) if name in (part, plain_name(part))]
        changes[places] = np.log1p(change / 100)
    return changes


@cache
def part_maps() -> Map:
    """Return how much of each voxel of `FIELD_GRID` every part fills; the last is the rest."""
    regions = load_region_maps()
    sulci = regions[load_priors().names.index(SULCI)]
    x, y, z = FIELD_GRID.points_mm()
    convexity = sulci * (z > 32)
    sylvian = sulci * ((np.abs(x) > 26) & (y > -40) & (y < 28) & (z > -16) & (z < 24))
    own = regions[: len(NAMES)]
    return np.concatenate([own, [convexity, sylvian, sulci - convexity - sylvian]])


@cache
def _solver() -> tuple[NDArray[np.float64], Vector]:
    """Return the matrix from asked changes to coefficients of the maps, and the parts' volumes."""
    flat = part_maps().reshape(len(PARTS) + 1, -1).astype(np.float64)
    volumes = flat.sum(axis=1)
    overlap = (flat @ flat.T) / volumes[:, None]
    # The rest is not asked for: its coefficient follows from the sum being zero.
    rest = -volumes[:-1] / volumes[-1]
    response = overlap[:-1, :-1] + np.outer(overlap[:-1, -1], rest)
    weight = np.eye(len(PARTS))
    solver = np.linalg.solve(response.T @ response + RIDGE * weight, response.T + RIDGE * weight)
    return solver, rest


def velocity_of_changes(log_change: Vector) -> Field:
    """Return the velocity (mm, on `FIELD_GRID`) that changes the volumes of `PARTS` as asked.

    Parameters
    ----------
    log_change
        Log of the asked volume over the template's, shape (parts,).
    """
    # A stationary field compresses what stays inside it by exp(a), but expands by 1 + a: what has
    # left the region's old place no longer grows.
    asked = np.where(log_change > 0, np.expm1(log_change), log_change)
    solver, rest = _solver()
    coefficients = solver @ asked
    coefficients = np.append(coefficients, rest @ coefficients).astype(np.float32)
    maps = part_maps()
    change = coefficients @ maps.reshape(len(maps), -1)
    return velocity_of_log_volume_change(change.reshape(FIELD_GRID.shape))


@cache
def disease_of_ad() -> Vector:
    """Return the log changes to ask for, so that those measured in AD come out; shape (parts,).

    What is asked of one region moves its neighbours, so it is corrected by what came out.
    """
    wanted, asked = load_effects().ad, load_effects().ad.copy()
    controls = _log_volumes(base_change())
    for _ in range(CORRECTIONS):
        got = _log_volumes(base_change() + asked) - controls
        asked += wanted - got
    return of_parts(asked)


def of_parts(regions: Vector) -> Vector:
    """Append to changes of `NAMES` that nothing is asked of the sulci; shape (parts,)."""
    return np.append(regions, np.zeros(len(PARTS) - len(NAMES)))


def _log_volumes(regions: Vector) -> Vector:
    backward = exponentiate(-velocity_of_changes(of_parts(regions)))
    return np.log(volumes_after(backward, part_maps()[: len(NAMES)]))


def volumes_after(backward: Field, maps: Map) -> Vector:
    """Return the volume of each map after a deformation, mm3, shape (maps,).

    The integral of a map pulled through the inverse deformation, computed by its transpose: each
    deformed voxel is dealt out to the template's voxels around where it came from.

    Parameters
    ----------
    backward
        Displacement (mm) from the deformed brain to the template.
    maps
        On `FIELD_GRID`, shape (maps, *FIELD_GRID.shape).
    """
    shape = np.array(FIELD_GRID.shape)
    place = np.indices(FIELD_GRID.shape) + backward / FIELD_GRID.resolution_mm
    place = np.clip(place.reshape(3, -1), 0, (shape - 1)[:, None])
    low = np.minimum(place.astype(np.int64), (shape - 2)[:, None])
    part = place - low
    received = np.zeros(FIELD_GRID.size)
    for corner in np.ndindex(2, 2, 2):
        c = np.array(corner)[:, None]
        weight = np.prod(np.where(c == 1, part, 1 - part), axis=0)
        index = np.ravel_multi_index(tuple(low + c), FIELD_GRID.shape)
        received += np.bincount(index, weight, FIELD_GRID.size)
    flat = maps.reshape(len(maps), -1)
    return np.asarray(flat @ received.astype(np.float32), np.float64) * FIELD_GRID.resolution_mm**3


@cache
def deviations_factor(person_fields_mm: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Return A of shape (regions, regions): A z, z standard normal, is a person's own deviation.

    Its covariance is the measured one of log volumes between people, less what the smooth random
    fields of a person do already.

    Parameters
    ----------
    person_fields_mm
        Smoothness and spread of those fields, mm.
    """
    spread = load_effects().spread
    table = pd.read_csv(MEASURED / "correlations.csv", index_col="region")
    correlation = table.loc[list(NAMES), list(NAMES)].to_numpy(float)
    wanted = correlation * np.outer(spread, spread)
    values, vectors = np.linalg.eigh(wanted - _covariance_of_fields(person_fields_mm))
    # The symmetric root: it does not depend on the signs of the eigenvectors.
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T, np.float64)


def _covariance_of_fields(fields_mm: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Return the covariance of the regions' log volumes under smooth random fields (Parseval)."""
    maps = part_maps()[: len(NAMES)]
    spectra = fft.fftn(maps / maps.sum(axis=(1, 2, 3), keepdims=True), axes=(1, 2, 3))
    k2 = squared_wave_number()
    power = np.zeros(k2.shape)
    for smoothness_mm, spread_mm in fields_mm:
        gain = smoothness_gain(k2, smoothness_mm) ** 2
        power += spread_mm**2 * gain / gain.mean() * k2
    flat = spectra.reshape(len(NAMES), -1)
    return np.asarray((flat * power.ravel() @ flat.conj().T).real / k2.size, np.float64)
