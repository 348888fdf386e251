"""Small source folders for tests: real open heads where an image must be one, else any bytes."""

from __future__ import annotations

import gzip
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
