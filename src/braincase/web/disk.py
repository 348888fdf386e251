"""Disk usage: what is free where a folder lies, and what a folder takes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free on a folder's disk; 0 where it cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def bytes_in(folder: Path) -> int:
    """Return the size of all files in a folder."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:  # a cache that was replaced meanwhile
                continue
    return size
