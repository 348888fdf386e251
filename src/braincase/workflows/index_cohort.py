"""Index a prepared cohort into a gallery: resumable, idempotent, one bad scan never stops it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from braincase.answer.compose import answer
from braincase.cohort.cohort import Cohort, open_cohort
from braincase.cohort.packing import IDENTITY_COLUMNS
from braincase.cohort.resolution import at_resolution
from braincase.cohort.view import find_view
from braincase.errors import CohortError, FingerprintError, ScanError, UsageError, some_of
from braincase.gallery import Change, Gallery, NewCase
from braincase.gallery.opening import create_gallery, exists, open_gallery
from braincase.gallery.record.content import checked_case
from braincase.images.face import shows_face
from braincase.images.planes import thumbnail_of
from braincase.labels import Value
from braincase.models.encoder import Encoder
from braincase.progress import progress
from braincase.search.options import SearchOptions
from braincase.search.pipeline import search_by_case
from braincase.sources.identifying import check_there, identifying_columns, left_out_notes
from braincase.workflows.native_scans import RawScans, native_code
from braincase.workflows.other_cohorts import note_on, people_elsewhere, taken_by_another
from braincase.workflows.searchable_gallery import encoder_from

if TYPE_CHECKING:
    from braincase.models.model import Model

#: Scans embedded and committed together.
BATCH = 32


@dataclass(frozen=True)
class Indexed:
    """What indexing did; `failed` holds pairs (scan_id, reason), `erased_before` scan_ids.

    `left_out` says which columns are no labels of the gallery as they may identify people; `faces`
    are scan_ids whose volumes show the person's face; `in_other_cohorts` subjects who had other
    scans from another cohort; `notes` is what else the user should know.
    """

    version: int
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: tuple[tuple[str, str], ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    erased_before: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    faces: tuple[str, ...] = ()
    in_other_cohorts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return what to tell the user, a line each."""
        lines = [
            f"{self.added} added, {self.updated} updated, {self.unchanged} unchanged,"
            f" {len(self.failed)} left out; the gallery is at version {self.version}"
        ]
        lines += [f"same image: {first} and {second}" for first, second in self.duplicates]
        lines += [
            f"erased before, left out: {scan} (braincase gallery readmit lets it in again)"
            for scan in self.erased_before
        ]
        lines += [f"note: {note}" for note in (*self.left_out, *self.notes)]
        scans: dict[str, list[str]] = {}
        for scan, reason in self.failed:
            scans.setdefault(reason, []).append(scan)
        lines += [f"left out: {some_of(names, 1)}: {reason}" for reason, names in scans.items()]
        if self.faces:
            few = some_of(self.faces)
            lines.append(
                f"note: the images of {len(self.faces)} scans show the person's face ({few}), and"
                " so does the gallery: index defaced or skull-stripped ones if others may see it"
            )
        return lines


def index_cohort(
    url: str | Path,
    cohort: Cohort | str | Path,
    encoder: str | Path | Model | Encoder,
    batch: int = BATCH,
    rows: NDArray[np.int64] | None = None,
    raw: RawScans | None = None,
    keep_columns: Sequence[str] = (),
) -> Indexed:
    """Put the scans of a prepared cohort into a gallery, which is made if it is not there.

    A scan that is there with the same image and labels is not embedded again, so an interrupted run
    goes on where it stopped; one whose labels or view volume changed keeps its code; one whose
    image changed is embedded anew, unless the one there is from another folder: that may be another
    person of the same name, and the scan is left out. Each batch is one transaction. Columns that
    seem to identify people (names, birth dates, addresses, hospital numbers) are left out of the
    labels.

    Parameters
    ----------
    url
        The gallery.
    cohort
        As `braincase.open_cohort` gives it, or its folder; of the model's resolution or finer.
    encoder
        The model, its folder, an encoder file, or what `braincase.encoder_of` or
        `braincase.open_encoder` gives.
    batch
        Scans embedded at a time.
    rows
        Which rows of the cohort's table; None means all.
    raw
        The raw scans by scan_id, where the encoder takes them on their own voxels.
    keep_columns
        Columns to keep although they seem to identify people.

    Raises
    ------
    ParameterError
        If a column to keep is not there.
    CohortError
        If its scans are not what the encoder takes.
    FingerprintError
        If the gallery holds another model's codes, or codes of another resolution.
    """
    encoder = encoder_from(encoder)
    cohort = open_cohort(cohort) if isinstance(cohort, str | Path) else cohort
    cohort, notes = _on_models_grid(cohort, encoder)
    _refuse_other_scans(cohort, encoder, raw)
    labels = [_labels_of(cohort, row) for row in range(len(cohort.table))]
    check_there(keep_columns, labels)
    why = identifying_columns(labels, list(cohort.table["subject"]), keep_columns)
    with contextlib.closing(_gallery_for(url, cohort, encoder)) as gallery:
        total = Indexed(gallery.info().version, left_out=tuple(left_out_notes(why)), notes=notes)
        chosen = np.arange(len(cohort.table)) if rows is None else rows
        elsewhere, added = people_elsewhere(gallery, cohort), set[str]()
        with progress("indexing", len(chosen)) as advance:
            for start in range(0, len(chosen), batch):
                part = chosen[start : start + batch]
                done = _index_rows(gallery, cohort, encoder, part, raw or {}, why)
                added.update(done[0].added)
                total = _add(total, *done)
                advance(len(part))
        if total.added or total.updated:
            learn_gallery(gallery)
            notes = (*notes, *gallery.spelling_notes())
    is_new = cohort.table["scan_id"].isin(added)
    new = {str(subject) for subject in cohort.table.loc[is_new, "subject"]}
    people = {subject: folder for subject, folder in elsewhere.items() if subject in new}
    told = (*notes, note_on(people)) if people else notes
    return replace(total, in_other_cohorts=tuple(people), notes=told)


def learn_gallery(gallery: Gallery) -> None:
    """Learn from a gallery, ahead, what an answer to a search as it is usually made waits for.

    It is cached in the gallery's folder (`braincase.population.cache`): the first search after
    indexing answers as fast as the next ones.
    """
    case = next(iter(gallery.one_scan_each(1)), None)
    if case is not None:
        # A search itself, so that nothing it learns can be forgotten here.
        answer(search_by_case(gallery, case.scan_id, SearchOptions()))


def _on_models_grid(cohort: Cohort, encoder: Encoder) -> tuple[Cohort, tuple[str, ...]]:
    """Return a cohort with its volumes on the model's grid, and what to say of it.

    Raises
    ------
    FingerprintError
        If it is coarser.
    """
    own, mm = cohort.grid.resolution_mm, encoder.grid.resolution_mm
    if own == mm:
        return cohort, ()
    if not cohort.grid.voxels_along(encoder.grid):
        expected = f"{mm} mm, as the model takes them, or finer"
        advice = (
            f"Prepare them for it: braincase prepare SCANS {cohort.folder}-{mm}mm --model MODEL"
        )
        raise FingerprintError(cohort.folder, f"scans at {own} mm", expected, advice)
    note = f"the scans were prepared at {own} mm: brought to the model's {mm} mm by means"
    return at_resolution(cohort, encoder.grid), (note,)


def _refuse_other_scans(cohort: Cohort, encoder: Encoder, raw: RawScans | None) -> None:
    """Stop before an encoder is shown scans that were prepared otherwise than it says."""
    if encoder.is_native and raw is None:
        expected = f"the raw scans, which '{encoder.name}' takes on their own voxels"
        raise CohortError(cohort.folder, "a cohort of prepared scans", expected)
    usual = {"strip": True, "intensity": "white-matter"}
    for name, value in usual.items() if encoder.name else ():
        theirs, wanted = cohort.recipe.get(name, value), encoder.recipe.get(name, value)
        if theirs != wanted:
            advice = "Prepare the scans for it: braincase prepare SCANS OUT --model FILE.py"
            found = f"scans prepared with {name} {theirs}"
            expected = f"{wanted}, as '{encoder.name}' takes them"
            raise CohortError(cohort.folder, found, expected, advice)


def _gallery_for(url: str | Path, cohort: Cohort, encoder: Encoder) -> Gallery:
    fingerprint, resolution_mm = encoder.fingerprint, cohort.grid.resolution_mm
    if not exists(url):
        length = encoder.length
        if length is None:
            length = encoder.embed(np.zeros((1, *cohort.grid.shape), np.uint8)).shape[1]
        return create_gallery(url, fingerprint, resolution_mm, length, encoder.name)
    gallery = open_gallery(url, fingerprint)
    resolution = gallery.info().resolution_mm
    if resolution != resolution_mm:
        raise FingerprintError(cohort.folder, f"scans at {resolution_mm} mm", f"{resolution} mm")
    return gallery


def _index_rows(
    gallery: Gallery,
    cohort: Cohort,
    encoder: Encoder,
    rows: NDArray[np.int64],
    raw: RawScans,
    left_out: Mapping[str, str],
) -> tuple[Change, list[tuple[str, str]], list[str]]:
    scans = {row: _scan_of(cohort, row, left_out) for row in rows}
    stored = gallery.find([scan.scan_id for scan in scans.values()])
    url, failed = gallery.info().url, []
    for row, scan in list(scans.items()):
        if reason := taken_by_another(scan, stored.get(scan.scan_id), url):
            failed.append((scan.scan_id, reason))
            del scans[row]
    fresh = [
        row
        for row, scan in scans.items()
        if scan.scan_id not in stored
        or scan.image_hash is None
        or stored[scan.scan_id].image_hash != scan.image_hash
    ]
    codes, broken = _embedded(cohort, encoder, fresh, raw)
    volumes = cohort.volumes[np.asarray(list(codes), np.int64)]
    pictures = {
        row: thumbnail_of(volume, cohort.grid) for row, volume in zip(codes, volumes, strict=True)
    }
    faces = [
        scans[row].scan_id
        for row, volume in zip(codes, volumes, strict=True)
        if shows_face(volume, cohort.grid.affine)
    ]
    cases = []
    for row, scan in scans.items():
        if row in broken:
            failed.append((scan.scan_id, broken[row]))
            continue
        code = codes[row] if row in codes else stored[scan.scan_id].code
        if not np.isfinite(code).all():
            failed.append((scan.scan_id, "the model gave numbers that are not finite"))
            continue
        picture = pictures[row] if row in pictures else gallery.thumbnail(scan.scan_id)
        case = replace(scan, code=code, thumbnail=picture)
        try:
            checked_case(case, len(code))
        except UsageError as error:  # one scan never stops a cohort
            failed.append((scan.scan_id, f"{error.found}; expected {error.expected}"))
            continue
        cases.append(case)
    return gallery.update(cases, encoder.fingerprint), failed, faces


def _embedded(
    cohort: Cohort, encoder: Encoder, rows: Sequence[int], raw: RawScans
) -> tuple[dict[int, NDArray[np.float32]], dict[int, str]]:
    """Return codes by row, and why others have none: one broken scan never stops a cohort."""
    codes: dict[int, NDArray[np.float32]] = {}
    broken: dict[int, str] = {}
    if not encoder.is_native:
        with contextlib.suppress(ScanError):  # then one by one, to find out which
            volumes = cohort.volumes[np.asarray(rows, np.int64)]
            return dict(zip(rows, encoder.embed(volumes), strict=True)), broken
    for row in rows:
        try:
            if encoder.is_native:
                codes[row] = native_code(cohort, row, encoder, raw)
            else:
                codes[row] = encoder.embed(cohort.volumes[np.array([row])])[0]
        except ScanError as error:
            broken[row] = f"{error.found}; expected {error.expected}"
    return codes, broken


def _values_of(cohort: Cohort, row: int) -> dict[str, Value]:
    """Return the cells of a row that are not empty."""
    return {
        str(name): value
        for name, value in cohort.table.iloc[int(row)].to_dict().items()
        if not _is_missing(value)
    }


def _labels_of(cohort: Cohort, row: int) -> dict[str, Value]:
    values = _values_of(cohort, row).items()
    return {name: value for name, value in values if name not in IDENTITY_COLUMNS}


def _scan_of(cohort: Cohort, row: int, left_out: Mapping[str, str]) -> NewCase:
    """Return one row of the cohort's table as a case, still without its code."""
    values = _values_of(cohort, row)
    identity = {name: values.get(name) for name in IDENTITY_COLUMNS}
    text = {name: None if value is None else str(value) for name, value in identity.items()}
    out = {*IDENTITY_COLUMNS, *left_out}
    labels = {name: value for name, value in values.items() if name not in out}
    view = find_view(cohort.folder / str(text["image"]))
    return NewCase(
        scan_id=str(text["scan_id"]),
        subject=str(text["subject"]),
        code=(),
        session=text["session"],
        labels=labels,
        cohort=cohort.folder,
        image=text["image"],
        image_hash=text["image_hash"],
        view=view.path.relative_to(cohort.folder).as_posix() if view else None,
        view_hash=view.voxel_hash if view else None,
    )


def _is_missing(value: object) -> bool:
    """Return whether a cell of a table is empty: None, NaN, NaT or pandas' NA."""
    return value is None or value != value or str(value) == "<NA>"  # NaN is not itself


def _add(
    total: Indexed, change: Change, failed: Sequence[tuple[str, str]], faces: Sequence[str]
) -> Indexed:
    return replace(
        total,
        version=change.version,
        added=total.added + len(change.added),
        updated=total.updated + len(change.updated),
        unchanged=total.unchanged + len(change.unchanged),
        duplicates=total.duplicates + change.duplicates,
        failed=total.failed + tuple(failed),
        erased_before=total.erased_before + change.erased_before,
        faces=total.faces + tuple(faces),
    )
