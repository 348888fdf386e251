"""Preprocess many scans into a cohort: in parallel, resumable, sharded, with quality control.

Each scan is read, brought to standard form, judged and written, in as many processes as there are
cores. What is done is never done again, so a run that was stopped goes on where it was; and several
machines can each take a shard of the scans: the one that finishes last makes the cohort whole.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from braincase.cohort.cohort import PreparedScan, finish_cohort, has_case, update_labels, write_case
from braincase.cohort.derivatives import claim_folder, image_path, mask_path, sidecar_path
from braincase.cohort.view import ViewChoice, has_view, remove_views
from braincase.errors import CohortError, LostProcessError, ParameterError, ScanError, UsageError
from braincase.files import PathField
from braincase.images.face import shows_face
from braincase.images.geometry import STANDARD_GRID, Grid
from braincase.images.volume import write_volume
from braincase.json_values import Json, JsonObject, canonical_json
from braincase.parallel import run_all
from braincase.preprocess.prepare_volume import Prepared, prepare_batch, recipe_of
from braincase.preprocess.quality.picture import SliceStrip, picture_raw, picture_standard
from braincase.preprocess.quality.quality_page import write_page
from braincase.preprocess.quality.scan_result import (
    PassedOver,
    ScanResult,
    failures,
    read_scan_result,
    read_scan_results,
    relabel,
    stat_of,
    write_scan_result,
)
from braincase.preprocess.quality.verdict import Quality, judge, screen, unusable
from braincase.sources.census import Census, counted, take_census
from braincase.sources.read import read_scan
from braincase.sources.scan import Scan

PAGE, GRADES = "quality.html", ("pass", "look", "fail")
Dropped = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Shard:
    """A shard: one of several equal parts of the work, numbered from 1."""

    number: int = 1
    of: int = 1


@dataclass(frozen=True)
class Plan:
    """The settings of preparing a cohort: where to, and how.

    Parameters
    ----------
    folder
        The cohort.
    grid
        The voxel grid of its volumes.
    intensity, extraction, strip
        As in `prepare_volume`.
    device
        Where registration and resampling run: None for the processor, or ``cuda``.
    dropped
        What the source's reader left out: where, and the reason.
    label_column
        The label that the census counts.
    view
        Which view volume lies beside each standard volume; None makes none.
    views_of_all
        Whether that holds for scans done before too: they are prepared again, or lose theirs.
    """

    folder: PathField = PathField()  # noqa: RUF009  # a descriptor
    grid: Grid = STANDARD_GRID
    intensity: str = "white-matter"
    extraction: str = "watershed"
    device: str | None = None
    dropped: Dropped = ()
    label_column: str = "diagnosis"
    strip: bool = True
    view: ViewChoice | None = None
    views_of_all: bool = False

    @property
    def recipe(self) -> JsonObject:
        """The preprocessing recipe that these settings give."""
        return recipe_of(self.grid, self.intensity, self.extraction, self.strip)


@dataclass(frozen=True)
class Summary:
    """Summary of preparing a cohort: grades, what is missing, the quality page, the census.

    Parameters
    ----------
    grades
        How many of the source's scans pass, are to be looked at, and fail.
    done_before
        How many of this shard were done by an earlier run.
    missing
        How many scans other shards still have to do; the cohort is finished if none.
    page
        The quality page, once the cohort is finished.
    census
        Of the whole cohort, once it is finished.
    """

    grades: Mapping[str, int]
    done_before: int
    missing: int
    page: Path | None = None
    census: Census | None = None

    def lines(self) -> list[str]:
        """Return the summary as lines to print."""
        counts = ", ".join(f"{self.grades.get(grade, 0):,} {grade}" for grade in GRADES)
        lines = [f"{counted(sum(self.grades.values()), 'scan')}: {counts}"]
        if self.done_before:
            lines.append(f"{counted(self.done_before, 'scan')} done before")
        if self.missing:
            lines.append(f"{counted(self.missing, 'scan')} of other shards not done yet")
        lines += self.census.lines() if self.census else []
        return lines + ([f"look at {self.page}"] if self.page else [])

    def to_json(self) -> dict[str, Json]:
        """Return the summary as plain JSON values."""
        return {
            "grades": {grade: self.grades.get(grade, 0) for grade in GRADES},
            "done_before": self.done_before,
            "missing": self.missing,
            "page": str(self.page) if self.page else None,
            "census": self.census.to_json() if self.census else None,
        }


def parse_shard(text: str) -> Shard:
    """Parse a shard as the command line gives it: ``2/5`` is the second of five.

    Raises
    ------
    UsageError
        If it is no such text.
    """
    number, slash, of = text.partition("/")
    if slash and number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of):
        return Shard(int(number), int(of))
    raise ParameterError("shard", repr(text), "i/N with i from 1 to N, such as 1/4")


def prepare_cohort(
    scans: Iterable[Scan], plan: Plan, shard: Shard = Shard(), workers: int = 0
) -> Summary:
    """Prepare scans into a cohort; what an earlier run did is not done again.

    A scan that cannot be used is listed with the reason and never stops the others.

    Parameters
    ----------
    scans
        From a reader in `braincase.sources`.
    plan
        Where to, and how.
    shard
        Which part of the scans to prepare here.
    workers
        Number of processes; 0 means one a core.

    Raises
    ------
    CohortError
        If no scan is usable, or the folder holds scans of another recipe.
    UsageError
        If the folder holds something else.
    """
    claim_folder(plan.folder)
    accepted, refused = sort_out(scans, plan)
    _check_others(plan, accepted)
    mine = accepted[shard.number - 1 :: shard.of]
    todo = [scan for scan in mine if not _is_done(plan, scan)]
    for done in run_all(partial(_prepare, plan), todo, "preparing", workers):
        if isinstance(done.error, LostProcessError):
            _write_broken(plan, done.item, f"{done.error.found}; {done.error.advice}")
        elif done.error:
            raise done.error
    return conclude(accepted, plan, refused, len(mine) - len(todo))


def conclude(
    scans: Sequence[Scan], plan: Plan, refused: Dropped = (), done_before: int = 0
) -> Summary:
    """Count the results of the scans, and finish the cohort if none is missing.

    Parameters
    ----------
    scans, refused
        From `sort_out`.
    plan
        As in `prepare_cohort`.
    done_before
        See `Summary`.
    """
    recipe, current = plan.recipe, []
    for scan in scans:
        result = read_scan_result(plan.folder, scan)
        if result and result.is_of(scan, recipe):
            current.append(result)
    grades = Counter(str(result.quality.grade) for result in current)
    if missing := len(scans) - len(current):
        return Summary(grades, done_before, missing)
    return Summary(grades, done_before, 0, *finish(plan, refused))


def finish(plan: Plan, refused: Dropped = ()) -> tuple[Path, Census]:
    """Write the quality page, then the tables, the packed volumes and the census of the cohort.

    Raises
    ------
    CohortError
        If no scan is usable.
    """
    results = read_scan_results(plan.folder)
    if not results:
        where, reason = next(iter(refused), (plan.folder, "no scan"))
        raise CohortError(where, reason, "", "No scan can be prepared.")
    page = plan.folder / PAGE
    write_page(page, plan.folder, results, plan.grid)
    usable = [result.scan for result in results if result.quality.grade != "fail"]
    if not usable:
        first = results[0]
        reasons = f"{first.scan.scan_id}: {'; '.join(first.quality.reasons)}"
        found = f"none of {len(results):,} scans is usable ({reasons})"
        raise CohortError(plan.folder, found, "", f"Open {page} for pictures and reasons.")
    places = {str(scan.path) for scan in usable}  # a second run that took the first one's place
    dropped = [(where, why) for where, why in plan.dropped if str(where) not in places]
    dropped = [*dropped, *refused, *failures(results)]
    census = take_census(usable, dropped, plan.label_column)
    finish_cohort(plan.folder, plan.grid, plan.recipe, census, plan.label_column)
    return page, census


def sort_out(scans: Iterable[Scan], plan: Plan) -> tuple[list[Scan], Dropped]:
    """Return the scans to prepare, sorted, and those whose place is taken or impossible."""
    accepted: dict[str, Scan] = {}
    refused: list[tuple[str, str]] = []
    for scan in sorted(scans, key=lambda scan: (scan.scan_id, str(scan.path))):
        before = read_scan_result(plan.folder, scan)
        if scan.scan_id in accepted:
            reason = f"{scan.scan_id} is {accepted[scan.scan_id].path} already"
        elif not (reason := before.clash_with(scan) if before else ""):
            reason = _bad_name(plan, scan)
        if reason:
            refused.append((str(scan.path), reason))
        else:
            accepted[scan.scan_id] = scan
    return list(accepted.values()), tuple(refused)


def _bad_name(plan: Plan, scan: Scan) -> str:
    try:
        image_path(plan.folder, plan.grid, scan)
    except ScanError as error:
        return f"{error.found}; expected {error.expected}"
    return ""


def _check_others(plan: Plan, scans: Sequence[Scan]) -> None:
    """Stop at once, not after hours, where other sources' scans have another recipe."""
    mine = {scan.scan_id for scan in scans}
    recipe = canonical_json(plan.recipe)
    for result in read_scan_results(plan.folder):
        of_others = result.scan.scan_id not in mine and result.quality.grade != "fail"
        if of_others and result.recipe != recipe:
            found = f"{result.scan.scan_id} was prepared by another recipe"
            raise CohortError(plan.folder, found, "", "Use a new folder for these settings.")


def _is_done(plan: Plan, scan: Scan) -> bool:
    """Tell whether an earlier run judged this scan as it is now; bring its labels up to date."""
    if not was_done(plan, scan) or (result := read_scan_result(plan.folder, scan)) is None:
        return False
    if result.quality.grade != "fail":
        update_labels(plan.folder, plan.grid, result.of_visit(scan))
        if plan.views_of_all and plan.view is None:
            remove_views(image_path(plan.folder, plan.grid, scan))
    relabel(plan.folder, result, scan)
    return True


def was_done(plan: Plan, scan: Scan) -> bool:
    """Tell whether an earlier run judged this scan as it is now."""
    result = read_scan_result(plan.folder, scan)
    if result is None or not result.judged or not result.is_of(scan, plan.recipe):
        return False
    if result.quality.grade == "fail":
        return True
    image = image_path(plan.folder, plan.grid, scan)
    if plan.views_of_all and plan.view is not None and not has_view(image, plan.view):
        return False
    return has_case(plan.folder, plan.grid, scan, plan.recipe)


@dataclass(frozen=True)
class _Attempt:
    """What came of one scan: the verdict, the picture, and the image where it is usable."""

    result: ScanResult
    picture: SliceStrip | None = None
    prepared: Prepared | None = None


def _prepare(plan: Plan, scan: Scan) -> None:
    """Prepare one visit: its best scan or, where that proves unusable, the next; and write it."""
    attempts: list[_Attempt] = []
    for run in (scan, *scan.runs):
        attempts.append(_attempt(plan, run))
        if attempts[-1].result.quality.grade != "fail":
            break
    chosen = attempts[-1]
    if chosen.result.quality.grade == "fail":
        chosen, attempts = attempts[0], []  # none is usable: the best one says why
    over = tuple(
        PassedOver(str(a.result.scan.path), a.result.stat, "; ".join(a.result.quality.reasons))
        for a in attempts[:-1]
    )
    result = replace(chosen.result, passed_over=over)
    _write(plan, replace(result, scan=result.of_visit(scan)), chosen.picture, chosen.prepared)


def _attempt(plan: Plan, scan: Scan) -> _Attempt:
    """Read, screen, prepare and judge one scan; if it breaks, that is its verdict."""
    stat, volume, trace = stat_of(scan), None, ""
    try:
        volume = read_scan(scan)
        if verdict := screen(volume):
            return _Attempt(ScanResult(scan, stat, verdict), picture_raw(volume))
        (prepared,) = prepare_batch(
            [volume], plan.grid, plan.intensity, plan.extraction, plan.device, plan.strip, plan.view
        )
        result = ScanResult(scan, stat, judge(volume, prepared, plan.grid))
        picture = picture_standard(prepared.head, prepared.mask, plan.grid)
        return _Attempt(result, picture, prepared)
    except ScanError as error:
        reason = str(error).removeprefix(f"{error.where}: ")  # the census says where
    except UsageError:
        raise  # a tool that is not installed: no scan can be prepared
    except OSError as error:
        if not Path(str(error.filename)).is_relative_to(scan.path):
            raise  # a full disk: no scan can be prepared
        reason = f"a file that cannot be read ({error.strerror})"
    except Exception as error:
        reason = f"a step failed on this image ({type(error).__name__}: {error}); please report it"
        trace = traceback.format_exc()
    broken = ScanResult(scan, stat, unusable(reason), judged=False, trace=trace)
    return _Attempt(broken, picture_raw(volume) if volume else None)


def _write_broken(plan: Plan, scan: Scan, reason: str) -> None:
    """List a scan that could not be judged; the next run tries it again."""
    _write(plan, ScanResult(scan, stat_of(scan), unusable(reason), judged=False), None)


def _write(
    plan: Plan, result: ScanResult, picture: SliceStrip | None, prepared: Prepared | None = None
) -> None:
    """Write the result of a scan; its image and mask only if it is usable."""
    image = image_path(plan.folder, plan.grid, result.scan)
    if prepared is None or result.quality.grade == "fail":
        for path in (sidecar_path(image), image, mask_path(image)):
            path.unlink(missing_ok=True)  # of an earlier recipe or an earlier source
        remove_views(image)
    else:
        write_volume(mask_path(image), prepared.mask, plan.grid.affine)
        sidecar = _sidecar(prepared, result.quality, plan.grid)
        case = PreparedScan(result.scan, prepared.volume, sidecar, prepared.view)
        write_case(plan.folder, plan.grid, case)
    write_scan_result(plan.folder, plan.recipe, result, picture)


def _sidecar(prepared: Prepared, quality: Quality, grid: Grid) -> dict[str, object]:
    to_mni = np.asarray(prepared.native_to_mni, np.float64)
    return {
        "NativeToMNI": to_mni,
        "MNIToNative": np.linalg.inv(to_mni),
        "Quality": quality.to_json(),
        "Recipe": dict(prepared.recipe),
        "SkullStripped": bool(prepared.recipe.get("strip", True)),
        **({"ShowsFace": True} if shows_face(prepared.volume, grid.affine) else {}),
    }
