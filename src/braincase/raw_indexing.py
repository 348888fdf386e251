"""Raw scans into a gallery: prepared by the model's recipe into a cohort, then indexed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from braincase.cohort import open_cohort
from braincase.derivatives import canonical
from braincase.errors import CohortError
from braincase.gallery.place import MilvusPlace, place_of
from braincase.geometry import Grid
from braincase.indexing import Embed, Indexed, index_cohort
from braincase.preprocess.prepare import Plan, prepare_cohort
from braincase.sources.find import find_scans


@dataclass(frozen=True)
class Reader:
    """A model as indexing needs it: grid and recipe of its volumes, and how it embeds them."""

    grid: Grid
    recipe: Mapping[str, Any]
    embed: Embed
    fingerprint: str


@dataclass(frozen=True)
class Source:
    """Raw scans: where they are, of which kind, and where their standard volumes go.

    `kind`, `label`, `subject` and `series` are those of `braincase.sources.find.find_scans`.
    """

    path: Path
    cohort: Path
    kind: str = "auto"
    label: str | None = None
    subject: str | None = None
    series: int | None = None


def is_cohort(folder: Path) -> bool:
    """Tell whether a folder is a cohort that Braincase prepared, not a source of raw scans."""
    try:
        about = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
        makers = [maker.get("Name") for maker in about.get("GeneratedBy", [])]
    except (OSError, ValueError, AttributeError, TypeError):
        return False
    return "braincase" in makers


def cohort_beside(url: str | Path) -> Path:
    """Return where the standard volumes of a gallery's raw scans go if nothing else is said."""
    place = place_of(url)
    folder = place.record if isinstance(place, MilvusPlace) else place
    return folder.with_name(f"{folder.name}-cohort")


def index_source(
    url: str | Path, source: Source, reader: Reader, workers: int = 0
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
    reader
        The model.
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
    scans, found = find_scans(source.path, source.kind, source.label, source.subject, source.series)
    if not scans:
        reasons = "; ".join(f"{where}: {why}" for where, why in found.dropped[:3])
        raise CohortError(source.path, "no T1-weighted scan", "at least one", reasons)
    intensity = str(reader.recipe.get("intensity", "white-matter"))
    extraction = str(reader.recipe.get("extraction", "watershed"))
    label = source.label or found.label_column
    plan = Plan(source.cohort, reader.grid, intensity, extraction, None, found.dropped, label)
    summary = prepare_cohort(scans, plan, workers=workers)
    indexed = index_cohort(url, open_cohort(source.cohort), reader.embed, reader.fingerprint)
    left_out = summary.census.dropped if summary.census else ()
    notes = [f"the standard volumes are in {source.cohort}"]
    if summary.grades.get("look"):
        notes.append(f"{summary.grades['look']} scans are to be looked at: {summary.page}")
    if canonical(plan.recipe) != canonical(reader.recipe):
        made_by = reader.recipe.get("Name", "another recipe")
        notes.append(f"the model learned from volumes made otherwise ({made_by})")
    return replace(indexed, failed=(*left_out, *indexed.failed)), tuple(notes)
