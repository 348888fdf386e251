"""How far a cell sees, and that a change of the image inside a region shows there."""

import numpy as np
import pytest
import torch

from braincase.answer.maps import region_sums
from braincase.answer.shares import explain
from braincase.images.atlas import label_volume, load_regions
from braincase.images.geometry import HALF_GRID, STANDARD_GRID
from braincase.models.attribution import integrated_gradients, receptive_field
from braincase.models.embed import embedder
from braincase.models.model import Model
from braincase.models.network import build_network
from braincase.models.settings import ModelSettings
from braincase.models.train import train_model

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
    settings = ModelSettings("untrained", architecture, channels=2)
    model = Model(build_network(settings, grid), settings, grid, {}, {})
    volumes = np.random.default_rng(0).integers(0, 255, (2, *grid.shape)).astype(np.uint8)
    halvings = {2: 4, 4: 3}[grid.resolution_mm]
    expected = field_in_voxels(architecture, halvings) * grid.resolution_mm
    documented = {"paper": {2: 156, 4: 152}, "braincase": {2: 126, 4: 124}}
    assert expected == documented[architecture][grid.resolution_mm]
    assert receptive_field(model, volumes).extent_mm == (expected,) * 3


@pytest.fixture(scope="module")
def trained(clinic):
    settings = ModelSettings("tiny", channels=8, epochs=10, batch_size=16)
    return train_model(clinic, np.arange(len(clinic)), settings)


def test_explaining_neither_moves_the_network_nor_changes_its_mode(monkeypatch):
    settings = ModelSettings("untrained", channels=2)
    model = Model(build_network(settings, HALF_GRID), settings, HALF_GRID, {}, {})
    assert model.network.training
    volumes = np.random.default_rng(0).integers(0, 255, (2, *HALF_GRID.shape)).astype(np.uint8)
    weights = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    # Every move of a module (cpu, cuda, to, half) goes through _apply.
    monkeypatch.setattr(model.network, "_apply", lambda *_, **__: pytest.fail("it was moved"))
    receptive_field(model, volumes)
    integrated_gradients(model, *volumes, steps=2)
    assert model.network.training
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no second device here")
def test_an_embedder_stays_on_its_device_after_an_explanation():
    settings = ModelSettings("untrained", channels=2)
    model = Model(build_network(settings, HALF_GRID), settings, HALF_GRID, {}, {})
    volumes = np.random.default_rng(0).integers(0, 255, (2, *HALF_GRID.shape)).astype(np.uint8)
    embed = embedder(model, torch.device("cuda"))
    before = embed(volumes)
    integrated_gradients(model, *volumes, steps=2)
    assert next(model.network.parameters()).device.type == "cuda"
    np.testing.assert_array_equal(embed(volumes), before)


def test_a_trained_cell_looks_mostly_at_its_neighbourhood(clinic, trained):
    field = receptive_field(trained, clinic.volumes[np.arange(10)])
    assert field.weights.sum() == pytest.approx(1)
    assert field.within(steps=1) > 0.45
    assert field.within(steps=2) > 0.99
    # A far corner of the brain matters nothing to a cell in the middle.
    assert field.weights[0, 0, 0] < 1e-6


@pytest.mark.parametrize("part", PARTS)
def test_changing_the_image_inside_a_part_moves_its_share_or_one_neighbours_most(
    clinic, trained, part
):
    """A share goes by how much of a cell a part fills, so a part in shared cells may come second.

    Left temporal cells hold frontal tissue too: where the code answers a change there, the frontal
    share can move more. docs/search-explained.md says what a share is and what it is not.
    """
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
    assert part in sorted(moved, key=moved.__getitem__)[-2:]


def test_what_the_model_saw_sums_to_the_squared_distance_and_lies_where_the_images_differ(
    clinic, trained
):
    labels, names = label_volume(HALF_GRID)
    one, other = clinic.volumes[np.array([0, 40])]
    first, second = embedder(trained)(np.stack([one, other])).astype(np.float64)
    seen = integrated_gradients(trained, one, other)
    assert seen.sum() == pytest.approx(((first - second) ** 2).sum(), rel=0.05)
    corner = np.zeros(150)
    corner[70] = 2.0
    weighted = integrated_gradients(trained, one, other, corner)
    assert weighted.sum() == pytest.approx(2 * (first[70] - second[70]) ** 2, rel=0.05)
    hippocampus = np.isin(labels, [i for i, n in enumerate(names) if n.endswith("hippocampus")])
    changed = np.where(hippocampus, one * 0.5, one).astype(np.uint8)
    told = region_sums(integrated_gradients(trained, changed, one), HALF_GRID)
    whole = sum(told.values())
    assert told["left-hippocampus"] + told["right-hippocampus"] == pytest.approx(whole)
    code = embedder(trained)(changed[None])[0].astype(np.float64)
    assert whole == pytest.approx(((code - first) ** 2).sum(), rel=0.05)
