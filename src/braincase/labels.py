"""Labels of a scan: the type of their values, and what age, sex and controls are called."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

#: One value of a table: text, a number, or nothing.
Value = str | float | int | None
#: Columns of a cohort's own table: a label of one of these names would overwrite who a scan is.
RESERVED_COLUMNS = ("scan_id", "subject", "session", "image", "image_hash")
#: Volume of the brain in the scan's own space, ml, as `prepare` measures it: the affine to MNI
#: space brings all brains to one size.
BRAIN_ML = "brain_ml"
#: A column that simulated people have and real ones cannot have.
TRUE_SEVERITY = "true_severity"
#: What the recipe of a simulated cohort names as its maker.
SIMULATOR = "braincase simulate"
#: The label that people are told apart by where none is named.
USUAL_LABEL = "diagnosis"
#: Labels that tables and pictures show first.
USUAL_COLUMNS = (USUAL_LABEL, "age", "sex")
#: What controls are called in the column `diagnosis` of the data sets we read.
CONTROL_NAMES = ("CN", "HC", "NC", "control", "healthy", "normal")
#: Names of one group that a pooled column may hold side by side, in lower case.
SYNONYMS = (
    (
        *(name.lower() for name in CONTROL_NAMES),
        "controls",
        "healthy control",
        "cognitively normal",
    ),
    ("ad", "alzheimer", "alzheimers", "alzheimer's", "alzheimer's disease", "alzheimer disease"),
)

#: Beginnings of formulas, also behind apostrophes, so that reading back is exact.
_FORMULA = re.compile(r"'*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def value_text(value: Value) -> str:
    """Return a label as a person writes it: at most one decimal, nothing for a missing value."""
    if value is None:
        return ""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def safe_cell(text: str) -> str:
    """Return a cell of a CSV or TSV table that no spreadsheet takes for a formula.

    One that begins with ``=``, ``+``, ``-``, ``@``, tab or carriage return gets an apostrophe in
    front, except real numbers; `read_cell` takes it away again.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def read_cell(text: str) -> str:
    """Return what `safe_cell` was given."""
    inner = text.removeprefix("'")
    return inner if inner != text and safe_cell(inner) == text else text


def spelling_notes(column: str, values: Iterable[Value]) -> tuple[str, ...]:
    """Name values of a column that are most likely one label spelled differently.

    They are never merged: who reads it decides.
    """
    by_case: dict[str, set[str]] = defaultdict(set)
    for value in values:
        if isinstance(value, str) and value.strip():
            by_case["_".join(value.replace("_", " ").lower().split())].add(value)
    notes = [
        f"{column}: {_quoted(alike)} differ only in case: counted as {len(alike)}"
        for alike in by_case.values()
        if len(alike) > 1
    ]
    for names in SYNONYMS:
        there = {name.replace(" ", "_") for name in names} & by_case.keys()
        if len(there) > 1:
            alike = {min(by_case[name]) for name in there}
            notes.append(f"{column}: {_quoted(alike)} may mean the same: counted as {len(alike)}")
    return tuple(notes)


def _quoted(values: Iterable[str]) -> str:
    *most, last = [f"'{value}'" for value in sorted(values)]
    return f"{', '.join(most)} and {last}"


def is_simulated(labels: Mapping[str, Value]) -> bool:
    """Return whether a scan is known to be a simulated person's, by what no real one can have."""
    return labels.get(TRUE_SEVERITY) is not None


def is_of_simulation(recipe: Mapping[str, object]) -> bool:
    """Return whether volumes of this recipe are a simulated cohort's."""
    return recipe.get("Name") == SIMULATOR


def age_of(labels: Mapping[str, Value]) -> float | None:
    """Return the age in years, where it is a number."""
    age = labels.get("age")
    return float(age) if isinstance(age, int | float) else None


def age_and_sex(labels: Mapping[str, Value]) -> tuple[float, str] | None:
    """Return age in years and sex (F or M), where both are known."""
    age, sex = age_of(labels), labels.get("sex")
    return (age, str(sex)) if age is not None and sex in ("F", "M") else None
