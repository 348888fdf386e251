"""A prepared cohort into a gallery: resumable, idempotent, one bad scan never stops it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from braincase.errors import FingerprintError, UsageError
from braincase.gallery import Change, Gallery, NewCase
from braincase.gallery.opening import create_gallery, exists, open_gallery
from braincase.gallery.record.content import checked_case
from braincase.images.planes import thumbnail_of
from braincase.models.encoder import Embed
from braincase.progress import progress

if TYPE_CHECKING:
    from braincase.cohort.cohort import Cohort


#: Scans embedded and committed together.
BATCH = 32
#: Columns of a cohort's table that are no labels.
IDENTITY = ("scan_id", "subject", "session", "image", "image_hash")


@dataclass(frozen=True)
class Indexed:
    """What indexing did; `failed` holds pairs (scan_id, reason), `erased_before` scan_ids."""

    version: int
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: tuple[tuple[str, str], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    erased_before: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return what to tell the user, a line each."""
        told = [
            f"{self.added} added, {self.updated} updated, {self.unchanged} unchanged,"
            f" {len(self.failed)} failed; the gallery is at version {self.version}"
        ]
        told += [f"same image: {one} and {other}" for one, other in self.duplicates]
        told += [
            f"erased before, left out: {scan} (braincase gallery readmit lets it in again)"
            for scan in self.erased_before
        ]
        return told + [f"failed: {scan}: {reason}" for scan, reason in self.failed]


def index_cohort(
    url: str | Path,
    cohort: Cohort,
    embed: Embed,
    fingerprint: str,
    batch: int = BATCH,
    rows: NDArray[np.int64] | None = None,
) -> Indexed:
    """Put the scans of a prepared cohort into a gallery, which is made if it is not there.

    A scan that is there with the same image and labels is not embedded again, so an interrupted run
    goes on where it stopped; one whose labels changed keeps its code; one whose image changed is
    embedded anew. Each batch is one transaction.

    Parameters
    ----------
    url
        The gallery.
    cohort
        As `braincase.cohort.cohort.open_cohort` gives it.
    embed
        The model's `braincase.models.embed.embedder`.
    fingerprint
        The model's.
    batch
        Scans embedded at a time.
    rows
        Which rows of the cohort's table; None means all.

    Raises
    ------
    FingerprintError
        If the gallery holds another model's codes, or codes of another resolution.
    """
    with contextlib.closing(_gallery_for(url, cohort, embed, fingerprint)) as gallery:
        total = Indexed(gallery.info().version)
        chosen = np.arange(len(cohort.table)) if rows is None else rows
        with progress("indexing", len(chosen)) as advance:
            for start in range(0, len(chosen), batch):
                part = chosen[start : start + batch]
                total = _add(total, *_index_rows(gallery, cohort, embed, fingerprint, part))
                advance(len(part))
        return total


def _gallery_for(url: str | Path, cohort: Cohort, embed: Embed, fingerprint: str) -> Gallery:
    if not exists(url):
        sample = embed(np.zeros((1, *cohort.grid.shape), np.uint8))
        return create_gallery(url, fingerprint, cohort.grid.resolution_mm, sample.shape[1])
    gallery = open_gallery(url, fingerprint)
    resolution = gallery.info().resolution_mm
    if resolution != cohort.grid.resolution_mm:
        raise FingerprintError(
            cohort.folder, f"scans at {cohort.grid.resolution_mm} mm", f"{resolution} mm"
        )
    return gallery


def _index_rows(
    gallery: Gallery, cohort: Cohort, embed: Embed, fingerprint: str, rows: NDArray[np.int64]
) -> tuple[Change, list[tuple[str, str]]]:
    records = [_record(cohort, row) for row in rows]
    there = gallery.find([record["scan_id"] for record in records])
    same_image = [
        record["scan_id"] in there
        and record["image_hash"] is not None
        and there[record["scan_id"]].image_hash == record["image_hash"]
        for record in records
    ]
    fresh = [row for row, known in zip(rows, same_image, strict=True) if not known]
    codes, pictures = _embedded(cohort, embed, fresh)
    cases, failed = [], []
    for row, record in zip(rows, records, strict=True):
        scan_id = record["scan_id"]
        code = codes[row] if row in codes else there[scan_id].code
        if not np.isfinite(code).all():
            failed.append((scan_id, "the model gave numbers that are not finite"))
            continue
        picture = pictures[row] if row in pictures else gallery.thumbnail(scan_id)
        case = NewCase(code=code, cohort=cohort.folder, thumbnail=picture, **record)
        try:
            checked_case(case, len(code))
        except UsageError as error:  # one scan never stops a cohort
            failed.append((scan_id, f"{error.found}; expected {error.expected}"))
            continue
        cases.append(case)
    return gallery.update(cases, fingerprint), failed


def _embedded(
    cohort: Cohort, embed: Embed, rows: Sequence[int]
) -> tuple[dict[int, NDArray[np.float32]], dict[int, bytes]]:
    if not rows:
        return {}, {}
    volumes = cohort.volumes[np.asarray(rows)]
    codes = dict(zip(rows, embed(volumes), strict=True))
    return codes, {
        row: thumbnail_of(volume, cohort.grid) for row, volume in zip(rows, volumes, strict=True)
    }


def _record(cohort: Cohort, row: int) -> dict[str, Any]:
    values = {str(k): v for k, v in cohort.table.iloc[int(row)].to_dict().items()}
    known = {name: value for name, value in values.items() if not _missing(value)}
    identity = {name: known.get(name) for name in IDENTITY}
    identity["labels"] = {
        name: known.get(name) for name in values if name not in IDENTITY and name in known
    }
    return identity


def _missing(value: Any) -> bool:
    return value is None or value != value or str(value) == "<NA>"  # NaN is not itself


def _add(total: Indexed, change: Change, failed: Sequence[tuple[str, str]]) -> Indexed:
    return Indexed(
        change.version,
        total.added + len(change.added),
        total.updated + len(change.updated),
        total.unchanged + len(change.unchanged),
        total.duplicates + change.duplicates,
        total.failed + tuple(failed),
        total.erased_before + change.erased_before,
    )
