"""File accounting of a source: every file is used, left out with a reason, or no image, by kind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from braincase.images.header import suffix_of
from braincase.sources.census import Census
from braincase.sources.listing import COHORT, Listing, file_problem, kind_of, kinds
from braincase.sources.scan import Scan
from braincase.sources.sheets import OTHER_SUFFIXES, TABLE_SUFFIXES

#: Folders of a BIDS data set that hold no raw images.
NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli")


def with_files(
    census: Census, scans: Sequence[Scan], listing: Listing, kind: str, root: Path
) -> Census:
    """Add to a census what became of every file below its source.

    Parameters
    ----------
    census, scans
        From a reader.
    listing
        All files below the source.
    kind
        The reader, for the reason against images that it does not look at.
    root
        The folder that the reader was given, in that of the listing.
    """
    used = _used(scans)
    listed = _with_voxels(census.dropped)
    counts: Counter[str] = Counter()
    others: Counter[str] = Counter()
    dropped: list[tuple[str, str]] = []
    notes: list[str] = []
    read = " ".join((*census.tables, *census.notes))
    for name in listing.files:
        if name in used or os.path.dirname(name) in used:
            counts["used"] += 1
        elif name in listed or os.path.dirname(name) in listed:
            counts["left out"] += 1
        elif suffix_of(Path(name)):
            dropped.append((name, _why_not(name, root, kind)))
            counts["left out"] += 1
        else:
            others[kind_of(name)] += 1
            if kind_of(name) in (*TABLE_SUFFIXES, *OTHER_SUFFIXES):
                notes += _unread_table(name, listing, read)
    dropped += [(place, COHORT) for place in listing.cohorts]
    dropped += listing.closed
    files = {what: counts[what] for what in ("used", "left out") if counts[what]}
    if others:
        files[f"no image ({kinds(others)})"] = others.total()
    if listing.hidden:
        files["hidden (skipped)"] = listing.hidden
    return replace(
        census,
        dropped=(*census.dropped, *dropped),
        notes=(*census.notes, *notes),
        files=files,
    )


def _used(scans: Sequence[Scan]) -> set[str]:
    used = set()
    for scan in scans:
        used.add(str(scan.path))
        if ".hdr" in scan.path.name:
            used.add(str(scan.path.with_name(scan.path.name.replace(".hdr", ".img"))))
    return used


def _with_voxels(dropped: Sequence[tuple[str, str]]) -> set[str]:
    """Return the places that were left out; a header's voxels go with it."""
    places = {where for where, _ in dropped}
    return places | {where.replace(".hdr", ".img") for where in places if ".hdr" in where}


def _why_not(name: str, root: Path, kind: str) -> str:
    """Return the reason against an image that its reader does not look at."""
    path = Path(name)
    if not path.is_relative_to(root):
        return f"outside of {root.name}/, the data set that is read"
    if suffix_of(path).startswith(".img"):
        return "the voxels of a pair whose header is left out or not there"
    inside = path.relative_to(root).parts[:-1]
    if kind == "bids":
        for folder in inside:
            if folder in NOT_RAW:
                return f"in {folder}/, which holds no raw images"
        if not (inside and inside[0].startswith("sub-")):
            return "in no folder of a subject (sub-*)"
        if inside[-1] != "anat":
            return f"no anatomical image (in {inside[-1]}/)"
        suffix = path.name.partition(".")[0].rpartition("_")[2]
        return file_problem(path) or f"no T1w by its suffix ({suffix})"
    expected = {
        "adni": "in no folder SUBJECT/SERIES/DATE/IMAGE of the collection",
        "oasis": "no image that stands for a session (see the kinds that are taken)",
        "images": "no image that is read alone",
    }
    return file_problem(path) or expected.get(kind, "not named by the source")


def _unread_table(name: str, listing: Listing, read: str) -> list[str]:
    """Say that a table lies there which gave no labels."""
    path = Path(name)
    depth = len(path.relative_to(listing.folder).parts)
    if f"{path.name}:" in read or f"{path.name}, sheet" in read or depth > 3:
        return []
    if path.suffix.lower() in OTHER_SUFFIXES:
        return [f"{path.name} is not read: save it as CSV, TSV or XLSX"]
    if path.name.endswith(("_events.tsv", "_scans.tsv", "_channels.tsv", "_physio.tsv")):
        return []
    return [f"{path.name} is not read: this kind of source has no use for it there"]
