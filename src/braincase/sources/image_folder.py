"""Read single images, and folders of images that follow no standard.

A folder's files are told apart by their names: what calls itself a T1 is taken, what calls itself
something else (mask, labels, T2, FLAIR, ...) is not, and a name that says neither is taken too, for
the quality check looks at every image. A FreeSurfer subject gives its ``orig.mgz``. A table beside
the images joins where its first column begins their names.
"""

from __future__ import annotations

import re
from pathlib import Path

from braincase.errors import UsageError
from braincase.images.header import suffix_of
from braincase.sources.bids import entities_of
from braincase.sources.census import Census, take_census
from braincase.sources.choose import Dropped, image_marks, one_a_session
from braincase.sources.rows import Row, clean, clean_subjects, label_column_of, labels_of, read_rows
from braincase.sources.scan import Scan

#: Words for what is made from an image, such as ``brainmask`` or ``T1_seg``.
MADE = re.compile(
    r"(?:^|[^a-z])(?:brain|head|skull|lesion)?(?:mask|seg|segmentation|labels?|atlas|dlmuse|dlicv|"
    r"aparc|aseg|wmparc|ribbon|parcellation|warp|fieldmap|prob|probseg|qc)(?![a-z])",
    re.IGNORECASE,
)
#: Words for other kinds of image.
OTHER = re.compile(
    r"(?:^|[^a-z])((?:inplane)?(?:t2|t2w|t2star|flair|pd|pdw|dwi|dti|adc|bold|fmri|epi|asl|swi|mra|"
    r"tof|ct|pet|fdg|localizer|scout))(?![a-z])",
    re.IGNORECASE,
)
T1 = re.compile(r"(?:^|[^a-z0-9])t1(?![0-9])|mp-?rage|spgr|bravo|^orig", re.IGNORECASE)
#: FreeSurfer's volumes, the first that exists is taken.
FREESURFER = ("orig.mgz", "rawavg.mgz", "T1.mgz", "nu.mgz", "brain.mgz", "brainmask.mgz")


def read_image(path: Path, subject: str | None = None) -> tuple[list[Scan], Census]:
    """Return one image file as a scan; its name gives the subject where none is given."""
    entities = entities_of(_stem(path))
    name = subject or entities.get("sub") or _stem(path)
    scan = Scan(path, clean(name) or "scan", entities.get("ses"))
    return [scan], take_census([scan])


def read_images(folder: Path, label_column: str | None = None) -> tuple[list[Scan], Census]:
    """Return the T1w-like images in and under a folder, one a subject, and their census.

    Raises
    ------
    UsageError
        If no image is there, or two images' names give the same subject.
    """
    images = sorted(p for p in folder.rglob("*") if _is_image(p))
    if not images:
        raise UsageError(folder, "no image", "NIfTI, Analyze or MGH files")
    kept, dropped = _sorted_out(images)
    rows = _table_beside(folder)
    owners = {path: _owner(path, folder, rows) for path in kept}
    labels = clean_subjects((name for name, _ in owners.values()), folder)
    scans, second = one_a_session(
        (0 if T1.search(path.name) else 1, Scan(path, labels[name], None, labels_of(row)))
        for path, (name, row) in owners.items()
    )
    column = label_column or label_column_of(key for scan in scans for key in scan.labels)
    return scans, take_census(scans, dropped + second, column, image_marks(scans))


def _is_image(path: Path) -> bool:
    suffix = suffix_of(path)
    return bool(suffix) and not suffix.startswith(".img") and not path.name.startswith(".")


def _sorted_out(images: list[Path]) -> tuple[list[Path], Dropped]:
    names = {(path.parent, path.name) for path in images}
    kept: list[Path] = []
    dropped: Dropped = []
    for path in images:
        reason = reason_against(path, names)
        dropped += [(str(path), reason)] if reason else []
        kept += [] if reason else [path]
    return kept, dropped


def reason_against(path: Path, names: set[tuple[Path, str]]) -> str:
    """Return why an image is no T1w by its name, or an empty string."""
    if path.name in FREESURFER:
        best = next(name for name in FREESURFER if (path.parent, name) in names)
        return "" if path.name == best else f"FreeSurfer's {best} is used"
    stem = _stem(path)
    if MADE.search(stem):
        return "a mask, label map or other derived image by its name"
    other = None if T1.search(stem) else OTHER.search(stem)
    return f"no T1w by its name ({other.group(1)})" if other else ""


def _owner(path: Path, folder: Path, rows: list[tuple[str, Row]]) -> tuple[str, Row]:
    """Return an image's subject and its row in the table beside it."""
    stem = _stem(path)
    for key, row in rows:
        if re.match(re.escape(key) + r"(?![0-9A-Za-z])", stem):
            return key, row
    if path.name in FREESURFER:
        holder = path.parent.parent if path.parent.name == "mri" else path.parent
        return (holder.name if holder != folder else folder.resolve().name), {}
    return entities_of(stem).get("sub") or stem, {}


def _table_beside(folder: Path) -> list[tuple[str, Row]]:
    """Return the rows of the folder's tables by their first cell, longest first."""
    found: list[tuple[str, Row]] = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in (".csv", ".tsv")):
        for row in read_rows(path):
            key, *others = row.items()
            if key[1]:
                found.append((key[1], dict(others)))
    return sorted(found, key=lambda pair: -len(pair[0]))


def _stem(path: Path) -> str:
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.name
