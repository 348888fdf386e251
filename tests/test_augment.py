"""Augmentation changes each scan on its own and stays within its bounds."""

from __future__ import annotations

import torch

from braincase.models import augment as module
from braincase.models.augment import augment


def one_voxel(n: int) -> torch.Tensor:
    """Volumes with a single bright voxel off the middle."""
    volumes = torch.zeros(n, 1, 10, 12, 10)
    volumes[:, :, 2, 5, 4] = 1.0
    return volumes


def test_each_scan_is_moved_by_at_most_one_voxel_and_mirrored_half_the_time() -> None:
    changed = augment(one_voxel(200), torch.Generator().manual_seed(0))
    places = torch.stack([v[0].flatten().argmax() for v in changed])
    x, y, z = (t.tolist() for t in torch.unravel_index(places, (10, 12, 10)))
    assert set(x) == {1, 2, 3, 6, 7, 8}  # where it was, or its mirror image 9 - 2
    assert set(y) == {4, 5, 6}
    assert set(z) == {3, 4, 5}
    mirrored = sum(place > 4 for place in x)
    assert 70 < mirrored < 130


def test_background_enters_and_nothing_wraps_around() -> None:
    volumes = torch.zeros(50, 1, 6, 6, 6)
    volumes[:, :, :, :, 0] = 1.0
    changed = augment(volumes, torch.Generator().manual_seed(1))
    assert changed[..., -1].abs().max() == 0


def test_gain_and_contrast_vary_between_scans_and_keep_zero_at_zero() -> None:
    volumes = torch.full((400, 1, 4, 4, 4), 1.0)
    inner = augment(volumes, torch.Generator().manual_seed(2))[:, 0, 2, 2, 2]
    assert abs(inner.std().item() - module.GAIN_SPREAD) < 0.02
    assert augment(torch.zeros(4, 1, 4, 4, 4), torch.Generator()).abs().max() == 0


def test_the_input_is_left_alone_and_a_seed_decides_all() -> None:
    volumes = torch.rand(8, 1, 6, 6, 6)
    before = volumes.clone()
    a, b = (augment(volumes, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b)
    assert torch.equal(volumes, before)
