"""HTTP responses with range requests and ETags: NIfTI files, and slices as PNG."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from braincase.images.geometry import Grid
from braincase.images.planes import Planes, planes_of
from braincase.web.problems import Problem, not_found

PlaneName = Literal["sagittal", "coronal", "axial"]
AXES: dict[str, int] = {"sagittal": 0, "coronal": 1, "axial": 2}
#: Screen pixels of the longer side of a slice.
SLICE_PIXELS = 384
#: Browsers may keep an image, but ask each time whether it is still the same.
CACHING = "private, no-cache"
NIFTI = "application/gzip"


def tag_of(*parts: object) -> str:
    """Return an entity tag that differs when any part does."""
    return '"' + hashlib.sha256(repr(parts).encode()).hexdigest()[:32] + '"'


def not_modified(request: Request, tag: str) -> bool:
    """Return whether the browser has this very content (If-None-Match)."""
    tags = request.headers.get("if-none-match", "")
    return tag in (part.strip().removeprefix("W/") for part in tags.split(","))


def file_response(request: Request, path: Path, media_type: str = NIFTI) -> Response:
    """Answer with a file or the range of it that was asked for.

    Raises
    ------
    Problem
        If the file is not there.
    """
    try:
        stat = path.stat()
    except OSError:
        raise not_found("image of this case; perhaps its cohort has been moved") from None
    tag = tag_of(path.name, stat.st_mtime_ns, stat.st_size)
    headers = {"ETag": tag, "Cache-Control": CACHING}
    if not_modified(request, tag):
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers, media_type=media_type, stat_result=stat)


def bytes_response(request: Request, content: bytes, media_type: str = NIFTI) -> Response:
    """Answer with bytes or the range of them that was asked for; several ranges get all of them."""
    tag = tag_of(hashlib.sha256(content).hexdigest())
    headers = {"ETag": tag, "Cache-Control": CACHING, "Accept-Ranges": "bytes"}
    if not_modified(request, tag):
        return Response(status_code=304, headers=headers)
    wanted = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", request.headers.get("range", ""))
    if wanted is None or not any(wanted.groups()) or request.headers.get("if-range", tag) != tag:
        return Response(content, headers=headers, media_type=media_type)
    first, last = wanted.groups()
    start = int(first) if first else max(len(content) - int(last), 0)
    stop = min(int(last) + 1, len(content)) if first and last else len(content)
    if start >= stop:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
    return Response(content[start:stop], 206, headers, media_type)


def png_response(request: Request, tag: str, picture: bytes) -> Response:
    """Answer with a PNG picture."""
    headers = {"ETag": tag, "Cache-Control": CACHING}
    if not_modified(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(picture, media_type="image/png", headers=headers)


def slice_png(volume: NDArray[np.uint8], grid: Grid, plane: str, index: int) -> bytes:
    """Return one slice as PNG, radiological convention.

    Raises
    ------
    Problem
        If there is no such slice.
    """
    axis = AXES[plane]
    if not 0 <= index < grid.shape[axis]:
        last = grid.shape[axis] - 1
        raise Problem(404, "not_found", f"There is no {plane} slice {index}: 0 to {last}.")
    at = [0.0, 0.0, 0.0]
    at[axis] = float(grid.affine[axis, 3] + index * grid.resolution_mm)
    picture = planes_of(volume, grid, (at[0], at[1], at[2]))[axis]
    return _png(picture, _white(volume), SLICE_PIXELS)


def planes_png(planes: Planes) -> bytes:
    """Return three planes side by side as one PNG."""
    tall = max(plane.shape[0] for plane in planes)
    padded = [np.pad(plane, ((0, tall - plane.shape[0]), (0, 0))) for plane in planes]
    strip = np.hstack(padded)
    return _png(strip, _white(strip), strip.shape[1])


def _png(picture: NDArray[np.uint8], white: float, pixels: int) -> bytes:
    scaled = np.clip(picture * (255.0 / white), 0, 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(scaled))
    factor = pixels / max(picture.shape)
    if factor != 1:
        size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
        image = image.resize(size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _white(values: NDArray[np.uint8]) -> float:
    """Return the brightness shown as white: the 99.5th percentile of tissue."""
    tissue = values[values > 0]
    return max(float(np.percentile(tissue, 99.5)), 1.0) if tissue.size else 255.0
