"""Dry run of a preparation: what would be done with a source's scans, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from braincase.json_values import Json, to_json_object
from braincase.preprocess.prepare_cohort import Dropped, Plan, Shard, sort_out, was_done
from braincase.sources.census import counted
from braincase.sources.scan import Scan


@dataclass(frozen=True)
class Planned:
    """The plan of a run of `prepare_cohort`: what it would do, without doing it.

    Parameters
    ----------
    folder
        The cohort.
    todo, done_before
        How many scans would be prepared, and how many an earlier run has done.
    of_others
        How many scans are other shards'.
    refused
        The scans that cannot be put there, with the reason.
    """

    folder: Path
    todo: int
    done_before: int
    of_others: int
    refused: Dropped

    def lines(self) -> list[str]:
        """Return the plan as lines to print."""
        lines = [f"{self.folder}: {counted(self.todo, 'scan')} to prepare (nothing is done now)"]
        if self.done_before:
            lines.append(f"{counted(self.done_before, 'scan')} done before")
        if self.of_others:
            lines.append(f"{counted(self.of_others, 'scan')} of other shards")
        return lines + [f"not prepared: {where}: {why}" for where, why in self.refused]

    def to_json(self) -> dict[str, Json]:
        """Return the plan as plain JSON values."""
        return to_json_object(self)


def plan_of(scans: Iterable[Scan], plan: Plan, shard: Shard) -> Planned:
    """Return what `prepare_cohort` would do with these scans; nothing is written."""
    accepted, refused = sort_out(scans, plan)
    mine = accepted[shard.number - 1 :: shard.of]
    done = sum(was_done(plan, scan) for scan in mine)
    return Planned(plan.folder, len(mine) - done, done, len(accepted) - len(mine), refused)
