"""A study of the archive as the DICOM node has prepared and embedded it, in the node's spool."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from braincase.cohort.derivatives import read_image, write_image
from braincase.errors import UsageError
from braincase.files import atomic_write, read_json, write_json
from braincase.gallery import Code
from braincase.images.geometry import Grid
from braincase.sources.archive_links import Link
from braincase.web.intake.messages import Embedded

VOLUME, FACTS = "volume.nii.gz", "prepared.json"


@dataclass(frozen=True, eq=False)
class PreparedStudy:
    """What the worker made of a study's T1w.

    Parameters
    ----------
    scan
        Volume, code and labels.
    subject
        The pseudonym of its person.
    files
        Which files of the study it was made of.
    fingerprint
        Of the model that embedded it; empty in spools of earlier versions.
    """

    scan: Embedded
    subject: str
    files: tuple[str, ...]
    fingerprint: str


def write_prepared(
    folder: Path, scan: Embedded, subject: str, files: Sequence[str], grid: Grid, fingerprint: str
) -> None:
    """Write what the worker made; the facts come last: whole or not there."""
    (folder / FACTS).unlink(missing_ok=True)
    write_image(folder / VOLUME, scan.volume, grid)
    with atomic_write(folder / "code.npy") as aside:
        np.save(aside, scan.code)
    facts = {
        "labels": dict(scan.labels), "notes": list(scan.notes), "subject": subject,
        "files": [os.path.normpath(name) for name in files], "recipe": scan.recipe,
        "fingerprint": fingerprint,
    }  # fmt: skip
    write_json(folder / FACTS, facts)


def read_prepared(folder: Path, grid: Grid) -> PreparedStudy:
    """Read what `write_prepared` wrote.

    Raises
    ------
    UsageError
        If it is not there or damaged; it is then made anew.
    """
    facts = read_json(folder / FACTS, UsageError)
    code: Code = np.load(folder / "code.npy", allow_pickle=False)
    volume = read_image(folder / VOLUME, grid)
    recipe = facts.get("recipe") or {}
    scan = Embedded(volume, code, facts["labels"], tuple(facts["notes"]), recipe)
    fingerprint = str(facts.get("fingerprint") or "")
    return PreparedStudy(scan, facts["subject"], tuple(facts["files"]), fingerprint)


def find_prepared(links: Path, link: Link, grid: Grid, fingerprint: str) -> PreparedStudy | None:
    """Return a study of the link file as the node beside it has prepared it, if it still has it.

    Parameters
    ----------
    links
        The link file, in the node's spool.
    link
        The study.
    grid, fingerprint
        Of the gallery that is searched.
    """
    # The pseudonym of a study begins with that of its session (`pseudonym.session_of`).
    for facts in links.parent.glob(f"studies/{link.session}*/prepared/{FACTS}"):
        try:
            prepared = read_prepared(facts.parent, grid)
        except (UsageError, OSError, ValueError, KeyError, TypeError):
            continue  # the node is at work on it, or it is of another grid
        if prepared.fingerprint == fingerprint:
            return prepared
    return None
