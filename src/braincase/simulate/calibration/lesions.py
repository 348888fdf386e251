"""Calibration of lesions: sizes, loads, sides and places of drawn lesions against real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from braincase.images.geometry import mean_of_blocks
from braincase.json_values import parse_json
from braincase.simulate.atrophy import MEASURED
from braincase.simulate.calibration.effect import Effect
from braincase.simulate.lesions import (
    LESION_GRID,
    VOXEL_ML,
    draw_hyperintensities,
    draw_ms,
    draw_stroke,
    lesion_maps,
)

Map = NDArray[np.float32]

STROKE_SOURCE = "1,328 stroke masks (SOOP, OpenNeuro ds004889; simulate/measured/SOURCES.md)"
MS_SOURCE = "lesion masks of 30 people with MS (Lesjak 2018; simulate/measured/SOURCES.md)"
WMH_SOURCE = "maps of white-matter hyperintensities of T1Prep (simulate/measured/SOURCES.md)"
#: People drawn for the comparison.
DRAWN = 150
#: Correlation of the two maps of places that counts as the same places.
SAME_PLACES = 0.7


def lesion_effects(seed: int) -> list[Effect]:
    """Draw lesions of `DRAWN` people of each kind, and compare them with the real ones."""
    numbers = parse_json((MEASURED / "lesions.json").read_text("utf-8"))
    rng = np.random.default_rng((seed, 77))
    strokes = [draw_stroke(rng) for _ in range(DRAWN)]
    ms = [draw_ms(rng, 1.0) for _ in range(DRAWN)]
    wmh = [draw_hyperintensities(rng, 10.0) for _ in range(DRAWN // 3)]
    real_strokes = np.sum([lesion_maps()[f"stroke_share_{i}"] for i in range(3)], axis=0)
    return [
        *_quartiles("stroke", strokes, numbers["stroke"]["quartiles_ml"], STROKE_SOURCE),
        _right_share(strokes, numbers["stroke"]["right_share"]),
        _places("stroke", [one / one.sum() for one in strokes], real_strokes, 6.0, STROKE_SOURCE),
        *_quartiles("MS load", ms, numbers["ms"]["load_quartiles_ml"], MS_SOURCE),
        _places("MS", ms, lesion_maps()["ms"], 5.0, MS_SOURCE),
        _places("hyperintensities", wmh, lesion_maps()["wmh"], 2.0, WMH_SOURCE),
    ]


def _quartiles(name: str, drawn: list[Map], asked: list[float], source: str) -> list[Effect]:
    """Compare the quartiles of volumes, ml; a factor of 1.5 either way is the same."""
    volumes = [float(one.sum()) * VOXEL_ML for one in drawn]
    measured = np.quantile(volumes, (0.25, 0.5, 0.75))
    return [
        Effect("lesions", f"{name}, {q} quartile", "ml", a, a / 1.5, a * 1.5, float(m), source)
        for q, a, m in zip(("lower", "middle", "upper"), asked, measured, strict=True)
    ]


def _right_share(drawn: list[Map], asked: float) -> Effect:
    middle = LESION_GRID.shape[0] // 2
    right = float(np.mean([one[middle:].sum() > one[:middle].sum() for one in drawn]))
    half = 1.96 * np.sqrt(asked * (1 - asked) / len(drawn))
    numbers = (asked, asked - half, asked + half, right)
    return Effect("lesions", "stroke, share on the right", "", *numbers, STROKE_SOURCE, False)


def _places(name: str, drawn: list[Map], real: Map, smooth_mm: float, source: str) -> Effect:
    """Correlate where drawn and real lesions lie, over the voxels where either has any."""
    mean = np.mean(drawn, axis=0, dtype=np.float64)
    smooth = gaussian_filter(mean, smooth_mm / LESION_GRID.resolution_mm)
    own = mean_of_blocks(smooth, 2)
    some = (real > 0.01 * real.max()) | (own > 0.01 * own.max())
    r = float(np.corrcoef(own[some], real[some])[0, 1])
    numbers = (1, SAME_PLACES, 1, r)
    return Effect("lesions", f"{name}, correlation of places", "", *numbers, source, False)
