"""Index raw scans into a gallery: prepare them by the model's recipe into a cohort, then index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from braincase.cohort.cohort import open_cohort
from braincase.cohort.derivatives import Recipe
from braincase.cohort.resolution import is_alike
from braincase.cohort.view import ViewChoice
from braincase.errors import CohortError
from braincase.files import PathField
from braincase.gallery.url import record_folder
from braincase.images.geometry import Grid
from braincase.models.encoder import Encoder
from braincase.preprocess.prepare_cohort import Plan, prepare_cohort, sort_out
from braincase.sources.census import Census
from braincase.sources.find import find_scans
from braincase.sources.identifying import is_about_identity
from braincase.sources.image_in_memory import SpatialImage, path_of
from braincase.sources.rows import label_name
from braincase.workflows.index_cohort import Indexed, index_cohort
from braincase.workflows.searchable_gallery import encoder_from

if TYPE_CHECKING:
    from braincase.models.model import Model


@dataclass(frozen=True)
class ScanSource:
    """Raw scans: where they are, of which kind, and where their standard volumes go.

    `path` may be one image in memory (nibabel) of the person `subject`, which is prepared at each
    call. `kind`, `label`, `subject`, `series`, `keep_columns` and `site` are those of
    `braincase.sources.find.find_scans`; `view` and `views_of_all` those of `Plan`.
    """

    path: str | Path | SpatialImage
    cohort: PathField = PathField()  # noqa: RUF009  # a descriptor
    kind: str = "auto"
    label: str | None = None
    subject: str | None = None
    series: int | None = None
    keep_columns: tuple[str, ...] = ()
    view: ViewChoice | None = None
    views_of_all: bool = False
    site: str | None = None


def cohort_beside(url: str | Path) -> Path:
    """Return where the standard volumes of a gallery's raw scans go if nothing else is said."""
    folder = record_folder(url)
    return folder.with_name(f"{folder.name}-cohort")


def plan_for(grid: Grid, recipe: Recipe, folder: Path, census: Census) -> Plan:
    """Return how a source's scans are prepared into a folder by the recipe of a model."""
    return Plan(
        folder,
        grid,
        str(recipe.get("intensity", "white-matter")),
        str(recipe.get("extraction", "watershed")),
        dropped=census.dropped,
        label_column=census.label_column,
        strip=bool(recipe.get("strip", True)),
    )


def index_scans(
    url: str | Path,
    source: ScanSource,
    encoder: str | Path | Model | Encoder,
    workers: int = 0,
) -> tuple[Indexed, tuple[str, ...]]:
    """Prepare raw scans by a model's recipe and put them into a gallery.

    What an earlier run prepared or indexed is kept. A scan that cannot be used is listed with the
    reason under `failed` and never stops the others.

    Parameters
    ----------
    url
        The gallery; made if it is not there.
    source
        The scans.
    encoder
        The model, its folder, an encoder file, or what `braincase.encoder_of` or
        `braincase.open_encoder` gives.
    workers
        Number of processes that prepare; 0 means one a core.

    Returns
    -------
    indexed, notes
        What was done, and what the reader should know, one sentence each.

    Raises
    ------
    CohortError
        If no scan is usable, or the cohort's folder holds scans of another recipe.
    """
    with path_of(source.path) as path:
        return _index_found(url, path, source, encoder_from(encoder), workers)


def _index_found(
    url: str | Path, path: Path, source: ScanSource, encoder: Encoder, workers: int
) -> tuple[Indexed, tuple[str, ...]]:
    """Index the scans below a path."""
    scans, census = find_scans(
        path,
        source.kind,
        source.label,
        source.subject,
        source.series,
        source.keep_columns,
        source.site,
    )
    if not scans:
        reasons = "; ".join(f"{where}: {why}" for where, why in census.dropped[:3])
        raise CohortError(path, "no T1-weighted scan", "at least one", reasons)
    plan = plan_for(encoder.grid, encoder.recipe, source.cohort, census)
    plan = replace(plan, view=source.view, views_of_all=source.views_of_all)
    summary = prepare_cohort(scans, plan, workers=workers)
    cohort = open_cohort(source.cohort)
    kept = [name for name in source.keep_columns if label_name(name) in cohort.table.columns]
    raw = {scan.scan_id: scan for scan in sort_out(scans, plan)[0]} if encoder.is_native else None
    indexed = index_cohort(url, cohort, encoder, raw=raw, keep_columns=kept)
    said = [note for note in census.notes if is_about_identity(note)]
    left_out = summary.census.dropped if summary.census else ()
    notes = [*said, f"the standard volumes are in {source.cohort}"]
    if summary.grades.get("look"):
        notes.append(f"{summary.grades['look']} scans are to be looked at: {summary.page}")
    if not is_alike(plan.recipe, encoder.recipe):
        made_by = encoder.recipe.get("Name", "another recipe")
        notes.append(f"the model learned from volumes made otherwise ({made_by})")
    return replace(indexed, failed=(*left_out, *indexed.failed)), tuple(notes)
