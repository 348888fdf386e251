"""Results of preparing each scan, in the cohort's folder ``qc/``: one JSON and one picture a scan.

The JSON is written last of all that a scan leaves on disk. So a run that was killed finds out by it
what is done, several machines share the work without talking to each other, and the quality page is
made from these files alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

from braincase.files import atomic_write, write_json
from braincase.json_values import Json, JsonObject, canonical_json, parse_json, to_json_object
from braincase.preprocess.quality.picture import SliceStrip
from braincase.preprocess.quality.verdict import Quality
from braincase.sources.scan import Scan

FOLDER = "qc"
#: Bytes, and the time of the last change in ns, of all that belongs to a scan.
Stat = tuple[int, int]


@dataclass(frozen=True)
class PassedOver:
    """A scan that proved unusable: where, as what, and why; another of its visit is used."""

    path: str
    stat: Stat
    reason: str


@dataclass(frozen=True)
class ScanResult:
    """The result of preparing one scan: the verdict, by which recipe, and its picture.

    Parameters
    ----------
    scan
        Which scan; its path is the source's.
    stat
        What the source was when it was read.
    quality
        The verdict; a scan that could not be read or prepared fails with that reason.
    judged
        Whether the verdict is about the image. If not (it could not be read, or a step failed),
        the next run tries again.
    trace
        Where in the program a step failed, for a report; empty for all that a user can mend.
    recipe
        The preprocessing recipe as canonical JSON text; filled in when it is written.
    outline
        The brain mask's outline in the picture, SVG path data.
    size
        Width and height of the picture in pixels; (0, 0) if there is none.
    passed_over
        Better scans of the same visit that proved unusable, so that this one is used.
    """

    scan: Scan
    stat: Stat
    quality: Quality
    judged: bool = True
    trace: str = ""
    recipe: str = ""
    outline: str = ""
    size: tuple[int, int] = (0, 0)
    passed_over: tuple[PassedOver, ...] = ()

    def is_of(self, scan: Scan, recipe: JsonObject) -> bool:
        """Tell whether this is the result of `scan` (or its stand-in) as it is now, by `recipe`."""
        if self.recipe != canonical_json(recipe):
            return False
        if self.passed_over:
            unchanged = self.passed_over[0].stat == stat_of(scan)
            return unchanged and self.stat == stat_of(self.of_visit(scan))
        return self.stat == stat_of(scan)

    def of_visit(self, scan: Scan) -> Scan:
        """Return which of a visit's scans this is the result of, and why no better one."""
        if not self.passed_over:
            return scan
        run = next((run for run in scan.runs if run.path == self.scan.path), scan)
        told = (f"{Path(one.path).name} is not used: {one.reason}" for one in self.passed_over)
        return replace(run, evidence=(*run.evidence, *told))

    def clash_with(self, scan: Scan) -> str:
        """Return why another scan of the same name, which still exists, was here first."""
        first, second = self.scan.path, self.of_visit(scan).path
        if first == second or not first.exists() or self.stat == stat_of(scan):
            return ""
        return (
            f"the cohort's {scan.scan_id} is {first} already; another person of the same number,"
            " at another site, gets a name of their own by --site NAME (`site`)"
        )


def stat_of(scan: Scan) -> Stat:
    """Return size and time of an image file (of both files of a pair) or of a DICOM series.

    Of a series whose files are known only these are looked at: a folder may hold many people's.
    """
    path = scan.path
    if path.is_dir() and scan.files:
        files = [path / name for name in scan.files]
    elif path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
    elif ".hdr" in path.name:
        files = [path, path.with_name(path.name.replace(".hdr", ".img"))]
    else:
        files = [path]
    stats = [file.stat() for file in files if file.exists()]
    return sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)


def picture_path(folder: Path, scan: Scan) -> Path:
    """Return where the picture of `scan` lies in a cohort's folder."""
    return folder / FOLDER / f"{scan.scan_id}.webp"


def write_scan_result(
    folder: Path, recipe: JsonObject, result: ScanResult, picture: SliceStrip | None
) -> None:
    """Write the result of one scan: the picture first, the JSON last."""
    path = picture_path(folder, result.scan)
    path.unlink(missing_ok=True)
    result = replace(result, recipe=canonical_json(recipe))
    if picture is not None:
        with atomic_write(path) as aside:
            aside.write_bytes(picture.webp)
        size = (picture.width, picture.height)
        result = replace(result, outline=picture.outline, size=size)
    write_json(_path(folder, result.scan), _to_json(result))


def read_scan_result(folder: Path, scan: Scan) -> ScanResult | None:
    """Return the result of a scan in an earlier run, or None if there is none."""
    return _read(_path(folder, scan))


def read_scan_results(folder: Path) -> list[ScanResult]:
    """Return the results of all scans of a cohort, sorted by scan_id."""
    results = (_read(path) for path in sorted((folder / FOLDER).glob("sub-*.json")))
    return [result for result in results if result is not None]


def relabel(folder: Path, result: ScanResult, scan: Scan) -> None:
    """Bring a result up to date with the labels and the place that its source gives now."""
    used = result.of_visit(scan)
    if result.scan != used:
        write_json(_path(folder, scan), _to_json(replace(result, scan=used)))


def failures(results: Sequence[ScanResult]) -> list[tuple[str, str]]:
    """Return the scans that are not in the cohort: where, and the reasons."""
    return [
        (str(result.scan.path), "; ".join(result.quality.reasons))
        for result in results
        if result.quality.grade == "fail"
    ] + [
        (over.path, f"{over.reason}; {result.scan.path.name} of the same visit is used")
        for result in results
        for over in result.passed_over
    ]


def _path(folder: Path, scan: Scan) -> Path:
    return folder / FOLDER / f"{scan.scan_id}.json"


def _to_json(result: ScanResult) -> dict[str, Json]:
    scan, quality = result.scan, result.quality
    return to_json_object(
        {
            "Subject": scan.subject,
            "Session": scan.session,
            "Labels": dict(scan.labels),
            "Source": str(scan.path),
            "SourceStat": result.stat,
            "Recipe": parse_json(result.recipe),
            "Judged": result.judged,
            "Quality": quality.to_json(),
            "Trace": result.trace,
            "PictureSize": result.size,
            "Outline": result.outline,
            "PassedOver": [[over.path, over.stat, over.reason] for over in result.passed_over],
        }
    )


def _read(path: Path) -> ScanResult | None:
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        quality = content["Quality"]
        measures = {name: nan if v is None else v for name, v in quality["Measures"].items()}
        return ScanResult(
            scan=Scan(
                Path(content["Source"]), content["Subject"], content["Session"], content["Labels"]
            ),
            stat=(int(content["SourceStat"][0]), int(content["SourceStat"][1])),
            recipe=canonical_json(content["Recipe"]),
            quality=Quality(quality["Grade"], tuple(quality["Reasons"]), measures),
            judged=bool(content["Judged"]),
            trace=content["Trace"],
            outline=content["Outline"],
            size=(int(content["PictureSize"][0]), int(content["PictureSize"][1])),
            passed_over=tuple(
                PassedOver(path, (int(stat[0]), int(stat[1])), reason)
                for path, stat, reason in content.get("PassedOver", ())
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None  # not there, or of another version: the scan is prepared again
