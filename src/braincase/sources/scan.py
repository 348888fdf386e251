"""The scan record that every reader yields: path, subject, session and labels (BIDS names)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from braincase.labels import Value


@dataclass(frozen=True)
class Scan:
    """One T1-weighted scan as it lies on disk.

    Parameters
    ----------
    path
        The image file (NIfTI, MGZ, Analyze), or the folder that holds one DICOM series.
    subject
        The person, without the ``sub-`` prefix; letters and digits only.
    session
        The visit, without the ``ses-`` prefix, or None where the source names none.
    labels
        All that the source says of this scan, by column: diagnosis, age, sex, site, scanner, ...
    files
        Of a DICOM series: the names of its files below `path`, where they are known from listing.
    series
        Of a DICOM series: its mark, a hash of its identifiers. It is no label and never written:
        whoever knows the other identifiers could guess a hospital number by it.
    runs
        The other scans of this visit, the best first: one takes this one's place where this one
        proves unusable only when it is prepared.
    evidence
        Why it is this person's, this visit's, and where its labels stand, one line each.
    """

    path: Path
    subject: str
    session: str | None = None
    labels: Mapping[str, Value] = field(default_factory=dict)
    evidence: tuple[str, ...] = field(default=(), compare=False)
    files: tuple[str, ...] = field(default=(), compare=False, repr=False)
    series: str = field(default="", compare=False, repr=False)
    runs: tuple[Scan, ...] = field(default=(), compare=False, repr=False)

    @property
    def scan_id(self) -> str:
        """The BIDS identity of this scan: ``sub-X`` or ``sub-X_ses-Y``."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")
