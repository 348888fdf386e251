"""Random changes of a batch that keep the diagnosis: mirror, small shift, contrast, gain.

Applied on the device, to a whole batch in one go, yet drawn for each scan on its own.
"""

from __future__ import annotations

import torch
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
    return torch.where(coin.view(-1, 1, 1, 1, 1), batch.flip(2), batch)


def _shift(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Roll each scan; what leaves on one side is background, as is what enters on the other."""
    steps = torch.randint(
        -SHIFT_VOXELS,
        SHIFT_VOXELS + 1,
        (len(batch), 3),
        generator=generator,
        device=batch.device,
    ).tolist()
    rolled = [torch.roll(scan, step, (1, 2, 3)) for scan, step in zip(batch, steps, strict=True)]
    return torch.stack(rolled).contiguous(memory_format=torch.channels_last_3d)


def _vary_contrast(batch: Tensor, generator: torch.Generator) -> Tensor:
    draw = torch.randn(2, len(batch), 1, 1, 1, 1, generator=generator, device=batch.device)
    gamma = torch.exp(LOG_GAMMA_SPREAD * draw[0])
    gain = 1 + GAIN_SPREAD * draw[1]
    return gain * batch.clamp_min(0).pow(gamma)
