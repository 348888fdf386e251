"""What became of each scan, kept in the cohort's folder ``qc/``: one JSON and one picture a scan.

The JSON is written last of all that a scan leaves on disk. So a run that was killed finds out by it
what is done, several machines share the work without talking to each other, and the quality page is
made from these files alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from braincase.files import atomic_write, write_json
from braincase.json_values import canonical_json, to_json
from braincase.preprocess.quality.picture import Picture
from braincase.preprocess.quality.verdict import Quality
from braincase.sources.scan import Scan

FOLDER = "qc"
#: Bytes, and the time of the last change in ns, of all that belongs to a scan.
Stat = tuple[int, int]


@dataclass(frozen=True)
class ScanResult:
    """What became of one scan.

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
    """

    scan: Scan
    stat: Stat
    quality: Quality
    judged: bool = True
    trace: str = ""
    recipe: str = ""
    outline: str = ""
    size: tuple[int, int] = (0, 0)

    def is_of(self, scan: Scan, recipe: Mapping[str, Any]) -> bool:
        """Tell whether this became of `scan` as it is now, by `recipe`."""
        return self.stat == stat_of(scan.path) and self.recipe == canonical_json(recipe)

    def clashes_with(self, scan: Scan) -> bool:
        """Tell whether another scan of the same name, which still exists, was here first."""
        mine, other = self.scan.path, scan.path
        return mine != other and mine.exists() and self.stat != stat_of(other)


def stat_of(path: Path) -> Stat:
    """Return size and time of an image file (of both files of a pair) or of a DICOM folder."""
    if path.is_dir():
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


def write_outcome(
    folder: Path, recipe: Mapping[str, Any], outcome: ScanResult, picture: Picture | None
) -> None:
    """Write what became of a scan: the picture first, the JSON last."""
    path = picture_path(folder, outcome.scan)
    path.unlink(missing_ok=True)
    outcome = replace(outcome, recipe=canonical_json(recipe))
    if picture is not None:
        with atomic_write(path) as aside:
            aside.write_bytes(picture.webp)
        size = (picture.width, picture.height)
        outcome = replace(outcome, outline=picture.outline, size=size)
    write_json(_path(folder, outcome.scan), to_json(_to_json(outcome)))


def read_outcome(folder: Path, scan: Scan) -> ScanResult | None:
    """Return what became of a scan in an earlier run, or None if that is not known."""
    return _read(_path(folder, scan))


def read_outcomes(folder: Path) -> list[ScanResult]:
    """Return what became of all scans of a cohort, sorted by scan_id."""
    found = (_read(path) for path in sorted((folder / FOLDER).glob("sub-*.json")))
    return [outcome for outcome in found if outcome is not None]


def relabel(folder: Path, outcome: ScanResult, scan: Scan) -> None:
    """Bring an outcome up to date with the labels and the place that its source gives now."""
    if outcome.scan != scan:
        write_json(_path(folder, scan), to_json(_to_json(replace(outcome, scan=scan))))


def failures(outcomes: Iterable[ScanResult]) -> list[tuple[str, str]]:
    """Return the scans that are not in the cohort: where, and the reasons."""
    return [
        (str(outcome.scan.path), "; ".join(outcome.quality.reasons))
        for outcome in outcomes
        if outcome.quality.grade == "fail"
    ]


def _path(folder: Path, scan: Scan) -> Path:
    return folder / FOLDER / f"{scan.scan_id}.json"


def _to_json(outcome: ScanResult) -> dict[str, Any]:
    scan, quality = outcome.scan, outcome.quality
    return {
        "Subject": scan.subject,
        "Session": scan.session,
        "Labels": dict(scan.labels),
        "Source": str(scan.path),
        "SourceStat": outcome.stat,
        "Recipe": json.loads(outcome.recipe),
        "Judged": outcome.judged,
        "Quality": quality.to_json(),
        "Trace": outcome.trace,
        "PictureSize": outcome.size,
        "Outline": outcome.outline,
    }


def _read(path: Path) -> ScanResult | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        quality = found["Quality"]
        return ScanResult(
            scan=Scan(Path(found["Source"]), found["Subject"], found["Session"], found["Labels"]),
            stat=(int(found["SourceStat"][0]), int(found["SourceStat"][1])),
            recipe=canonical_json(found["Recipe"]),
            quality=Quality(quality["Grade"], tuple(quality["Reasons"]), quality["Measures"]),
            judged=bool(found["Judged"]),
            trace=found["Trace"],
            outline=found["Outline"],
            size=(int(found["PictureSize"][0]), int(found["PictureSize"][1])),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None  # not there, or of another version: the scan is prepared again
