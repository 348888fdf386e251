"""The networks keep a spatial code, and mean the same in batches as one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from braincase.errors import ModelError, ScanError
from braincase.images.geometry import CELLS, HALF_GRID, STANDARD_GRID, Grid
from braincase.models.embed import embedder, reconstruct
from braincase.models.layers import CellwiseLinear, PooledConvolution, UpsampledConvolution
from braincase.models.model import Model, save_model
from braincase.models.network import (
    Autoencoder,
    BraincaseCAE,
    PaperCAE,
    PrincipalCAE,
    build_network,
)
from braincase.models.open_model import FEW, open_model
from braincase.models.settings import ModelSettings

SMALL = {
    "paper": ModelSettings("p", "paper", channels=3),
    "paper-mean": ModelSettings("m", "paper-mean", channels=3),
    "paper-deep": ModelSettings("d", "paper-deep", channels=3),
    "braincase": ModelSettings("b", "braincase", channels=2),
    "principal": ModelSettings("q", channels=2),
}


@pytest.mark.parametrize("grid", [HALF_GRID, STANDARD_GRID])
@pytest.mark.parametrize("architecture", SMALL)
def test_a_volume_becomes_150_numbers_and_a_volume_again(architecture: str, grid: Grid) -> None:
    network = build_network(SMALL[architecture], grid).eval()
    codes, volumes = network(torch.zeros(2, 1, *grid.shape))
    assert codes.shape == (2, 150)
    assert volumes.shape == (2, 1, *grid.shape)


def test_the_paper_network_is_the_one_described() -> None:
    network = PaperCAE(STANDARD_GRID, 27)
    encoder = [m for m in network.encoder.modules() if isinstance(m, nn.Conv3d)]
    assert [(c.in_channels, c.out_channels) for c in encoder] == [
        (1, 27), (27, 27), (27, 27), (27, 27), (27, 1)
    ]  # fmt: skip
    assert {c.kernel_size for c in encoder} == {(3, 3, 3)}
    pooled = (nn.AvgPool3d, PooledConvolution)
    upsampled = (nn.Upsample, UpsampledConvolution)
    assert sum(isinstance(m, pooled) for m in network.encoder.modules()) == 4
    assert sum(isinstance(m, upsampled) for m in network.decoder.modules()) == 4
    assert not any(isinstance(m, nn.Linear) for m in network.modules())


@pytest.mark.parametrize(("grid", "convolutions"), [(STANDARD_GRID, 8), (HALF_GRID, 6)])
def test_the_deeper_reading_has_two_convolutions_a_stage(grid: Grid, convolutions: int) -> None:
    network = PaperCAE(grid, 27, about_mean=True, deep=True)
    for side in (network.encoder, network.decoder):
        assert sum(isinstance(m, nn.Conv3d) for m in side.modules()) == convolutions
    last = next(m for m in network.encoder[-1].modules() if isinstance(m, nn.Conv3d))
    with torch.no_grad():
        for weight in (1.0, -1.0):  # a ReLU on the code
            last.weight.fill_(weight)
            assert network.encode(torch.rand(2, 1, *grid.shape)).min() >= 0


def test_codes_of_the_deeper_reading_differ_before_training() -> None:
    """Else the metric loss makes them one: with PyTorch's own weights their distance is 1e-3."""
    network = build_network(ModelSettings("d", "paper-deep", channels=27), HALF_GRID)
    with torch.no_grad():
        codes = network.encode(torch.rand(6, 1, *HALF_GRID.shape) * torch.rand(6, 1, 1, 1, 1))
    assert 0.1 < torch.pdist(codes).square().mean() < 1000


def test_a_pooled_convolution_is_convolution_relu_and_average_pooling() -> None:
    torch.manual_seed(0)
    layer = PooledConvolution(3)
    scans = torch.rand(2, 1, 6, 8, 4)
    slow = nn.functional.avg_pool3d(torch.relu(layer.convolution(scans)), 2)
    torch.testing.assert_close(layer(scans), slow)


def test_an_upsampled_convolution_is_interpolation_and_then_a_convolution() -> None:
    torch.manual_seed(0)
    layer = UpsampledConvolution(3)
    coarse = torch.rand(2, 3, 3, 4, 2)
    slow = layer.convolution(nn.functional.interpolate(coarse, scale_factor=2, mode="trilinear"))
    torch.testing.assert_close(layer(coarse), slow)


@pytest.mark.parametrize("architecture", ["paper-mean", "paper-deep"])
def test_before_training_the_network_about_the_mean_brain_draws_it(architecture: str) -> None:
    network = build_network(SMALL[architecture], HALF_GRID)
    network.mean.copy_(torch.rand(1, 1, *HALF_GRID.shape).clamp(0.01, 0.99))
    _, drawn = network(torch.rand(2, 1, *HALF_GRID.shape))
    torch.testing.assert_close(drawn, network.mean.expand_as(drawn))


@pytest.mark.parametrize("is_small", [True, False], ids=["one matrix", "cell by cell"])
def test_cellwise_weights_match_a_loop_over_cells(is_small: bool) -> None:
    torch.manual_seed(0)
    layer = CellwiseLinear(2, 3, gain=1.0)
    layer.is_small = is_small
    x = torch.randn(2, 2, *CELLS)
    fast = layer(x)
    padded = torch.nn.functional.pad(x, (1,) * 6)
    for cell, (i, j, k) in enumerate(np.ndindex(*CELLS)):
        # The weights run over the 27 neighbours, then over the input channels.
        around = padded[:, :, i : i + 3, j : j + 3, k : k + 3].flatten(2).transpose(1, 2).flatten(1)
        slow = around @ layer.weight[cell] + layer.bias[cell]
        torch.testing.assert_close(fast[:, :, i, j, k], slow, rtol=1e-4, atol=1e-5)


def test_a_cell_sees_only_its_surroundings() -> None:
    network = BraincaseCAE(HALF_GRID, 2).eval()
    volume = torch.rand(1, 1, *HALF_GRID.shape)
    changed = volume.clone()
    changed[:, :, :4] = 0  # the leftmost 16 mm
    with torch.inference_mode():
        difference = (network.encode(volume) - network.encode(changed)).abs().view(*CELLS)
    assert difference[0].max() > 1e-6
    assert difference[3:].max() < 1e-6


@pytest.mark.parametrize("architecture", SMALL)
def test_a_batch_equals_one_by_one(architecture: str) -> None:
    network = build_network(SMALL[architecture], HALF_GRID)
    model = Model(network, SMALL[architecture], HALF_GRID, {}, {})
    volumes = np.random.default_rng(0).integers(0, 256, (37, *HALF_GRID.shape), np.uint8)
    together = embedder(model)(volumes)
    for i in (0, 20, 36):
        np.testing.assert_allclose(embedder(model)(volumes[i : i + 1])[0], together[i], atol=1e-4)
    rebuilt = reconstruct(model, volumes[:3])
    np.testing.assert_allclose(reconstruct(model, volumes[2:3])[0], rebuilt[2], atol=1e-4)
    assert rebuilt.min() >= 0
    assert rebuilt.max() <= 1


def test_volumes_of_another_grid_are_refused() -> None:
    model = Model(build_network(SMALL["paper"], HALF_GRID), SMALL["paper"], HALF_GRID, {}, {})
    with pytest.raises(ScanError, match=r"expected uint8 \(n, \(40, 48, 40\)\)"):
        embedder(model)(np.zeros((1, *STANDARD_GRID.shape), np.uint8))


def test_equal_seeds_give_equal_weights_and_leave_torchs_own_state_alone() -> None:
    state = torch.random.get_rng_state()
    a, b = (build_network(SMALL["braincase"], HALF_GRID).state_dict() for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("architecture", "grid"),
    [("braincase", HALF_GRID), ("principal", STANDARD_GRID), ("paper", HALF_GRID)],
)
def test_a_model_folder_gives_the_codes_of_torch_with_or_without_it(
    architecture: str, grid: Grid, tmp_path: Path
) -> None:
    settings = replace(SMALL[architecture], local=architecture != "paper")
    model = Model(drawn_network(settings, grid), settings, grid, {}, {})  # type: ignore[typeddict-item]
    save_model(tmp_path / "m", model, "drawn")
    volumes = np.random.default_rng(0).integers(0, 256, (FEW + 1, *grid.shape), np.uint8)
    volumes[..., :9, :] = 0
    expected = embedder(model, torch.device("cpu"))(volumes)
    encoder = open_model(tmp_path / "m")
    assert (encoder.fingerprint, encoder.length) == (model.fingerprint, expected.shape[1])
    few = encoder.embed(volumes[:2])
    np.testing.assert_allclose(few, expected[:2], atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(encoder.embed(volumes), expected, atol=1e-5)
    assert encoder.embed(volumes[:0]).shape == (0, encoder.length)  # where only labels changed
    assert encoder.attribute is not None
    assert encoder.attribute(volumes[0], volumes[1], None).shape == grid.shape
    with pytest.raises(ScanError):
        encoder.embed(volumes[:1, :-1])
    weights = tmp_path / "m" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="do not have the fingerprint"):
        open_model(tmp_path / "m")


def drawn_network(settings: ModelSettings, grid: Grid) -> Autoencoder:
    """A network in which everything that training changes is drawn."""
    network = build_network(settings, grid).eval()
    torch.manual_seed(1)
    if isinstance(network, PrincipalCAE):
        network.axes.voxels = torch.arange(0, 70_000, 7, dtype=torch.int32)
        network.axes.axes = 0.01 * torch.randn(10_000, 150).half()
    for name, values in network.state_dict().items():
        if values.dtype == torch.float32:
            near = 0.2 * torch.rand_like(values) + (1 if values.dim() == 1 else 0)
            values.copy_(values + near if "weight" in name else near)
    return network
