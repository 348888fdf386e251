"""Downsampling: prepared scans at a coarser resolution than they are stored at, by means of voxels.

A standard volume at 4 mm is made of the means of its voxels at 2 mm (`preprocess.space.standard`),
so the means of a stored one are what preparing at 4 mm would give, but for one more rounding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from braincase.cohort.derivatives import Recipe
from braincase.errors import CohortError
from braincase.images.geometry import Grid
from braincase.json_values import canonical_json

#: Of a simulation's recipe: who is drawn, and not how images of them are made.
WHO = ("Seed", "Size", "Confounding")

if TYPE_CHECKING:  # a search with a raw head needs the recipe alone, and no pandas
    from braincase.cohort.cohort import Cohort


def at_resolution(cohort: Cohort, grid: Grid) -> Cohort:
    """Return a cohort on a coarser grid: its volumes are averaged whenever they are read.

    The table stays as it is, with the hashes of the stored images.

    Parameters
    ----------
    cohort
        Prepared scans.
    grid
        Where their volumes are wanted.

    Raises
    ------
    CohortError
        If the cohort is coarser.
    """
    if cohort.grid == grid:
        return cohort
    edge = cohort.grid.voxels_along(grid)
    if not edge:
        found, expected = (f"{g.resolution_mm} mm" for g in (cohort.grid, grid))
        raise CohortError(cohort.folder, f"scans at {found}", f"{expected} or finer")
    volumes = replace(cohort.volumes, shape=grid.shape, edge=edge * cohort.volumes.edge)
    return replace(cohort, grid=grid, recipe=recipe_at(cohort.recipe, grid), volumes=volumes)


def recipe_at(recipe: Recipe, grid: Grid) -> Recipe:
    """Return a preprocessing recipe as it reads of volumes on `grid`."""
    if "resolution_mm" not in recipe:
        return recipe
    return {**recipe, "resolution_mm": grid.resolution_mm}


def is_alike(one: Recipe, other: Recipe) -> bool:
    """Return whether volumes of two recipes are made alike, whoever the simulated people are."""
    one, other = ({k: v for k, v in recipe.items() if k not in WHO} for recipe in (one, other))
    return canonical_json(one) == canonical_json(other)
