"""Table of hits in the terminal: names and numbers are never cut, whatever the width."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from braincase.answer.compose import Answer

#: Columns that stay, however narrow the terminal is; the others go, the widest first.
ALWAYS_SHOWN = ("rank", "scan", "distance")
#: Wider than any table.
NO_LIMIT = 100_000


def print_hits(answer: Answer) -> None:
    """Print the hits; into a pipe or file as wide as needed, else as many columns as there is room.

    What was left out is answer.
    """
    header, rows = _cells(answer)
    result = answer.result
    title = f"{result.n_searched} cases searched, gallery version {result.gallery_version}"
    title += f", compared by {result.weights_name}" if result.weights_name else ""
    console, left_out = Console(highlight=False), list[str]()
    table = _table(title, header, rows)
    while console.is_terminal and _width(console, table) > console.width:
        wide = _widest(header, rows)
        if wide is None:
            break
        left_out.append(header[wide])
        header, *rows = ([*row[:wide], *row[wide + 1 :]] for row in (header, *rows))
        table = _table(title, header, rows)
    if not console.is_terminal:
        console.width = max(console.width, _width(console, table))
    console.print(table)
    if left_out:
        print(f"left out, for the terminal is narrow: {', '.join(left_out)} (--json shows all)")
    if "built" in header:
        print("built, ill: how differently built and ill than the query, in deviations of controls")


def _cells(answer: Answer) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows, with how each hit is built and ill where that is known."""
    header, rows = answer.result.rows()
    axes = [hit.alike for hit in answer.hits]
    if not any(axes):
        return header, rows
    more = [[f"{a.normal_anatomy:.2f}", f"{a.abnormality:.2f}"] if a else ["", ""] for a in axes]
    return [*header, "built", "ill"], [row + cells for row, cells in zip(rows, more, strict=True)]


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in header:  # a name wider than the terminal goes on in the next line
        table.add_column(name, no_wrap=name not in ALWAYS_SHOWN, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _width(console: Console, table: Table) -> int:
    return console.measure(table, options=console.options.update_width(NO_LIMIT)).maximum


def _widest(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    """Return the widest column that may be left out, or None."""
    widths = {
        number: max(cell_len(row[number]) for row in (header, *rows))
        for number, name in enumerate(header)
        if name not in ALWAYS_SHOWN
    }
    return max(widths, key=lambda number: widths[number], default=None)
