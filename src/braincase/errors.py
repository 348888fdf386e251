"""Every error a user can meet.

::

    BraincaseError            exit code 1: the work failed
    ├── UsageError            exit code 2: the command or call was wrong
    │   └── ParameterError    a parameter of it cannot be used as it is
    │       ├── FilterError   it is a filter that cannot be understood
    │       ├── UnknownCaseError  it names a case that the gallery does not have
    │       ├── MissingLabelsError  it needs labels of the query that are not known
    │       └── NoControlsAlikeError  no control is of that sex or of about that age
    ├── ScanError             one scan cannot be used (a cohort goes on without it)
    │   └── OtherImageError   it shows something other than a T1-weighted human head
    ├── LostProcessError      a working process was killed from outside (out of memory)
    ├── CohortError           a cohort on disk is missing, damaged or does not fit
    ├── LeakError             a subject stands on two sides of a split
    ├── TrainingError         training cannot go on (a non-finite loss, one class only)
    ├── ModelError            a model on disk is missing, damaged or of another version
    ├── FingerprintError      two models' codes were about to be compared
    ├── AuditError            the audit log cannot be written, or was changed afterwards
    └── GalleryError          a gallery is missing, damaged, empty or locked
        ├── ReadOnlyGalleryError  it cannot be written, only read
        └── TooFewPeopleError it has too few people to teach what was asked

Each reads as one line: *where*: found …; expected …. What to do next.
The library raises them and speaks of its own parameters; who stands between it and a person says it
in that person's words: ``braincase.cli.main`` by options and exit codes, ``braincase.web.problems``
by statuses and sentences.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def some_of(things: Iterable[object], most: int = 3) -> str:
    """Name the first few of some things, and say how many more there are."""
    texts = [str(thing) for thing in things]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


class BraincaseError(Exception):
    """A failure that is the user's to mend, told in one line.

    Parameters
    ----------
    where
        The file, folder, subject, column or option it is about.
    found
        What was found there.
    expected
        What should have been there; may be empty.
    advice
        What to do next; may be empty.
    """

    exit_code = 1

    def __init__(self, where: str | Path, found: str, expected: str = "", advice: str = "") -> None:
        # All four go to Exception.args, so the error survives pickling between processes.
        super().__init__(str(where), found, expected, advice)
        self.where, self.found, self.expected, self.advice = str(where), found, expected, advice

    def __str__(self) -> str:
        line = f"{self.where}: {self.found}"
        if self.expected:
            line += f"; expected {self.expected}"
        if self.advice:
            line += f". {self.advice}"
        line = " ".join(line.split())
        # A file's own words may hold escape sequences that move a terminal's cursor.
        return "".join(letter if letter.isprintable() else "?" for letter in line)


class UsageError(BraincaseError):
    """The command line or the call cannot be carried out as written."""

    exit_code = 2


class ParameterError(UsageError):
    """A parameter of a call cannot be used: `where` is its name, or several with commas."""


class FilterError(ParameterError):
    """A filter cannot be understood, names no column, or compares numbers with text."""


class UnknownCaseError(ParameterError):
    """A parameter names a case that is not in the gallery; `found` is ``no scan 'ID'``."""


class MissingLabelsError(ParameterError):
    """A parameter needs labels of the query, such as age and sex, that are not known."""


class NoControlsAlikeError(ParameterError):
    """What is normal for a person is not known: no control is of that sex or about that age."""


class ScanError(BraincaseError):
    """One scan cannot be read or is no T1-weighted human head."""


class OtherImageError(ScanError):
    """An image shows something other than a T1-weighted human head: `found` says what."""


class LostProcessError(BraincaseError):
    """The process that worked on an item was killed from outside, most likely for its memory."""


class CohortError(BraincaseError):
    """A cohort on disk is missing, damaged or does not fit the request."""


class LeakError(BraincaseError):
    """A subject stands on two sides of a split."""


class TrainingError(BraincaseError):
    """Training cannot start or cannot go on."""


class ModelError(BraincaseError):
    """A saved model is missing, damaged or not of this version."""


class FingerprintError(BraincaseError):
    """Codes of two different models were about to be compared."""


class AuditError(BraincaseError):
    """The audit log cannot be written, so that nothing was done; or it was changed afterwards."""


class GalleryError(BraincaseError):
    """A gallery is missing, damaged, empty or locked."""


class ReadOnlyGalleryError(GalleryError):
    """A gallery cannot be written: its folder or file belongs to others."""


class TooFewPeopleError(GalleryError):
    """A gallery has too few people to teach what was asked."""
