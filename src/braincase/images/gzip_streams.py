"""Gzip streams: files opened through gzip where they are zipped; stray bytes behind a stream."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading, through gzip if its first bytes say so, whatever its name says."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path)) if zipped else path.open("rb")


def read_on(file: BinaryIO, count: int) -> bytes | None:
    """Read on, up to the end of a gzip stream: stray bytes that follow it are passed over.

    The stream's own checksum is still compared. So do gunzip and the NIfTI library.

    Returns
    -------
    Bytes, none at the end of the file, or None where stray bytes follow the stream.
    """
    try:
        return file.read(count)
    except gzip.BadGzipFile as error:
        if not str(error).startswith("Not a gzipped file"):  # the checksum does not fit
            raise
        return None
