"""Longitudinal search on the command line: `braincase search SCAN --prior EARLIER`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from braincase.errors import UsageError
from braincase.labels import Value, value_text

if TYPE_CHECKING:
    from braincase.search.courses import ChangeResult, CourseHit

#: Volumes whose change is told of every course.
TOLD = ("left-hippocampus", "right-hippocampus", "lateral-ventricle")
#: Wider than any table.
NO_LIMIT = 10_000


def refuse_with_prior(given: Mapping[str, object]) -> None:
    """Refuse options that say nothing in a search by change.

    Raises
    ------
    UsageError
        If one of them was given.
    """
    if used := [f"--{name.replace('_', '-')}" for name, value in given.items() if value]:
        expected = "--prior with -k, --where, --subject, --as-of, --years, --label or --json"
        raise UsageError(used[0], "given beside --prior", expected)


def print_change(result: ChangeResult, label: str | None) -> None:
    """Print a search by change: how the query's person changed, who changed alike, and notes."""
    low, high = result.like_time
    print(
        f"{result.n_people} people ({result.n_courses} courses) scanned twice {low:.1f} to"
        f" {high:.1f} years apart; gallery version {result.gallery_version}"
    )
    console = Console(highlight=False)
    console.width = console.width if console.is_terminal else NO_LIMIT
    console.print(_table(result.hits, label or "diagnosis"))
    if result.volume_rates:
        told = ", ".join(f"{name} {result.volume_rates[name]:+.1f}" for name in TOLD)
        print(f"This person, over {result.years:.1f} years, % a year: {told}")
    for note in result.notes:
        print(f"note: {note}")


def _table(hits: Sequence[CourseHit], label: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    rates = TOLD if any(hit.volume_rates for hit in hits) else ()
    headings = ["rank", "earlier", "later", "years", "distance", label, "age"]
    for heading in [*headings, *(f"{name} %/y" for name in rates)]:
        table.add_column(heading, overflow="fold")
    for hit in hits:
        before, after = hit.prior_labels.get(label), hit.labels.get(label)
        table.add_row(
            str(hit.rank),
            hit.prior,
            hit.current,
            f"{hit.years:.1f}",
            f"{hit.distance:.3f}",
            _course(before, after),
            value_text(hit.labels.get("age")),
            *(f"{hit.volume_rates[name]:+.1f}" for name in rates),
        )
    return table


def _course(before: Value, after: Value) -> str:
    """Write a label at two times: once where it stayed."""
    return value_text(after) if before == after else f"{value_text(before)} -> {value_text(after)}"
