"""An effect asked and measured: a row of the calibration, and the calibration as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from braincase.json_values import Json, to_json_object

#: A measured effect may differ from the asked one by this part of it.
TOLERANCE = 0.25
#: The rule by which a row is met, as it stands under the tables.
RULE = (
    "Met: in the interval, or near, a change that differs from what was asked by at most"
    f" {TOLERANCE:.0%} of it. Areas under a curve, correlations, shares and sizes are no changes."
)


@dataclass(frozen=True)
class Effect:
    """One effect: what real people show, and what the images of the cohort show.

    Parameters
    ----------
    group
        What it is an effect of, such as 'AD against CN'.
    name
        Of the region or the number.
    unit
        Of the four numbers.
    asked
        Of real people.
    low, high
        The published 95 % interval of it, or the range that was chosen.
    measured
        On the images of this cohort, or on lesions drawn by the same models.
    source
        Where the asked number comes from.
    is_change
        Whether a quarter of it is little: no number is near an AUC, a correlation, a share or a
        size that has 100 % somewhere.
    """

    group: str
    name: str
    unit: str
    asked: float
    low: float
    high: float
    measured: float
    source: str
    is_change: bool = True

    @property
    def met(self) -> bool:
        """Whether it lies in the interval, or is near what was asked."""
        return self._within or self.near

    @property
    def near(self) -> bool:
        """Whether it is a change outside the interval, within `TOLERANCE` of it."""
        differs = abs(self.measured - self.asked)
        return self.is_change and not self._within and bool(differs <= TOLERANCE * abs(self.asked))

    @property
    def _within(self) -> bool:
        return bool(self.low <= self.measured <= self.high)


def effects_table(effects: Sequence[Effect]) -> str:
    """Return asked against measured as Markdown: a table for each group."""
    lines = []
    for group, members in groupby(effects, key=lambda effect: effect.group):
        rows = list(members)
        n_met, n_near = sum(row.met for row in rows), sum(row.near for row in rows)
        near = f", {n_near} of them near" if n_near else ""
        lines += [f"{group} (simulated): {n_met} of {len(rows)} met{near}", ""]
        lines += ["| | asked | interval | measured | |", "|---|---|---|---|---|"]
        for row in rows:
            interval = f"{row.low:.2f} to {row.high:.2f}"
            met = "near" if row.near else "" if row.met else "missed"
            name = f"{row.name}, {row.unit}" if row.unit else row.name
            lines.append(f"| {name} | {row.asked:.2f} | {interval} | {row.measured:.2f} | {met} |")
        sources = dict.fromkeys(row.source for row in rows)
        lines += ["", *(f"Source: {source}." for source in sources), ""]
    return "\n".join([*lines, RULE])


def effects_json(effects: Sequence[Effect]) -> list[dict[str, Json]]:
    """Return the effects as plain records."""
    return [{**to_json_object(row), "met": row.met, "near": row.near} for row in effects]
