"""Report page: sections of tables and figures as data, rendered into one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@dataclass(frozen=True)
class Cell:
    """One number of a table: the value, its interval in small print, and whether it is the best."""

    text: str
    small: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row.

    Parameters
    ----------
    columns
        Titles of all columns, the first one's included.
    rows
        As many cells each as there are columns.
    caption
        What it shows and how to read it.
    groups
        Titles above several columns: (title, number of columns), all columns covered; may be empty.
    """

    kind: ClassVar = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    groups: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True)
class Drawing:
    """A figure as inline SVG."""

    kind: ClassVar = "drawing"
    svg: Markup
    caption: str


@dataclass(frozen=True)
class Pictures:
    """Pictures in a grid: data URLs by row, with titles of rows and columns (or none)."""

    kind: ClassVar = "pictures"
    rows: Sequence[tuple[str, Sequence[str]]]
    columns: Sequence[str]
    caption: str
    brains: bool = False


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Parameters
    ----------
    title, lead
        Heading and first paragraph.
    blocks
        Tables and figures in the order in which they stand.
    notes
        Short remarks below them.
    facts
        Names and values, in small print.
    """

    title: str
    lead: str = ""
    blocks: Sequence[Table | Drawing | Pictures] = ()
    notes: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()


def render_page(
    title: str, first_line: str, about: Sequence[str], sections: Sequence[Section]
) -> str:
    """Return the report as one HTML page that needs no other file."""
    environment = Environment(
        loader=PackageLoader("braincase.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html")
    return template.render(title=title, first_line=first_line, about=about, sections=sections)
