"""Simulate a cohort to disk, in parallel and resumable."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from braincase.cohort.cohort import Cohort, PreparedScan, finish_cohort, has_case, write_case
from braincase.cohort.derivatives import (
    Recipe,
    claim_folder,
    image_of,
    image_path,
    list_files,
    sidecar_path,
)
from braincase.cohort.sidecar import read_sidecar
from braincase.cohort.view import ViewChoice, has_view
from braincase.errors import CohortError
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.json_values import canonical_json
from braincase.labels import SIMULATOR, Value
from braincase.parallel import run_all
from braincase.simulate.imaging import backward_of, simulate_visit
from braincase.simulate.people import SimulatedVisit, draw_visits, size_of
from braincase.simulate.truth import true_labels, true_volumes, write_mask, write_truth
from braincase.simulate.view import simulate_view
from braincase.sources.census import take_census
from braincase.sources.scan import Scan

#: Raise when the same seed would give other images.
SIMULATION_VERSION = 2


def simulate_cohort(
    folder: str | Path,
    size: str,
    seed: int = 0,
    resolution_mm: int | None = None,
    confounding: float = 0.0,
    workers: int = 0,
    view: ViewChoice | None = None,
) -> Cohort:
    """Simulate a cohort with known truth; what is there already from the same recipe is kept.

    Parameters
    ----------
    folder
        A new folder, or one that an interrupted run with the same arguments left.
    size
        A name of `SIZES`.
    seed
        The same seed gives the same bits.
    resolution_mm
        Voxel edge; by default that of the size.
    confounding
        How far the scanner follows the diagnosis, 0 to 1.
    workers
        Processes; 0 means one a core.
    view
        Which view volume lies beside each standard volume; it changes nothing else.

    Raises
    ------
    UsageError
        If there is no such size, or the folder holds something else.
    """
    chosen = size_of(size)
    grid = grid_of_resolution(resolution_mm or chosen.resolution_mm)
    visits = draw_visits(chosen, seed, confounding)
    recipe = recipe_of(size, seed, confounding)
    return write_visits(Path(folder), grid, visits, recipe, workers, view)


def recipe_of(size: str, seed: int, confounding: float) -> Recipe:
    """Return all that decides the images of a simulated cohort."""
    return {
        "Name": SIMULATOR,
        "Version": SIMULATION_VERSION,
        "Size": size,
        "Seed": seed,
        "Confounding": confounding,
    }


def write_visits(
    folder: Path,
    grid: Grid,
    visits: Sequence[SimulatedVisit],
    recipe: Recipe,
    workers: int = 0,
    view: ViewChoice | None = None,
) -> Cohort:
    """Simulate and write those visits that are not there yet, then finish the cohort."""
    claim_folder(folder)
    _refuse_other_recipe(folder, recipe)
    todo = [v for v in visits if not _is_done(folder, grid, _bare_scan(folder, v), recipe, view)]
    write = partial(_write_visit, folder, grid, recipe, view)
    scans = [_bare_scan(folder, v) for v in visits]
    for done in run_all(write, todo, "simulating", workers):
        if done.error:
            raise done.error
    cohort = finish_cohort(folder, grid, recipe, take_census(scans))
    write_truth(cohort)
    return cohort


def _refuse_other_recipe(folder: Path, recipe: Recipe) -> None:
    """Look at one scan that is there already, before anything is mixed with it."""
    if not folder.is_dir():
        return
    for path, _, _ in list_files(folder)[:1]:
        found = read_sidecar(sidecar_path(folder / image_of(path))).recipe
        if found != canonical_json(recipe):
            advice = "Use a new folder, or the same size, seed and confounding."
            raise CohortError(folder, f"scans of another recipe ({found})", advice=advice)


def _bare_scan(folder: Path, visit: SimulatedVisit) -> Scan:
    person = visit.person
    labels: dict[str, Value] = {
        "diagnosis": person.diagnosis,
        "age": visit.age,
        "sex": person.sex,
        "scanner": visit.scanner,
        "design": visit.design,
    }
    return Scan(folder, person.subject, visit.session, labels)


def _is_done(folder: Path, grid: Grid, scan: Scan, recipe: Recipe, view: ViewChoice | None) -> bool:
    seen = view is None or has_view(image_path(folder, grid, scan), view)
    return seen and has_case(folder, grid, scan, recipe)


def _write_visit(
    folder: Path, grid: Grid, recipe: Recipe, view: ViewChoice | None, visit: SimulatedVisit
) -> None:
    backward = backward_of(visit)
    simulated = simulate_visit(visit, grid, backward)
    seen = simulate_view(visit, backward, view) if view else None
    scan = _bare_scan(folder, visit)
    labels = {**scan.labels, **true_labels(simulated, visit.severity, grid)}
    labelled = Scan(scan.path, scan.subject, scan.session, labels)
    write_mask(image_path(folder, grid, scan), simulated.lesion, grid)
    truth = {"icv_ml": round(visit.person.icv_ml, 1), **true_volumes(simulated)}
    sidecar = {"Simulated": True, "Recipe": recipe, "Truth": truth}
    write_case(folder, grid, PreparedScan(labelled, simulated.volume, sidecar, seen))
