"""Validation of values that a client sends: whole text, finite numbers, no truth values."""

from __future__ import annotations

import math
from collections.abc import Mapping


def has_broken_text(content: object) -> bool:
    """Return whether any text inside cannot be written as UTF-8, or would end early in C."""
    waiting = [content]  # no recursion: what anybody sends may be nested very deep
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            waiting += (*part.keys(), *part.values())
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str) and any(
            "\ud800" <= letter <= "\udfff" or letter == "\0" for letter in part
        ):
            return True
    return False


def label_value(value: object) -> object:
    """Refuse what is no label: a truth value, and numbers that are not finite."""
    if isinstance(value, bool):
        raise ValueError("a text, a number or null is expected, not true or false")
    if isinstance(value, int | float):
        try:
            finite = math.isfinite(float(value))
        except OverflowError:
            finite = False
        if not finite:
            raise ValueError("the number is not finite, or too large")
    return value
