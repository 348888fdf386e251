"""Principal axes rebuild what principal components do, and each has a place in the brain."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from braincase.images.geometry import HALF_GRID, STANDARD_GRID
from braincase.models.embed import reconstruct
from braincase.models.model import Model, load_model, save_model
from braincase.models.network import PrincipalCAE, build_network, to_unit
from braincase.models.principal import PrincipalAxes, home_turn, principal_axes
from braincase.models.settings import ModelSettings

SETTINGS = ModelSettings("untrained", channels=2)


@pytest.fixture(scope="module")
def fitted(clinic):
    """An untrained network that has seen all scans of a cohort but the last eight."""
    network = build_network(SETTINGS, clinic.grid).eval()
    assert isinstance(network, PrincipalCAE)
    volumes = to_unit(torch.from_numpy(clinic.volumes[: len(clinic) - 8]))
    network.mean.copy_(volumes.mean(dim=0, keepdim=True))
    network.fit_axes([volumes])
    for parameter in network.encoder[-1].parameters():
        torch.nn.init.zeros_(parameter)  # the axes alone: no convolution adds to the code
    return network


def test_before_training_it_rebuilds_as_well_as_principal_components(clinic, fitted):
    scans = clinic.volumes[:].reshape(len(clinic), -1) / 255
    known, unknown = scans[:-8], scans[-8:]
    mirrored = clinic.volumes[: len(clinic) - 8][:, ::-1].reshape(len(known), -1) / 255
    oracle = PCA(min(150, 2 * len(known) - 1)).fit(np.concatenate([known, mirrored]))
    by_pca = oracle.inverse_transform(oracle.transform(unknown))
    model = Model(fitted, SETTINGS, clinic.grid, {}, {})
    rebuilt = reconstruct(model, clinic.volumes[len(clinic) - 8 :]).reshape(8, -1)
    errors = [np.sqrt(((x - unknown) ** 2).mean()) for x in (rebuilt, by_pca, scans.mean(axis=0))]
    assert errors[0] == pytest.approx(errors[1], rel=0.01)
    assert errors[0] < 0.9 * errors[2]


def test_axes_are_orthonormal_and_lie_mostly_where_their_number_is():
    generator = torch.Generator().manual_seed(0)
    cells = torch.arange(150).repeat_interleave(4)
    # Each source moves one cell and, a little, everything: mixed by chance, as components are.
    sources = torch.block_diag(*torch.rand(150, 4, 1, generator=generator).unbind()) + 0.002
    brains = torch.randn(900, 150, generator=generator) @ sources.T
    axes, variance = principal_axes(brains)
    turned = axes @ home_turn(axes, cells)
    torch.testing.assert_close(turned.T @ turned, torch.eye(150), atol=1e-3, rtol=0)
    assert float(variance) == pytest.approx(float(brains.square().sum() / 900), rel=1e-3)
    at_home = torch.stack([(turned[cells == c, c] ** 2).sum() for c in range(150)])
    before = torch.stack([(axes[cells == c, c] ** 2).sum() for c in range(150)])
    assert at_home.median() > 0.8
    assert before.median() < 0.1


def test_finer_volumes_have_the_axes_of_their_means(clinic):
    network = build_network(SETTINGS, STANDARD_GRID).eval()
    coarse = torch.from_numpy(clinic.volumes[:6])[:, None].float() / 255
    fine = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    # Of each pair of neighbours one is brighter, in each scan by another amount.
    fine[:, :, ::2] += torch.linspace(0, 0.5, 6).view(-1, 1, 1, 1, 1)
    fine[:, :, 1::2] -= torch.linspace(0, 0.5, 6).view(-1, 1, 1, 1, 1)
    network.mean.copy_(fine.mean(dim=0, keepdim=True))
    network.fit_axes([fine])
    reference = build_network(SETTINGS, HALF_GRID).eval()
    reference.mean.copy_(coarse.mean(dim=0, keepdim=True))
    reference.fit_axes([coarse])
    at_2mm = network.axes.encode(fine - network.mean)
    at_4mm = reference.axes.encode(coarse - reference.mean)
    # So few scans leave most of the turn open; distances do not depend on it.
    distances = [torch.cdist(codes, codes) for codes in (at_2mm, at_4mm)]
    torch.testing.assert_close(distances[0], distances[1], atol=1e-2, rtol=1e-2)
    assert network.axes.decode(at_2mm).shape == fine.shape


def test_a_saved_model_has_its_axes(tmp_path, clinic, fitted):
    training = {"scans": {}, "losses": {"reconstruction": 0.0, "metric": 0.0}, "people": 0}
    model = Model(fitted, SETTINGS, clinic.grid, {}, training)
    save_model(tmp_path / "model", model, "card")
    again = load_model(tmp_path / "model")
    assert torch.equal(again.network.axes.axes, fitted.axes.axes)
    assert (tmp_path / "model" / "model.safetensors").stat().st_size < 14e6


def test_axes_of_voxels_that_are_not_there_are_refused(fitted):
    state = fitted.axes.state_dict()
    for wrong in ({"voxels": state["voxels"] + 10**6}, {"axes": state["axes"][1:]}):
        with pytest.raises(ValueError, match="not in the grid"):
            PrincipalAxes(HALF_GRID).load_state_dict(state | wrong)
