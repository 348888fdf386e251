"""Counting the entries of a zip's central directory before it is opened (PKWARE APPNOTE 4.3).

`zipfile.ZipFile` reads the whole directory into objects of half a kilobyte before anybody can count
them: a zip of 50 MB with a million empty entries takes half a gigabyte. Here the headers are only
walked over, and no further than to the limit.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

#: End of central directory record, its zip64 locator and record, and a header of the directory.
END, LOCATOR, END_64, HEADER = b"PK\5\6", b"PK\6\7", b"PK\6\6", b"PK\1\2"
END_BYTES, LOCATOR_BYTES, END_64_BYTES, HEADER_BYTES = 22, 20, 56, 46
MOST_COMMENT = 1 << 16
#: Bytes of a directory, on average an entry, and in all: names, extra fields and comments are long.
MOST_ENTRY_BYTES, MOST_SMALL = 1024, 1 << 20


def count_entries(path: Path, most: int) -> int:
    """Count the entries of a zip, folders and hidden files included, up to one more than `most`.

    The numbers in the end record are not believed; 0 where there is no directory that can be read,
    which `zipfile` then says better.
    """
    with path.open("rb") as file:
        directory = _directory(file)
        if directory is None:
            return 0
        start, size = directory
        if size > max(most * MOST_ENTRY_BYTES, MOST_SMALL):
            return most + 1
        file.seek(start)
        count = 0
        while size >= HEADER_BYTES and count <= most:
            header = file.read(HEADER_BYTES)
            if len(header) < HEADER_BYTES or not header.startswith(HEADER):
                break
            variable = sum(struct.unpack_from("<3H", header, 28))  # name, extra field, comment
            file.seek(variable, os.SEEK_CUR)
            size -= HEADER_BYTES + variable
            count += 1
        return count


def _directory(file: BinaryIO) -> tuple[int, int] | None:
    """Return where the central directory begins and its size, as `zipfile` finds them."""
    end = _end_record(file)
    if end is None:
        return None
    place, record = end
    (size,) = struct.unpack_from("<L", record, 12)
    if place >= LOCATOR_BYTES + END_64_BYTES:
        file.seek(place - LOCATOR_BYTES)
        if file.read(4) == LOCATOR:
            file.seek(place - LOCATOR_BYTES - END_64_BYTES)
            record = file.read(END_64_BYTES)
            if record.startswith(END_64):
                place -= LOCATOR_BYTES + END_64_BYTES
                (size,) = struct.unpack_from("<Q", record, 40)
    return (place - size, size) if 0 <= size <= place else None


def _end_record(file: BinaryIO) -> tuple[int, bytes] | None:
    """Return the place and the bytes of the end record: at the end, or before a comment."""
    length = file.seek(0, os.SEEK_END)
    if length < END_BYTES:
        return None
    file.seek(length - END_BYTES)
    record = file.read(END_BYTES)
    if record.startswith(END) and record.endswith(b"\0\0"):
        return length - END_BYTES, record
    start = max(length - MOST_COMMENT - END_BYTES, 0)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < END_BYTES:
        return None
    return start + at, tail[at : at + END_BYTES]
