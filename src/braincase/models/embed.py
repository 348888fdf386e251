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
from braincase.models.model import Model
from braincase.models.network import CODE_SIZE, to_unit

#: Volumes that go through the network together; more gains nothing on two cores.
BATCH = 32


def best_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def embedder(model: Model, device: torch.device | None = None) -> Embed:
    """Return the function that embeds standard volumes with this model.

    The model's network moves to `device` (by default the GPU where there is one), and whatever else
    this model computes is computed there from then on. The function takes uint8 volumes of shape
    (n, *grid.shape) and gives codes of shape (n, 150), float32: the 5 x 6 x 5 cells of MNI space in
    C order. A batch gives the same codes as its volumes one by one, to rounding.
    """
    network = model.network.to(device or best_device()).eval()

    def embed(volumes: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            parts = [network.encode(batch).float().cpu() for batch in _batches(model, volumes)]
        return (
            np.concatenate([p.numpy() for p in parts]) if parts else np.empty((0, CODE_SIZE), "f4")
        )

    return embed


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
        length=CODE_SIZE,
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
