"""How far a cell sees, and that a change of the image inside a region shows there."""

import numpy as np
import pytest

from braincase.checkpoint import Model
from braincase.embed import embedder
from braincase.explain import explain
from braincase.geometry import HALF_GRID, STANDARD_GRID
from braincase.model import build_network
from braincase.regions import label_volume, load_regions
from braincase.settings import Settings
from braincase.sight import sight_of
from braincase.train import train_model

#: Parts that fill cells of their own; occipital and cerebellar cells look at each other.
PARTS = [
    f"{side}-{part}" for part in ("frontal", "parietal", "temporal") for side in ("left", "right")
]


def field_in_voxels(architecture, halvings):
    """The receptive field by formula: kernels of 3, then halvings by pooling or by stride."""
    field, step = 1, 1
    for _ in range(halvings):
        field += 2 * step
        field += step if architecture == "paper" else 0  # 2 x 2 x 2 pooling; a stride adds none
        step *= 2
    return field + 2 * step  # the last 3 x 3 x 3 at the size of the code


@pytest.mark.parametrize("architecture", ["paper", "braincase"])
@pytest.mark.parametrize("grid", [STANDARD_GRID, HALF_GRID], ids=["2 mm", "4 mm"])
def test_the_documented_receptive_field_is_that_of_the_gradient(architecture, grid):
    settings = Settings("untrained", architecture=architecture, channels=2)
    model = Model(build_network(settings, grid), settings, grid, {}, {})
    volumes = np.random.default_rng(0).integers(0, 255, (2, *grid.shape)).astype(np.uint8)
    halvings = {2: 4, 4: 3}[grid.resolution_mm]
    expected = field_in_voxels(architecture, halvings) * grid.resolution_mm
    documented = {"paper": {2: 156, 4: 152}, "braincase": {2: 126, 4: 124}}
    assert expected == documented[architecture][grid.resolution_mm]
    assert sight_of(model, volumes).extent_mm == (expected,) * 3


@pytest.fixture(scope="module")
def trained(clinic):
    settings = Settings("tiny", channels=8, epochs=10, batch_size=16)
    return train_model(clinic, np.arange(len(clinic)), settings)


def test_a_trained_cell_looks_mostly_at_its_neighbourhood(clinic, trained):
    sight = sight_of(trained, clinic.volumes[np.arange(10)])
    assert sight.weights.sum() == pytest.approx(1)
    assert sight.within(steps=1) > 0.6
    assert sight.within(steps=2) > 0.99
    # A far corner of the brain matters nothing to a cell in the middle.
    assert sight.weights[0, 0, 0] < 1e-6


@pytest.mark.parametrize("part", PARTS)
def test_changing_the_image_inside_a_part_moves_its_share_most(clinic, trained, part):
    regions = load_regions()
    labels, names = label_volume(HALF_GRID)
    members = {regions.names[i] for i in regions.members(part)}
    inside = np.isin(labels, [i for i, name in enumerate(names) if name in members])
    before = clinic.volumes[np.arange(8)]
    after = np.where(inside, before * 0.6, before).astype(np.uint8)
    embed = embedder(trained)
    moved = dict.fromkeys(PARTS, 0.0)
    for one, other in zip(embed(before), embed(after), strict=True):
        told = explain(one, other, regions)
        for name in PARTS:
            own = {regions.names[i] for i in regions.members(name)}
            moved[name] += sum(v for k, v in told.by_region.items() if k in own)
    assert max(moved, key=moved.__getitem__) == part
