"""Opening a model folder for inference: in NumPy where that does, else with torch.

Torch takes longer to import than anything else of a search with a raw scan, and one volume is soon
encoded without it. Many volumes, maps of what the model saw, and networks of another kind need it;
then it is imported.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from braincase.errors import BraincaseError, FingerprintError, ScanError
from braincase.files import check_regular
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.models.encoder import Encoder
from braincase.models.joined_code import JoinedCode
from braincase.models.model_json import WEIGHTS, hash_of_model, read_about
from braincase.models.numpy_network import Arrays, encode
from braincase.models.settings import settings_from
from braincase.volumetry.readout import read_out

#: Networks that `numpy_network` computes.
KNOWN = ("braincase", "principal")
#: More volumes at once are encoded by torch.
FEW = 8
#: What damaged settings or weights lead the libraries to raise.
_BAD = (OSError, SafetensorError, LookupError, TypeError, ValueError, ArithmeticError)


def open_model(folder: Path) -> Encoder:
    """Return the encoder of a model folder.

    Raises
    ------
    ModelError
        If it is missing, damaged, or not what its fingerprint says.
    """
    # What is wrong with a folder, `load_model` says.
    return _numpy_encoder(folder) or torch_encoder(folder)


def torch_encoder(folder: Path) -> Encoder:
    """Return the encoder of a model folder, with torch, on the GPU where there is one."""
    with _uncollected():
        from braincase.models.embed import encoder_of
        from braincase.models.model import load_model

    return encoder_of(load_model(folder))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Import without garbage collection: all that torch makes stays, and looking takes a tenth."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _numpy_encoder(folder: Path) -> Encoder | None:
    """Return the encoder of a model folder that needs no torch for few volumes; None if it does."""
    try:
        about = read_about(folder)
        settings = settings_from(about["settings"], folder)
        if settings.architecture not in KNOWN:
            return None
        grid = grid_of_resolution(about["resolution_mm"])
        stored = load_file(check_regular(folder / WEIGHTS))
        arrays = {name: _as_computed(name, array) for name, array in stored.items()}
        contents = ((name, array.tobytes()) for name, array in sorted(arrays.items()))
        found = hash_of_model(settings, about["resolution_mm"], about["recipe"], contents)
        if found != about["fingerprint"]:
            return None
        fitted = _fitted(arrays) if settings.local else None
        # An embedding now shows that the arrays fit one another, a hundredth of a second's work.
        length = _embed(arrays, fitted, grid, np.zeros((1, *grid.shape), np.uint8)).shape[1]
    except (*_BAD, BraincaseError):
        return None

    @cache
    def with_torch() -> Encoder:
        encoder = torch_encoder(folder)
        if encoder.fingerprint != found:
            raise FingerprintError(folder, encoder.fingerprint[:12], found[:12])
        return encoder

    def embed(volumes: NDArray[np.uint8]) -> NDArray[np.float32]:
        few = len(volumes) <= FEW
        return _embed(arrays, fitted, grid, volumes) if few else with_torch().embed(volumes)

    def attribute(
        query: NDArray[np.uint8], hit: NDArray[np.uint8], weights: NDArray[np.float64] | None
    ) -> NDArray[np.float32]:
        by_torch = with_torch().attribute
        assert by_torch is not None  # a network of this house has gradients
        return by_torch(query, hit, weights)

    return Encoder(embed, grid, about["recipe"], found, length=length, attribute=attribute)


def _as_computed(name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an array as torch has it once it is loaded: float32, but for the axes."""
    return array.astype(np.float32) if array.dtype.kind == "f" and name != "axes.axes" else array


def _fitted(arrays: Arrays) -> JoinedCode:
    """Return what of the searched code is fitted."""
    scale, weights, offset, stretch = (
        np.asarray(arrays[f"search_code.{name}"], np.float32)
        for name in ("scale", "weights", "offset", "stretch")
    )
    return JoinedCode(float(scale), weights, offset, float(stretch))


def _embed(
    arrays: Arrays, fitted: JoinedCode | None, grid: Grid, volumes: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return codes of standard volumes (n, *grid.shape), shape (n, length)."""
    if volumes.ndim != 4 or volumes.shape[1:] != grid.shape or volumes.dtype != np.uint8:
        found = f"{volumes.dtype} {volumes.shape}"
        raise ScanError("volumes to embed", found, f"uint8 (n, {grid.shape})")
    with np.errstate(all="ignore"):  # numbers that are not finite are the caller's to see
        codes = encode(arrays, grid, volumes)
    return codes if fitted is None else fitted.join(codes, read_out(volumes, grid))
