"""Tar archives (ustar, pax, GNU; gzipped or not): regular members unpacked aside, within bounds.

A tar has no directory to choose from, so it is read once from its beginning, and every regular
member is copied to a name of ours: none can land elsewhere. Links and devices are passed over.
Python's own reader holds in memory whatever a header declares; here a header is one block, and what
it declares is compared with the bounds before a byte of it is read.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from braincase.errors import ScanError
from braincase.images.gzip_streams import open_plain, read_on

BLOCK = 512
#: So many bytes of a file tell a tar, gzipped or not.
LOOKED_AT = 2048
GZIP_MAGIC = b"\x1f\x8b"
#: The most bytes of a header of its own (pax, GNU long names), and of a member's name.
MAX_HEADER_BYTES, MAX_NAME = 1 << 20, 4096
COPY_BYTES = 1 << 20
#: Types of members: files; what has no bytes; names for the next member; what no DICOM export has.
_REGULAR, _WITHOUT_BYTES, _PAX, _LONG_NAME, _SPARSE = b"07\x00", b"123456V", b"xX", b"L", b"SM"
DAMAGED = "Copy it again, or unpack it and name the folder."


@dataclass(frozen=True)
class TarBounds:
    """What a tar may hold: files, bytes, and how far it may have shrunk once it is `bursting`."""

    files: int
    bytes: int
    ratio: int
    bursting: int


class _DamagedError(Exception):
    """What is read is no whole tar."""


def is_tar(start: bytes) -> bool:
    """Say whether a file is a tar, gzipped or not, by its first `LOOKED_AT` bytes."""
    if start.startswith(GZIP_MAGIC):
        try:
            start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, BLOCK)
        except zlib.error:
            return False
    return len(start) >= BLOCK and _checksum_fits(start[:BLOCK])


def unpack_tar(path: Path, folder: Path, bounds: TarBounds) -> dict[str, Path]:
    """Copy the regular members of a tar into a folder, and return where each is by its name.

    Parameters
    ----------
    path
        The tar.
    folder
        An empty folder; members get numbers for names.
    bounds
        What it may hold.

    Raises
    ------
    ScanError
        If it is damaged or cut off, holds sparse files, or more than it may.
    """
    members: dict[str, Path] = {}
    try:
        with open_plain(path) as file:
            stream = _Stream(path, file, bounds)
            while header := _next_member(stream):
                name, size, is_file = header
                if not is_file:
                    stream.copy(size, None)
                    continue
                # By the count of files: a name may come twice, and then the last one holds.
                members[name] = folder / f"{stream.count_file():06d}"
                stream.copy(size, members[name])
            stream.drain()
    except (_DamagedError, EOFError, zlib.error) as error:
        raise ScanError(path, f"a damaged tar ({error})", "", DAMAGED) from None
    except OSError as error:
        if error.errno is not None:  # of the disk, not of gzip
            raise
        raise ScanError(path, f"a damaged tar ({error})", "", DAMAGED) from None
    return members


class _Stream:
    """The bytes of a tar, each counted against its bounds before it is read."""

    def __init__(self, path: Path, file: BinaryIO, bounds: TarBounds) -> None:
        self._path, self._file, self._bounds = path, file, bounds
        self._most = max(bounds.ratio * path.stat().st_size, bounds.bursting)
        self._bytes = self._files = 0

    def read(self, size: int) -> bytes:
        """Read exactly so many bytes."""
        self._count(size)
        if len(content := self._file.read(size)) < size:
            raise _DamagedError("it is cut off")
        return content

    def copy(self, size: int, target: Path | None) -> None:
        """Copy a member's bytes to a file, or pass over them, up to the next block."""
        self._count(size)
        padding = -size % BLOCK
        if target is None:
            self._each_chunk(size, lambda chunk: None)
        else:
            try:
                with target.open("wb") as copy:
                    self._each_chunk(size, copy.write)
            except OSError as error:  # of a full disk the system does not say which
                if error.errno is None:
                    raise
                raise OSError(error.errno, error.strerror, str(target)) from error
        self.read(padding)

    def _each_chunk(self, size: int, take: Callable[[bytes], object]) -> None:
        while size:
            if not (chunk := self._file.read(min(size, COPY_BYTES))):
                raise _DamagedError("it is cut off")
            take(chunk)
            size -= len(chunk)

    def drain(self) -> None:
        """Read to the end, where gzip compares its checksum."""
        while chunk := read_on(self._file, COPY_BYTES):
            self._count(len(chunk))

    def count_file(self) -> int:
        """Count one more file and return its number.

        Raises
        ------
        ScanError
            If these are too many.
        """
        self._files += 1
        if self._files > self._bounds.files:
            found = f"a tar of more than {self._bounds.files:,} files"
            raise ScanError(self._path, found, "one study", "Unpack it and name the folder.")
        return self._files

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._bounds.bytes:
            found = f"a tar that unpacks to more than {self._bounds.bytes / 1e9:,.1f} GB"
            raise ScanError(self._path, found, "one study", "Unpack it and name the folder.")
        if self._bytes > self._most:
            packed = self._path.stat().st_size / 1e6
            found = (
                f"a tar of {packed:,.1f} MB that unpacks to more than {self._most / 1e9:,.1f} GB"
            )
            advice = "No scan shrinks so much: get it anew."
            raise ScanError(self._path, found, "one study", advice)


def _next_member(stream: _Stream) -> tuple[str, int, bool] | None:
    """Return name, bytes and whether it is a file of the next member; None at the end."""
    long_name, long_size = None, None
    while (header := stream.read(BLOCK)).strip(b"\0"):
        if not _checksum_fits(header):
            raise _DamagedError("the checksum of a header does not fit")
        kind, size = header[156:157], _number(header[124:136])
        if kind in _SPARSE:
            raise _DamagedError("it holds sparse files or is a part of several")
        if kind in _PAX or kind in _LONG_NAME:
            if size > MAX_HEADER_BYTES:
                raise _DamagedError("a header is longer than any")
            content = stream.read(size + -size % BLOCK)[:size]
            if kind in _LONG_NAME:
                long_name = _text(content)
            else:
                records = _pax_records(content)
                long_name = records.get("path", long_name)
                long_size = _decimal(records["size"]) if "size" in records else long_size
            continue
        name = long_name or _name_of(header)
        if len(name) > MAX_NAME:
            raise _DamagedError("the name of a member is longer than any")
        if kind in _WITHOUT_BYTES:
            return name, 0, False
        is_file = kind in _REGULAR and not name.endswith("/")
        return name, size if long_size is None else long_size, is_file
    return None


def _checksum_fits(header: bytes) -> bool:
    """Say whether a block is a header: the sum of its bytes stands in it, its own as blanks."""
    try:
        told = _number(header[148:156])
    except _DamagedError:
        return False
    blank = header[:148] + b" " * 8 + header[156:]
    signed = sum(blank) - 256 * sum(byte > 127 for byte in blank)  # as some old programs add
    return bool(header.strip(b"\0")) and told in (sum(blank), signed)


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or with a first bit for large ones base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip()
    if not digits or digits.strip(b"01234567"):
        if not digits:
            return 0
        raise _DamagedError("a number of a header is none")
    return int(digits, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 20:
        raise _DamagedError("a size is no number")
    return int(text)


def _name_of(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax_records(content: bytes) -> dict[str, str]:
    """Return the records of a pax header, each 'length key=value' and a line's end."""
    records: dict[str, str] = {}
    at = 0
    while at < len(content):
        length, blank, _ = content[at : at + 24].partition(b" ")
        size = _decimal(length.decode("ascii", "replace")) if blank else 0
        record = content[at : at + size]
        key, equals, value = record[len(length) + 1 :].partition(b"=")
        if len(record) < size or not equals or not value.endswith(b"\n"):
            raise _DamagedError("a header of names is none")
        records[_text(key)] = _text(value[:-1])
        at += size
    if any(key.startswith("GNU.sparse") for key in records):
        raise _DamagedError("it holds sparse files or is a part of several")
    return records
