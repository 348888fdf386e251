"""Small source folders for tests: real open heads where an image must be one, else any bytes."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import nibabel
import numpy as np


def image(path: Path, mark: int = 0) -> Path:
    """Write a small readable NIfTI; images of different marks differ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.full((8, 8, 8), mark % 251, np.int16)
    data[0, 0, 0] = mark // 251 + 1000
    nibabel.save(nibabel.Nifti1Image(data, np.diag([2.0, 2, 2, 1])), path)
    return path


def bids(root: Path, name: str, mark: int | None = None) -> Path:
    """Write an image where its BIDS name says."""
    folders = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
    number = sum(map(ord, name)) if mark is None else mark
    return image(root.joinpath(*folders, "anat", name), number)


def cut(path: Path) -> Path:
    """Write a packed image whose end is missing, as after a broken download."""
    image(path)
    content = gzip.compress(np.random.default_rng(0).bytes(1 << 16))
    path.write_bytes(content[: len(content) // 2])
    return path


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    """Write a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))
    return path


def ods(path: Path, rows: list[list[object]]) -> Path:
    """Write an OpenDocument table of texts and numbers."""
    space = "urn:oasis:names:tc:opendocument:xmlns:"
    names = " ".join(f'xmlns:{n}="{space}{n}:1.0"' for n in ("office", "table", "text"))

    def cell(value: object) -> str:
        kind = "string" if isinstance(value, str) else "float"
        number = "" if isinstance(value, str) else f' office:value="{value}"'
        told = f'office:value-type="{kind}"{number}'
        return f"<table:table-cell {told}><text:p>{value}</text:p></table:table-cell>"

    body = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    content = (
        f"<office:document-content {names}><office:body><office:spreadsheet>"
        f'<table:table table:name="A">{body}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = (
        f'<m:manifest xmlns:m="{space}manifest:1.0">'
        f'<m:file-entry m:full-path="/" m:media-type="{kind}"/></m:manifest>'
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("META-INF/manifest.xml", manifest)
        archive.writestr("content.xml", content)
    return path


def xls(path: Path, rows: list[list[object]]) -> Path:
    """Write a workbook of Excel 97: BIFF8 records in a compound file of one stream."""

    def record(kind: int, content: bytes) -> bytes:
        return struct.pack("<HH", kind, len(content)) + content

    def begin(what: int) -> bytes:
        return record(0x809, struct.pack("<HHHHII", 0x600, what, 0, 0x7CC, 0, 0x600))

    cells = b""
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            place = struct.pack("<HHH", r, c, 0)
            if isinstance(value, str):
                label = struct.pack("<HB", len(value), 1) + value.encode("utf-16-le")
                cells += record(0x204, place + label)
            else:
                cells += record(0x203, place + struct.pack("<d", value))
    end = record(0x0A, b"")
    sheet = begin(0x10) + record(0x200, struct.pack("<IIHHH", 0, len(rows), 0, 9, 0)) + cells + end
    start = len(begin(5)) + len(record(0x85, bytes(9))) + len(end)
    book = begin(5) + record(0x85, struct.pack("<IHBB", start, 0, 1, 0) + b"A") + end + sheet
    book = book.ljust(4096 + 512 * (-(-max(len(book) - 4096, 0) // 512)), b"\0")
    sectors = len(book) // 512
    free, last = 0xFFFFFFFF, 0xFFFFFFFE
    header = struct.pack(
        "<8s16sHHHHH6x", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 62, 3, 0xFFFE, 9, 6
    )
    header += struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, last, 0, last, 0)
    header += struct.pack("<109I", 0, *[free] * 108)
    table = [0xFFFFFFFD, last, *range(3, 2 + sectors), last]
    fat = struct.pack("<128I", *table, *[free] * (128 - len(table)))

    def entry(name: str, kind: int, child: int, first: int, size: int) -> bytes:
        letters = (name + "\0").encode("utf-16-le")
        links = struct.pack("<HBBIII", len(letters) if name else 0, kind, 1, free, free, child)
        return letters.ljust(64, b"\0") + links + bytes(36) + struct.pack("<IQ", first, size)

    folder = entry("Root Entry", 5, 1, last, 0) + entry("Workbook", 2, free, 2, len(book))
    folder += 2 * entry("", 0, free, 0, 0)
    path.write_bytes(header + fat + folder + book)
    return path
