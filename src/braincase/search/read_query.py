"""Reading a query scan: a prepared scan as it is, a raw one through the whole preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from braincase.cohort.derivatives import (
    IMAGE_ENDING,
    read_image,
    resolution_of,
    sidecar_path,
)
from braincase.cohort.resolution import is_alike, recipe_at
from braincase.cohort.sidecar import read_sidecar
from braincase.cohort.view import ViewChoice, read_view
from braincase.errors import OtherImageError, ScanError, UsageError
from braincase.images.geometry import GRIDS, Grid
from braincase.json_values import JsonObject, parse_json
from braincase.labels import BRAIN_ML
from braincase.models.encoder import Encoder
from braincase.search.query_scan import QueryScan, on_models_grid

#: A scan on its own voxels: the whole head, or the bare brain.
Native = Literal["head", "brain"]
#: Steps of preparing a raw scan, in the order in which they begin.
STEPS = ("reading", "looking", "preparing", "judging")


def native_form(encoder: Encoder) -> Native | None:
    """Return in which form an encoder takes scans on their own voxels; None if it does not."""
    if not encoder.is_native:
        return None
    return "brain" if encoder.strips_native else "head"


def _say_nothing(step: str) -> None:
    """Report no progress."""


def read_query(
    path: Path,
    grid: Grid,
    recipe: JsonObject,
    tell: Callable[[str], None] = _say_nothing,
    *,
    series: int | None = None,
    native: Native | None = None,
    view: ViewChoice | None = None,
) -> QueryScan:
    """Read a scan as a query: a prepared one as it is, any other through the whole preprocessing.

    Parameters
    ----------
    path
        An image, a DICOM folder, zip or tar, or a prepared image of a cohort.
    grid, recipe
        What the model was trained on.
    tell
        Called with the name of each step of `STEPS` as it begins.
    series
        Number of the DICOM series, where a folder or archive holds several.
    native
        Whether the scan is wanted on its own voxels too, whole or as the bare brain.
    view
        Which view volume of a raw scan is wanted too; of a prepared one it is the one it has.

    Raises
    ------
    UsageError
        If there is no such file, or it holds several scans.
    ScanError
        If it is no T1-weighted head, cannot be read, or was prepared on a coarser grid.
    """
    if not path.exists():
        raise UsageError(path, "no such file, folder or case", "a scan")
    is_prepared = path.name.endswith(IMAGE_ENDING) and sidecar_path(path).exists()
    if is_prepared and native:
        found = "a prepared image"
        raise ScanError(path, found, "the scan it was made from, which this encoder takes")
    if is_prepared:
        return _read_prepared(path, grid, recipe, view)
    return _read_raw(path, grid, recipe, tell, series, native, view)


def _read_prepared(
    path: Path, grid: Grid, recipe: JsonObject, view: ViewChoice | None
) -> QueryScan:
    sidecar, mm = read_sidecar(sidecar_path(path)), resolution_of(path.name)
    own = GRIDS.get(mm)
    if own is None or not own.voxels_along(grid):
        expected = f"{grid.resolution_mm} mm, the model's grid, or finer"
        raise ScanError(path, f"prepared at {mm} mm", expected)
    volume, seen = read_image(path, own), read_view(path) if view else None
    made = recipe_at(parse_json(sidecar.recipe), grid)
    scan, notes = sidecar.scan, _recipe_notes(made, recipe)
    query = QueryScan(volume, scan.scan_id, scan.subject, scan.labels, notes, view=seen)
    return on_models_grid(query, own, grid)


def _read_raw(
    path: Path,
    grid: Grid,
    recipe: JsonObject,
    tell: Callable[[str], None],
    series: int | None,
    native: Native | None,
    view: ViewChoice | None,
) -> QueryScan:
    from braincase.preprocess.native import native_brain
    from braincase.preprocess.prepare_volume import prepare_volume
    from braincase.preprocess.quality.verdict import judge, screen
    from braincase.sources.find import find_scans
    from braincase.sources.read import read_scan

    tell("reading")
    scans, census = find_scans(path, series=series)
    if len(scans) != 1:
        reasons = "; ".join([*dict.fromkeys(why for _, why in census.dropped)][:3])
        advice = "Name one scan, or choose one with `series`." if scans else reasons
        which = "" if series is None else f" in series {series}"
        raise UsageError(path, f"{len(scans)} T1-weighted scans{which}", "one", advice)
    volume = read_scan(scans[0])
    tell("looking")
    quality = screen(volume)
    if quality is None or quality.grade != "fail":
        tell("preparing")
        intensity, strip = recipe.get("intensity", "white-matter"), recipe.get("strip", True)
        prepared = prepare_volume(volume, grid, str(intensity), strip=bool(strip), view=view)
        tell("judging")
        quality = judge(volume, prepared, grid)
    if quality.grade == "fail":
        error = OtherImageError if quality.is_other_image else ScanError
        raise error(path, "; ".join(quality.reasons), "a T1-weighted human head")
    notes = (*quality.reasons, *_recipe_notes(prepared.recipe, recipe))
    own = volume if native else None
    if native == "brain":
        own = native_brain(volume, prepared.mask, grid, prepared.native_to_mni)
    # A file's own name is no identity: whose scan it is stays open unless the user says so.
    labels = {BRAIN_ML: float(round(prepared.measured.brain_ml)), **scans[0].labels}
    return QueryScan(prepared.volume, path.name, None, labels, notes, own, prepared.view)


def _recipe_notes(query_recipe: JsonObject, recipe: JsonObject) -> tuple[str, ...]:
    """Warn where query and model were prepared differently."""
    if is_alike(query_recipe, recipe):
        return ()
    made_by = recipe.get("Name", "another recipe")
    return (
        f"The model was trained on volumes made by {made_by}, the query was prepared otherwise: "
        "distances between them may mean little.",
    )
