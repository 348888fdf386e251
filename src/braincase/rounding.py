"""Round half up, as JavaScript does: page, report and terminal tell the same numbers."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

#: Digits that count: what JSON rounds away beyond them no reader of it can know.
_DIGITS = 4


def whole(value: float) -> str:
    """Round to a whole number, halves away from zero: 74.5 becomes ``75``, where Python says 74."""
    return str(_told(value).quantize(Decimal(1), ROUND_HALF_UP))


def percent(share: float) -> str:
    """Write a share in whole percent, halves away from zero: 0.125 becomes ``13%``."""
    return f"{(100 * _told(share)).quantize(Decimal(1), ROUND_HALF_UP)}%"


def _told(value: float) -> Decimal:
    """Return the number as its shortest decimal text: 0.145 is no 0.1449999."""
    return Decimal(repr(round(float(value), _DIGITS)))
