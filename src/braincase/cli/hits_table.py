"""Table of hits in the terminal: names and numbers are never cut, whatever the width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from braincase.answer.compose import Answer
from braincase.errors import ParameterError
from braincase.labels import USUAL_COLUMNS
from braincase.report.wording import percent_closer

#: Columns that stay, however narrow the terminal is; the others go, the widest first.
ALWAYS_SHOWN = ("rank", "scan", "distance")
#: How many pairs of people of the gallery lie farther apart than query and hit.
CLOSER_THAN = "closer than"
#: Numbers that would not be numbers if they went on in the next line.
NEVER_FOLDED = ("rank", "distance", "score", CLOSER_THAN, "age")
#: The label that the neighbours vote on is at least as wide as this, and folded.
LABEL_WIDTH = 12
#: Wider than any table.
NO_LIMIT = 100_000


def print_hits(answer: Answer, columns: Sequence[str] = ()) -> None:
    """Print the hits; into a pipe or file as wide as needed, else as many columns as there is room.

    What was left out is told. `columns` are the labels to show; empty for the one that the
    neighbours vote on, age and sex.
    """
    header, rows = _cells(answer, columns)
    result = answer.result
    title = f"{result.n_searched} cases searched, gallery version {result.gallery_version}"
    title += f", compared by {result.weights_name}" if result.weights_name else ""
    console, left_out = Console(highlight=False), list[str]()
    if console.is_terminal:
        header, rows, left_out = _fitted(console, header, rows, answer.label)
    table = _table(title, header, rows, _room(console, header, rows, answer.label))
    if not console.is_terminal:
        console.width = max(console.width, _width(console, table))
    console.print(table)
    if left_out:
        print(f"left out, for the terminal is narrow: {', '.join(left_out)} (--json shows all)")
    if CLOSER_THAN in header:
        print(f"{CLOSER_THAN}: so many of all pairs of people in this gallery")
    if "built" in header:
        print("built, ill: how differently built and ill than the query, in deviations of controls")


def _cells(answer: Answer, columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows, with how each hit is built and ill where that is known."""
    known = {name for hit in answer.result.hits for name in hit.labels}
    if missing := [name for name in columns if name not in known]:
        raise ParameterError("columns", f"no label '{missing[0]}'", f"some of {_list(known)}")
    usual = [str(answer.label), *(name for name in USUAL_COLUMNS if name != answer.label)]
    header, rows = answer.result.rows(columns or [name for name in usual if name in known])
    shares = [hit.closer_than for hit in answer.hits if hit.closer_than is not None]
    if shares:  # all hits have one, or none
        place = header.index("score")  # which is the distance once more
        header[place] = CLOSER_THAN
        for row, share in zip(rows, shares, strict=True):
            row[place] = percent_closer(share)
    axes = [hit.alike for hit in answer.hits]
    if not any(axes):
        return header, rows
    more = [[f"{a.normal_anatomy:.2f}", f"{a.abnormality:.2f}"] if a else ["", ""] for a in axes]
    return [*header, "built", "ill"], [row + cells for row, cells in zip(rows, more, strict=True)]


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none: no hit has labels"


def _fitted(
    console: Console, header: list[str], rows: list[list[str]], label: str | None
) -> tuple[list[str], list[list[str]], list[str]]:
    """Leave out columns until the table fits, the widest first and the label last."""
    left_out = list[str]()
    while _width(console, _table("", header, _shortened(header, rows, label))) > console.width:
        wide = _widest(header, rows, (*ALWAYS_SHOWN, str(label)))
        wide = _widest(header, rows, ALWAYS_SHOWN) if wide is None else wide
        if wide is None:
            break
        left_out.append(header[wide])
        header, *rows = ([*row[:wide], *row[wide + 1 :]] for row in (header, *rows))
    return header, rows, left_out


def _shortened(
    header: Sequence[str], rows: Sequence[Sequence[str]], label: str | None, most: int = LABEL_WIDTH
) -> list[list[str]]:
    """Return the rows with the label as wide as it is at least; it goes on in the next line."""
    return [
        [cell[:most] if name == label else cell for name, cell in zip(header, row, strict=True)]
        for row in rows
    ]


def _room(
    console: Console, header: Sequence[str], rows: Sequence[Sequence[str]], label: str | None
) -> dict[str, int]:
    """Return how wide the label may be, where it does not fit beside the others."""
    if label is None or label not in header or not console.is_terminal:
        return {}
    others = _width(console, _table("", header, _shortened(header, rows, label, 0)))
    return {label: max(console.width - others + cell_len(label), LABEL_WIDTH)}


def _table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    room: Mapping[str, int] = MappingProxyType({}),
) -> Table:
    table = Table(title=title or None, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in header:  # a name wider than the terminal goes on in the next line
        folds, most = name not in NEVER_FOLDED, room.get(name)
        table.add_column(name, no_wrap=not folds, overflow="fold", max_width=most)
    for row in rows:
        table.add_row(*row)
    return table


def _width(console: Console, table: Table) -> int:
    return console.measure(table, options=console.options.update_width(NO_LIMIT)).maximum


def _widest(
    header: Sequence[str], rows: Sequence[Sequence[str]], stay: Sequence[str]
) -> int | None:
    """Return the widest column that may be left out, or None."""
    widths = {
        number: max(cell_len(row[number]) for row in (header, *rows))
        for number, name in enumerate(header)
        if name not in stay
    }
    return max(widths, key=lambda number: widths[number], default=None)
