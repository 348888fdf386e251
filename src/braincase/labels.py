"""Labels of a scan: the type of their values, and what age, sex and controls are called."""

from __future__ import annotations

from collections.abc import Mapping

#: One value of a table: text, a number, or nothing.
Value = str | float | int | None
#: Columns of a cohort's own table: a label of one of these names would overwrite who a scan is.
RESERVED_COLUMNS = ("scan_id", "subject", "session", "image", "image_hash")
#: Labels that tables and pictures show first.
USUAL_COLUMNS = ("diagnosis", "age", "sex")
#: What controls are called in the column `diagnosis` of the data sets we read.
CONTROL_NAMES = ("CN", "HC", "NC", "control", "healthy", "normal")


def value_text(value: Value) -> str:
    """Return a label as a person writes it: at most one decimal, nothing for a missing value."""
    if value is None:
        return ""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def knows_age_and_sex(labels: Mapping[str, Value]) -> bool:
    """Return whether age (a number) and sex (F or M) are known."""
    return isinstance(labels.get("age"), int | float) and labels.get("sex") in ("F", "M")
