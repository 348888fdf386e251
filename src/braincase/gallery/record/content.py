"""Validation of cases: the one door through which all content goes in, and the test on reading.

What goes in must come out again, as arrays of float64 and of text, for every reader and for good.
What an older version or somebody else has written is tested row by row: one that cannot be read is
left out and named, and the others are as they were.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np

from braincase.errors import UsageError
from braincase.files import is_plain_relative
from braincase.gallery.cases import NewCase, checked_code
from braincase.gallery.record.database import SqlRow
from braincase.json_values import parse_json
from braincase.labels import Value

#: The longest text of a label; NumPy gives every text of a column the room of the longest.
MOST_TEXT = 2_000
#: The longest name of a label, person, session, scan or hash.
MOST_NAME = 250
#: The most labels of a case, and the largest picture of one in bytes.
MOST_LABELS = 5_000
MOST_PICTURE = 2**20
#: What older versions took and can still be read.
MOST_OLD_TEXT = 20_000
_SURROGATE = re.compile("[\ud800-\udfff]")
#: Control characters but tab and line ends: no reader shows them, and NumPy drops a last NUL.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
#: Numbers that float64 might not hold, as JSON writes them, once every digit is a 0 and E is e.
_LARGE_NUMBERS = (b"0" * 30, b"0e000", b"0e+000")
_AS_ZEROS = bytes.maketrans(b"123456789E", b"000000000e")
#: Where a row that is read has its code.
_CODE = 5
#: Labels as JSON that are this short hold neither a long text nor many labels.
_SHORT = 4_000


@dataclass(frozen=True)
class CheckedCase:
    """A case that can be stored and read again: its labels as JSON, its code as bytes."""

    case: NewCase
    labels: str
    code: bytes


@dataclass(frozen=True)
class BadRow:
    """A row of the record that cannot be read, why, and between which versions it was live."""

    row: int
    scan_id: str
    reason: str
    added_in: int
    removed_in: int | None

    def is_live(self, version: int) -> bool:
        """Return whether it was live at a version."""
        return self.added_in <= version and (self.removed_in is None or self.removed_in > version)


def checked_case(case: NewCase, n_dimensions: int) -> CheckedCase:
    """Return a case as it is stored.

    Raises
    ------
    UsageError
        If it could not be read again: a code of another shape or with numbers that are not finite,
        a number that float64 does not hold, a lone surrogate, a control character, a value that is
        neither text nor number, a name that is empty or too long, an image outside its cohort.
    """
    _check_types(case)
    _check_identity(case)
    code = checked_code(case.code, n_dimensions, case.scan_id)
    if len(case.labels) > MOST_LABELS:
        raise UsageError(case.scan_id, f"{len(case.labels)} labels", f"at most {MOST_LABELS}")
    labels = {name: _plain(case.scan_id, name, value) for name, value in case.labels.items()}
    text = json.dumps(labels, ensure_ascii=False, allow_nan=False)
    return CheckedCase(case, text, code.astype("<f4").tobytes())


def _check_types(case: object) -> None:
    """Refuse what no type checker would let through, before any of it is used."""
    if not isinstance(case, NewCase):
        raise UsageError("cases", f"a value of type {type(case).__name__}", "NewCase records")
    labels: object = case.labels
    if not isinstance(labels, Mapping):
        found = f"labels: a value of type {type(labels).__name__}"
        raise UsageError(_where(case), found, "a mapping from names to values")
    cohort: object = case.cohort
    if not isinstance(cohort, str | Path | None):
        found = f"cohort: a value of type {type(cohort).__name__}"
        raise UsageError(_where(case), found, "a folder's path")


def _where(case: NewCase) -> str:
    """Return what an error calls a case: its scan_id, or that word where it is none."""
    if not isinstance(case.scan_id, str) or not case.scan_id:
        return "scan_id"
    return case.scan_id if case.scan_id.isascii() else _shown(case.scan_id)


def _check_identity(case: NewCase) -> None:
    where = _where(case)
    names = {"scan_id": case.scan_id, "subject": case.subject}
    files = {"image": case.image, "view": case.view}
    hashes = {"image_hash": case.image_hash, "view_hash": case.view_hash}
    optional = {"session": case.session, **files, **hashes}
    names |= {name: value for name, value in optional.items() if value is not None}
    for name, value in names.items():
        most = 4 * MOST_NAME if name in files else MOST_NAME
        if fault := _name_fault(value, most):
            raise UsageError(where, f"{name}: {fault}", f"1 to {most} letters of text")
    for name, path in files.items():
        if path is not None and not is_plain_relative(path):
            expected = "a path inside the cohort, without '..'"
            raise UsageError(where, f"{name}: {path!r}", expected)
    if case.cohort is not None and (fault := text_fault(str(case.cohort), 4 * MOST_TEXT)):
        raise UsageError(where, f"cohort: {fault}", "a folder whose name is UTF-8 text")
    picture = case.thumbnail
    if picture is not None and not (isinstance(picture, bytes) and len(picture) <= MOST_PICTURE):
        raise UsageError(where, "thumbnail: no small picture", f"at most {MOST_PICTURE} bytes")


def _plain(scan_id: str, name: object, value: object) -> Value:
    """Return a label as JSON writes it; NumPy's numbers as Python's, NaN as missing."""
    if fault := _name_fault(name, MOST_NAME):
        found = f"label {_shown(name)}: the name is {fault}"
        raise UsageError(scan_id, found, f"1 to {MOST_NAME} letters of text")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if fault := value_fault(value, MOST_TEXT, _CONTROL):
        advice = "Correct it in the table or sidecar that it comes from, or leave it out."
        expected = f"one number, or a text of at most {MOST_TEXT} letters"
        raise UsageError(scan_id, f"label {_shown(name)}: {fault}", expected, advice)
    assert _is_value(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    return value if value is None else str(value)  # a subclass of str is text like any other


def _is_value(value: object) -> TypeGuard[Value]:
    return value is None or isinstance(value, str | int | float)


def value_fault(value: object, most: int, unwanted: re.Pattern[str] | None = None) -> str | None:
    """Return what is wrong with the value of a label, in a few words, or None."""
    if value is None:
        return None
    if isinstance(value, str):
        return text_fault(value, most, unwanted)
    if not isinstance(value, int | float):
        return f"a value of type {type(value).__name__}"
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        return f"a number of {_n_digits(value)} digits"
    return None if finite else f"the number {value}"


def text_fault(text: str, most: int, unwanted: re.Pattern[str] | None = _CONTROL) -> str | None:
    """Return what is wrong with a text, in a few words, or None."""
    if len(text) > most:
        return f"a text of {len(text)} letters"
    if _SURROGATE.search(text):
        return "a lone surrogate, which is half a letter"
    if "\0" in text or (unwanted is not None and unwanted.search(text)):
        return "a control character"
    return None


def _name_fault(name: object, most: int) -> str | None:
    if not isinstance(name, str):
        return f"no text but {type(name).__name__}"
    return "empty" if not name.strip() else text_fault(name, most)


def _n_digits(number: float) -> int:
    return int(math.log10(abs(number))) + 1


def _shown(name: object) -> str:
    """Return a name as ASCII that is printed on one line, shortened."""
    shown = ascii(name)
    return shown if len(shown) <= 80 else f"{shown[:80]}..."


def read_labels(text: object) -> Mapping[str, Value]:
    """Parse labels as the record holds them.

    Raises
    ------
    ValueError
        If they cannot be read; the message says why, in a few words.
    """
    if not isinstance(text, str):
        raise ValueError(f"labels of type {type(text).__name__}")
    try:
        labels = parse_json(text)
    except (ValueError, RecursionError):
        raise ValueError("labels that are no JSON") from None
    if not isinstance(labels, dict):
        raise ValueError("labels that are no JSON object")
    if len(labels) > MOST_LABELS:
        raise ValueError(f"{len(labels)} labels")
    for name, value in labels.items():
        fault = _name_fault(name, MOST_OLD_TEXT) if name else "empty"
        if fault:
            raise ValueError(f"label {_shown(name)}: the name is {fault}")
        if fault := value_fault(value, MOST_OLD_TEXT):
            raise ValueError(f"label {_shown(name)}: {fault}")
    return labels


def identity_fault(scan_id: object, subject: object, session: object) -> str | None:
    """Return what is wrong with who a row says it is, or None."""
    for name, value in (("scan_id", scan_id), ("subject", subject), ("session", session)):
        if value is None and name == "session":
            continue
        if not isinstance(value, str):
            return f"{name} of type {type(value).__name__}"
        if fault := text_fault(value, MOST_OLD_TEXT, None):
            return f"{name}: {fault}"
    return None


def code_fault(code: object, n_dimensions: int) -> str | None:
    """Return what is wrong with a code as the record holds it, or None."""
    if not isinstance(code, bytes):
        return f"a code of type {type(code).__name__}"
    if len(code) != 4 * n_dimensions:
        return f"a code of {len(code)} bytes"
    return None if _finite([code]) else "a code with numbers that are not finite"


def _finite(codes: Sequence[bytes]) -> bool:
    return bool(np.isfinite(np.frombuffer(b"".join(codes), "<f4")).all())


def readable_rows(
    batch: Sequence[SqlRow], n_dimensions: int
) -> tuple[list[SqlRow], list[Mapping[str, Value]], list[BadRow]]:
    """Divide rows into those that can be read, with their labels, and those that cannot.

    Parameters
    ----------
    batch
        Rows that begin with row, scan_id, subject, session, labels, code, added_in and removed_in.
    n_dimensions
        Numbers in a code; 0 if codes are not looked at.
    """
    if not batch:  # all of them have been erased
        return [], [], []
    if (labels := _plain_labels(batch, n_dimensions)) is not None:
        return list(batch), labels, []
    good: list[SqlRow] = []
    labels, bad = [], []
    for row in batch:
        try:
            labels.append(_read_row(row, n_dimensions))
            good.append(row)
        except ValueError as error:
            bad.append(_bad_row(row, str(error)))
    return good, labels, bad


def _read_row(row: SqlRow, n_dimensions: int) -> Mapping[str, Value]:
    """Return the labels of a row; a `ValueError` says why it cannot be read."""
    _, scan_id, subject, session, labels, code, added_in, removed_in = row[:8]
    fault = identity_fault(scan_id, subject, session)
    fault = fault or (code_fault(code, n_dimensions) if n_dimensions else None)
    if not isinstance(added_in, int) or not isinstance(removed_in, int | None):
        fault = "versions that are no numbers"
    if fault:
        raise ValueError(fault)
    return read_labels(labels)


def _plain_labels(batch: Sequence[SqlRow], n_dimensions: int) -> list[Mapping[str, Value]] | None:
    """Return the labels of rows that can all be read, or None if one is worth a closer look.

    A million rows are looked at in seconds: no loop over them in Python.
    """
    columns = list(zip(*(row[:8] for row in batch), strict=True))
    types = [set(map(type, column)) for column in columns]
    expected: list[set[type]] = [{int}, {str}, {str}, {str, type(None)}, {str}, {bytes}, {int}]
    expected.append({int, type(None)})
    if any(
        seen - wanted
        for i, (seen, wanted) in enumerate(zip(types, expected, strict=True))
        if i != _CODE or n_dimensions
    ):
        return None
    if n_dimensions and set(map(len, columns[_CODE])) != {4 * n_dimensions}:
        return None
    if n_dimensions and not _finite(columns[_CODE]):
        return None
    texts = [text for i in (1, 2, 3) for text in columns[i] if text is not None]
    names, labels = "".join(texts), columns[4]
    if max(map(len, [*labels, *texts])) > _SHORT or not (_is_unicode(names) and "\0" not in names):
        return None
    return _parsed_at_once(labels)


def _parsed_at_once(labels: Sequence[str]) -> list[Mapping[str, Value]] | None:
    """Parse labels that hold nothing but texts and usual numbers; None if one might not."""
    text = ",".join(labels)
    if any(odd in text for odd in ("[", "\\", '""', "Infinity", "NaN")) or not _is_unicode(text):
        return None
    zeros = text.encode().translate(_AS_ZEROS)
    if text.count("{") != len(labels) or any(large in zeros for large in _LARGE_NUMBERS):
        return None
    try:
        parsed = parse_json(f"[{text}]")
    except ValueError:
        return None
    sound = len(parsed) == len(labels) and all(isinstance(row, dict) for row in parsed)
    return list(parsed) if sound else None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad_row(row: SqlRow, reason: str) -> BadRow:
    number, scan_id, _, _, _, _, added_in, removed_in = row[:8]
    added = added_in if isinstance(added_in, int) else 0
    removed = removed_in if isinstance(removed_in, int) else None
    return BadRow(number, str(scan_id), reason, added, removed)


def unreadable_note(bad: Sequence[BadRow], version: int) -> tuple[str, ...]:
    """Return one sentence if rows live at this version cannot be read."""
    live = [row for row in bad if row.is_live(version)]
    if not live:
        return ()
    named = "; ".join(f"{_shown(row.scan_id)} ({row.reason})" for row in live[:3])
    more = f"; and {len(live) - 3} more" if len(live) > 3 else ""
    return (f"{len(live)} case(s) cannot be read and are left out: {named}{more}.",)
