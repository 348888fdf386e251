"""HTML of search results in notebooks (`_repr_html_`): a table of hits with their thumbnails.

The pictures are the gallery's own thumbnails, slices of the skull-stripped standard volume; nothing
else is shown than names, distances and the usual labels, as in the table of the command line.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from contextlib import closing, suppress
from html import escape

from braincase.errors import BraincaseError
from braincase.gallery import SearchResult, open_gallery

#: Rows of a table; more hits are counted.
MOST_ROWS = 20
#: Pixels of a thumbnail's height.
HEIGHT = 64


def html_of_result(
    result: SearchResult, lines: Sequence[str] = (), query: bytes | None = None
) -> str:
    """Return the HTML of a result: the query, its hits and what is said of them.

    Parameters
    ----------
    result
        Its gallery is opened for the pictures; without it there are none.
    lines
        What stands below the table.
    query
        The query's thumbnail (JPEG), where it is no case of the gallery.
    """
    shown = result.hits[:MOST_ROWS]
    header, rows = result.rows()
    own = "" if result.query_id is None else result.query_id
    pictures = thumbnails(result, [hit.scan_id for hit in shown])
    if query is None and own:
        query = thumbnails(result, [own])[0]
    named = escape(own or "a code")
    cells = ["<th></th>", *(f"<th>{escape(name)}</th>" for name in header)]
    text = [
        f"<p>Cases like <b>{named}</b> among {result.n_searched:,} of {escape(result.gallery)},"
        f" version {result.gallery_version} {picture_html(query)}</p>",
        f"<table><tr>{''.join(cells)}</tr>",
    ]
    for picture, row in zip(pictures, rows, strict=False):
        cells = [f"<td>{escape(cell)}</td>" for cell in row]
        text.append(f"<tr><td>{picture_html(picture)}</td>{''.join(cells)}</tr>")
    text.append("</table>")
    if len(result.hits) > len(shown):
        text.append(f"<p>and {len(result.hits) - len(shown):,} more</p>")
    return "".join([*text, *(f"<p>{escape(line)}</p>" for line in lines)])


def picture_html(picture: bytes | None) -> str:
    """Return a JPEG as an image of a page; nothing where there is none."""
    if picture is None:
        return ""
    data = b64encode(picture).decode("ascii")
    return f'<img height="{HEIGHT}" alt="" src="data:image/jpeg;base64,{data}">'


def thumbnails(result: SearchResult, scan_ids: Sequence[str]) -> list[bytes | None]:
    """Return the thumbnails of cases as they were searched; None for each that cannot be had.

    The gallery is opened anew: whoever looks at a result may have closed it.
    """
    with suppress(BraincaseError, OSError), closing(open_gallery(result.gallery)) as gallery:
        there = gallery.find(scan_ids, result.gallery_version)
        return [
            gallery.thumbnail(scan_id, result.gallery_version) if scan_id in there else None
            for scan_id in scan_ids
        ]
    return [None] * len(scan_ids)
