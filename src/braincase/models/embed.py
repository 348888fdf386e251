"""Embedding (inference): from standard volumes to codes, and back to reconstructions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from braincase.errors import ScanError
from braincase.models.attribution import integrated_gradients
from braincase.models.encoder import Embed, Encoder
from braincase.models.layers import CODE_SIZE
from braincase.models.model import Model
from braincase.models.network import to_unit
from braincase.volumetry.code_layout import LONG
from braincase.volumetry.readout import read_out

#: Volumes that go through the network together; more gains nothing on two cores.
BATCH = 32


def best_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def embedder(model: Model, device: torch.device | None = None) -> Embed:
    """Return the function that embeds standard volumes with this model.

    The model's network moves to `device` (by default the GPU where there is one), and whatever else
    this model computes is computed there from then on. The function takes uint8 volumes of shape
    (n, *grid.shape) and gives codes of shape (n, `code_length`), float32: the network's 150 numbers
    (the 5 x 6 x 5 cells of MNI space in C order), or the longer code of a model with a local one. A
    batch gives the same codes as its volumes one by one, to rounding.
    """
    search_code = model.network.to(device or best_device()).search_code

    def embed(volumes: NDArray[np.uint8]) -> NDArray[np.float32]:
        codes = encode(model, volumes)
        return (
            codes
            if search_code is None
            else search_code.fitted().join(codes, read_out(volumes, model.grid))
        )

    return embed


def code_length(model: Model) -> int:
    """Return how many numbers the searched code of a model has."""
    return CODE_SIZE if model.network.search_code is None else LONG


def encode(model: Model, volumes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the network's own numbers of standard volumes, where it is now; shape (n, 150)."""
    network = model.network.eval()
    with torch.inference_mode():
        parts = [network.encode(batch).float().cpu().numpy() for batch in _batches(model, volumes)]
    return np.concatenate(parts) if parts else np.empty((0, CODE_SIZE), np.float32)


def encoder_of(model: Model, device: torch.device | None = None) -> Encoder:
    """Return the model as an `Encoder`, which code without torch can use.

    Parameters
    ----------
    model
        A trained model.
    device
        Where it embeds, and to which its network moves; by default the GPU where there is one.
    """
    return Encoder(
        embedder(model, device),
        model.grid,
        model.recipe,
        model.fingerprint,
        length=code_length(model),
        attribute=partial(integrated_gradients, model),
    )


def reconstruct(
    model: Model, volumes: NDArray[np.uint8], device: torch.device | None = None
) -> NDArray[np.float32]:
    """Encode and decode volumes (n, *grid.shape) uint8; return float32 in [0, 1], same shape."""
    network = model.network.to(device or best_device()).eval()
    with torch.inference_mode():
        parts = [
            network.decode(network.encode(batch)).clamp(0, 1).float().cpu()[:, 0]
            for batch in _batches(model, volumes)
        ]
    return np.concatenate([p.numpy() for p in parts])


def _batches(model: Model, volumes: NDArray[np.uint8]) -> Iterator[Tensor]:
    """Yield float batches (b, 1, *shape) in [0, 1] on the network's device, channels last."""
    if volumes.ndim != 4 or volumes.shape[1:] != model.grid.shape or volumes.dtype != np.uint8:
        found = f"{volumes.dtype} {volumes.shape}"
        raise ScanError("volumes to embed", found, f"uint8 (n, {model.grid.shape})")
    for start in range(0, len(volumes), BATCH):
        batch = torch.from_numpy(np.ascontiguousarray(volumes[start : start + BATCH]))
        yield to_unit(batch.to(model.device))
