"""Random changes of a batch that keep the diagnosis: mirror, small shift, contrast, gain.

Applied on the device, to a whole batch in one go, yet drawn for each scan on its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Largest shift in voxels along each axis: what registration leaves.
SHIFT_VOXELS = 1
GAIN_SPREAD = 0.05
LOG_GAMMA_SPREAD = 0.05


def augment(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Return a changed copy of volumes (b, 1, x, y, z) in [0, 1].

    Each scan is mirrored left-right with probability one half (the template is symmetric), shifted
    by up to one voxel along each axis, and its contrast and gain are varied.
    """
    return _vary_contrast(_shift(_mirror(batch, generator), generator), generator)


def _mirror(batch: Tensor, generator: torch.Generator) -> Tensor:
    coin = torch.rand(len(batch), generator=generator, device=batch.device) < 0.5
    mirrored = batch.clone()
    mirrored[coin] = batch[coin].flip(2)
    return mirrored


def _shift(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Move each scan; background enters where the scan left."""
    size = (len(batch), 3)
    steps = torch.randint(2 * SHIFT_VOXELS + 1, size, generator=generator, device=batch.device)
    padded = F.pad(batch, (SHIFT_VOXELS,) * 6)
    nx, ny, nz = batch.shape[2:]
    moved = [
        scan[:, i : i + nx, j : j + ny, k : k + nz]
        for scan, (i, j, k) in zip(padded, steps.tolist(), strict=True)
    ]
    return torch.stack(moved).contiguous(memory_format=torch.channels_last_3d)


def _vary_contrast(batch: Tensor, generator: torch.Generator) -> Tensor:
    draw = torch.randn(2, len(batch), 1, 1, 1, 1, generator=generator, device=batch.device)
    gamma = torch.exp(LOG_GAMMA_SPREAD * draw[0])
    gain = 1 + GAIN_SPREAD * draw[1]
    return gain * batch.clamp_min(0).pow(gamma)
