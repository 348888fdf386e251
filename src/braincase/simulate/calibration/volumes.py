"""Calibration of region volumes: disease, ageing, scanners and repeats, measured on the images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braincase.simulate.atrophy import load_effects_table
from braincase.simulate.calibration.effect import Effect
from braincase.simulate.scanners import is_cortex
from braincase.volumetry.regions import FLUID, NAMES, plain_name

Volumes = NDArray[np.float64]

AD_SOURCE = "100 CN, 96 MCI and 92 AD people (own calculation, simulate/measured/SOURCES.md)"
IXI_SOURCE = "IXI, 172 people on a Philips 1.5 T, 95 on a Philips 3 T, 24 on a GE 1.5 T scanner"
OASIS_SOURCE = "OASIS-1 (Marcus 2007), normalised brain volume of people without dementia"
REPEAT_SOURCE = "chosen: within about 2 % (small structures)"
#: People behind the measured effects.
PEOPLE: Mapping[str, int] = {"CN": 100, "MCI": 96, "AD": 92}
ON_SCANNER = {"philips_3t_percent": (172, 95), "ge_15t_percent": (172, 24)}
#: The source's people are of these ages; their spread (years) gives the interval of a slope.
FROM_AGE, AGE_SPREAD = 60.0, 6.0
#: Mean age and normalised whole-brain volume, OASIS-1, and the number of people.
OASIS = ((22.2, 0.8469, 138), (45.6, 0.8216, 31), (54.4, 0.8108, 33), (64.9, 0.7944, 25),
         (73.4, 0.7540, 35), (85.5, 0.7235, 38))  # fmt: skip
OASIS_SPREAD = 0.025
#: Small structures whose repeats are printed.
SMALL = ("hippocampus", "amygdala", "entorhinal", "thalamus", "caudate", "putamen")


def disease_effects(table: pd.DataFrame, volumes: Volumes, diagnosis: str) -> list[Effect]:
    """Compare a diagnosis with controls in every region, at equal age and sex, in percent.

    Parameters
    ----------
    table, volumes
        One row a person.
    diagnosis
        'AD' or 'MCI'.
    """
    chosen = table["diagnosis"].isin(["CN", diagnosis]) & (table["age"] >= FROM_AGE)
    ill = (table["diagnosis"] == diagnosis)[chosen].to_numpy(float)
    age = table["age"][chosen].to_numpy(float)
    male = (table["sex"][chosen] == "M").to_numpy(float)
    design = np.column_stack([ill, np.ones(len(ill)), age, male])
    fit = np.linalg.lstsq(design, np.log(volumes[chosen.to_numpy()]), rcond=None)[0]
    measured = 100 * np.expm1(fit[0])
    asked = load_effects_table()
    percent = asked[f"{diagnosis.lower()}_percent"].to_numpy(float)
    ratio = asked[f"{diagnosis.lower()}_sd_ratio"].to_numpy(float)
    spread = asked["cv_percent"].to_numpy(float)
    half = 1.96 * spread * np.sqrt(1 / PEOPLE["CN"] + ratio**2 / PEOPLE[diagnosis])
    return [
        Effect(f"{diagnosis} against CN", n, "%", p, p - h, p + h, float(m), AD_SOURCE)
        for n, p, h, m in zip(NAMES, percent, half, measured, strict=True)
    ]


def ageing_effects(table: pd.DataFrame, volumes: Volumes) -> list[Effect]:
    """Compare ageing of controls: slopes of named volumes after 65, and the brain by age."""
    healthy = (table["diagnosis"] == "CN").to_numpy()
    old = healthy & (table["age"] >= 65).to_numpy()
    effects = [
        _slope(name, table["age"][old].to_numpy(float), volumes[old])
        for name in ("hippocampus", "amygdala", "lateral-ventricle", "thalamus", "superior-frontal")
    ]
    if (table["age"][healthy] < 50).sum() < 20:
        return effects
    fluid = np.array([plain_name(name) in FLUID for name in NAMES])
    tissue = volumes[:, ~fluid].sum(axis=1)
    ages = table["age"].to_numpy(float)
    near = [healthy & (np.abs(ages - age) < 7) for age, *_ in OASIS]
    last = float(np.mean(tissue[near[3]]))
    for (age, volume, people), those in zip(OASIS, near, strict=True):
        asked, half = 100 * volume / OASIS[3][1], 196 * OASIS_SPREAD / np.sqrt(people)
        measured = 100 * float(tissue[those].mean()) / last
        name = f"brain at {age:.0f}, of that at {OASIS[3][0]:.0f}"
        row = (name, "%", asked, asked - half, asked + half, measured, OASIS_SOURCE)
        effects.append(Effect("ageing", *row, is_change=False))
    return effects


def _slope(name: str, ages: NDArray[np.float64], volumes: Volumes) -> Effect:
    """Compare the change a year of both sides of a region after 65, in percent."""
    sides = [NAMES.index(f"{side}-{name}") for side in ("left", "right")]
    logs = np.log(volumes[:, sides].sum(axis=1))
    measured = 100 * np.expm1(np.polyfit(ages, logs, 1)[0])
    row = load_effects_table().iloc[sides].mean(numeric_only=True)
    half = 1.96 * row["cv_percent"] / (AGE_SPREAD * np.sqrt(PEOPLE["CN"]))
    asked = float(row["age_percent_per_year"])
    numbers = (asked, asked - half, asked + half, float(measured))
    return Effect("ageing", f"{name} after 65", "% a year", *numbers, AD_SOURCE)


def scanner_effects(table: pd.DataFrame, volumes: Volumes) -> list[Effect]:
    """Compare scanners in the cortex of travelling heads: apparent volume against scanner A, %."""
    measured, travelling = load_effects_table(), table["design"] == "travelling"
    reference = travelling & (table["scanner"] == "A")
    effects = []
    for scanner, column in (("B", "philips_3t_percent"), ("C", "ge_15t_percent")):
        there = travelling & (table["scanner"] == scanner)
        apparent = 100 * np.expm1(_log_ratios(table, volumes, reference, there).mean(axis=0))
        n_a, n_b = ON_SCANNER[column]
        for place in np.flatnonzero(is_cortex()):
            row = measured.iloc[place]
            asked = float(row[column])
            half = 1.96 * float(row["cv_percent"]) * np.sqrt(1 / n_a + 1 / n_b)
            numbers = (asked, asked - half, asked + half, float(apparent[place]))
            group = f"scanner {scanner} against A"
            effects.append(Effect(group, NAMES[place], "%", *numbers, IXI_SOURCE))
    return effects


def _log_ratios(
    table: pd.DataFrame, volumes: Volumes, first: pd.Series[bool], second: pd.Series[bool]
) -> Volumes:
    """Return the log ratio of each person's volumes on two scans, shape (people, regions).

    Parameters
    ----------
    first, second
        Which rows are the scans that are compared, one a person in each.
    """
    logs = [
        pd.DataFrame(np.log(volumes[these.to_numpy()]), index=table["subject"][these])
        for these in (first, second)
    ]
    return (logs[1] - logs[0]).to_numpy()


def repeat_effects(table: pd.DataFrame, volumes: Volumes) -> list[Effect]:
    """Compare the same heads scanned twice on one scanner: mean difference of a volume, %."""
    again = table["design"] == "repeat"
    scanner = table["scanner"][again].iloc[0]
    first = (table["design"] == "travelling") & (table["scanner"] == scanner)
    differs = 100 * np.abs(_log_ratios(table, volumes, first, again)).mean(axis=0)
    effects = []
    for name in SMALL:
        sides = [NAMES.index(f"{side}-{name}") for side in ("left", "right")]
        row = (2.0, 0.0, 3.0, float(differs[sides].mean()), REPEAT_SOURCE)
        effects.append(Effect("repeat on one scanner", name, "% mean difference", *row))
    return effects
