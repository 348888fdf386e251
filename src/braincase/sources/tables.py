"""Tables beside images: read, told about column by column, and joined with the scans' people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from braincase.files import check_regular
from braincase.json_values import parse_json
from braincase.sources.identity import (
    SESSION,
    PeopleTable,
    column_among,
    people_table,
)
from braincase.sources.rows import (
    SourceTable,
    column_name,
    common_name,
    label_rows,
)

Legends = Mapping[str, Mapping[str, str]]


def people_of(table: SourceTable, who: str, leave_out: Iterable[str] = ()) -> PeopleTable:
    """Return a table joined by its column `who`, and by a column of visits where it has one."""
    when = column_among([c for c in table.columns if c != who], SESSION)
    repeated = len(set(table.cells(who))) < len(table.rows)
    skip = {who, *leave_out, *([when] if when else [])}
    labels = label_rows(table, skip, legends_beside(table.path))
    if when and not repeated and common_name(when) not in ("session", "session_id"):
        # A single row a person: its visit is a fact like others, and the row counts for all.
        labels, when = label_rows(table, skip - {when}, legends_beside(table.path)), None
    return people_table(table, labels, who, when)


def legends_beside(path: Path) -> Legends:
    """Return what codes mean by column, from the ``Levels`` of the JSON file beside a table."""
    try:
        legend = check_regular(path.with_suffix(".json"))
        content = parse_json(legend.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    legends: dict[str, dict[str, str]] = {}
    for name, about in content.items() if isinstance(content, dict) else ():
        levels = about.get("Levels") if isinstance(about, dict) else None
        if isinstance(levels, dict):
            legends[column_name(name)] = {
                str(code): str(m.get("Description", m) if isinstance(m, dict) else m)
                for code, m in levels.items()
            }
    return legends


def account(people: PeopleTable, used: int, why_not: str = "fit no scan") -> list[str]:
    """Say what became of a table's rows and columns.

    Parameters
    ----------
    people
        The table.
    used
        How many of its rows gave labels to scans.
    why_not
        Why the others did not.
    """
    table = people.table
    rest = len(table.rows) - used
    line = f"{table.name}: {used:,} of {len(table.rows):,} rows read"
    return [
        line + (f", {rest:,} {why_not}" if rest else ""),
        f"{table.name}: columns: {'; '.join(people.labels.columns)}",
    ]


def all_notes(people: PeopleTable) -> list[str]:
    """Return what had to be decided about a table, one sentence each."""
    read = [f"{people.table.name}: {note}" for note in people.table.notes]
    return [*read, *people.notes, *people.labels.notes]
