"""The local code: its numbers are of one region and nothing else, and a search by region is one."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.special import softmax
from scipy.stats import multivariate_normal

from braincase.answer.shares import PARTS, explain, likeness
from braincase.cohort.cohort import Cohort
from braincase.errors import UsageError
from braincase.images.atlas import label_volume, region_weights
from braincase.images.geometry import HALF_GRID, STANDARD_GRID, Grid
from braincase.models.attribution import integrated_gradients
from braincase.models.embed import embedder
from braincase.models.joined_code import TEMPERATURE
from braincase.models.model import Model, load_model, save_model
from braincase.models.search_code import SearchCode
from braincase.models.settings import ModelSettings
from braincase.models.train import train_model
from braincase.simulate.truth import read_truth, volume_column
from braincase.volumetry.code_layout import (
    LOCAL,
    LONG,
    POSTERIOR,
    READ_OUT,
    mask_code_weights,
    regions_of_code,
)
from braincase.volumetry.readout import (
    LOCAL_SIZE,
    PARCELS,
    PLACE_GAIN,
    REACH_MM,
    READOUT_SIZE,
    REGIONS,
    attribute_to_voxels,
    load_readout,
    read_out,
)
from braincase.volumetry.regions import mirrored_name, symmetric_label

Volumes = NDArray[np.uint8]


@pytest.fixture(scope="module")
def volumes(clinic: Cohort) -> Volumes:
    return clinic.volumes[np.arange(len(clinic))]


@pytest.fixture(scope="module")
def local(volumes: Volumes) -> NDArray[np.float32]:
    return local_code(volumes, HALF_GRID)


@pytest.fixture(scope="module")
def model(clinic: Cohort) -> Model:
    settings = ModelSettings("local", channels=4, epochs=1, batch_size=16, local=True)
    return train_model(clinic, np.arange(len(clinic)), settings)


def local_code(images: Volumes, grid: Grid) -> NDArray[np.float32]:
    """The numbers that are each of one region."""
    return read_out(images, grid)[:, :LOCAL_SIZE]


def around(region: str) -> NDArray[np.bool_]:
    """Where any of a region lies at 4 mm, and 8 mm around."""
    x, y, z = HALF_GRID.shape
    filled = symmetric_label(region).reshape(x, 2, y, 2, z, 2).max(axis=(1, 3, 5)) > 0
    return binary_dilation(filled, iterations=REACH_MM // HALF_GRID.resolution_mm)


def as_code(local: NDArray[np.float32]) -> NDArray[np.float32]:
    code = np.zeros((len(local), LONG), np.float32)
    code[:, LOCAL] = local
    return code


@pytest.mark.parametrize("region", ["left-hippocampus", "right-lateral-ventricle", "left-cuneus"])
def test_a_volume_depends_on_nothing_outside_its_surroundings(
    volumes: Volumes, region: str
) -> None:
    mean = volumes.mean(axis=0)
    number = REGIONS.index(region)
    masked = np.where(around(region), volumes, mean).astype(np.uint8)
    blanked = np.where(around(region), mean, volumes).astype(np.uint8)
    whole = local_code(volumes, HALF_GRID)[:, number]
    np.testing.assert_allclose(local_code(masked, HALF_GRID)[:, number], whole, atol=1e-4)
    assert local_code(blanked, HALF_GRID)[:, number].std() < 1e-4 < whole.std()


@pytest.mark.parametrize(
    ("region", "least"), [("hippocampus", 0.8), ("lateral-ventricle", 0.95), ("precuneus", 0.9)]
)
def test_it_reads_the_true_volumes_of_other_simulated_people(
    clinic: Cohort, local: NDArray[np.float32], region: str, least: float
) -> None:
    truth = read_truth(clinic)
    for name in (f"left-{region}", f"right-{region}"):
        true = np.log(truth[volume_column(name)].to_numpy(dtype=float))
        assert np.corrcoef(local[:, REGIONS.index(name)], true)[0, 1] > least


def test_a_search_by_hippocampus_finds_hippocampi_more_alike_than_one_by_the_whole_code(
    clinic: Cohort, volumes: Volumes, model: Model
) -> None:
    first = np.unique(clinic.column("subject").to_numpy(dtype=str), return_index=True)[1]
    truth = read_truth(clinic).iloc[first]
    true = np.log(sum(truth[volume_column(f"{s}-hippocampus")] for s in ("left", "right")))
    codes = embedder(model)(volumes[first])
    weights, _ = region_weights(["hippocampus"], regions_of_code(LONG))
    apart = {}
    for name, factor in (("region", weights), ("whole", np.ones(LONG))):
        squares = ((codes[:, None] - codes[None]) ** 2 * factor).sum(axis=2)
        np.fill_diagonal(squares, np.inf)
        nearest = squares.argsort(axis=1)[:, :5]
        apart[name] = float(np.abs(true.to_numpy()[:, None] - true.to_numpy()[nearest]).mean())
    assert apart["region"] < 0.8 * apart["whole"], apart


def test_mirroring_an_image_exchanges_left_and_right(volumes: Volumes) -> None:
    here, there = (local_code(seen[:3], HALF_GRID) for seen in (volumes, volumes[:, ::-1]))
    for names, start in ((REGIONS, 0), (PARCELS, len(REGIONS))):
        swapped = [start + names.index(mirrored_name(name)) for name in names]
        own = slice(start, start + len(names))
        # Voxels as near to the left as to the right belong to one side: brain stem, cerebellum.
        np.testing.assert_allclose(there[:, swapped], here[:, own], atol=0.35)
        assert np.abs(there[:, swapped] - here[:, own]).mean() < 0.01


def test_both_grids_read_the_same(volumes: Volumes) -> None:
    fine = volumes[:2].repeat(2, 1).repeat(2, 2).repeat(2, 3)
    assert fine.shape[1:] == STANDARD_GRID.shape
    coarse = local_code(volumes[:2], HALF_GRID)
    np.testing.assert_allclose(local_code(fine, STANDARD_GRID), coarse, atol=1e-4)


def with_a_dark_spot(volume: Volumes, region: str) -> Volumes:
    readout = load_readout()
    parcel = np.full(HALF_GRID.size, -1)
    parcel[readout.brain] = readout.parcel
    own = (parcel == PARCELS.index(region)).reshape(HALF_GRID.shape)
    x, y, z = np.argwhere(binary_erosion(own, np.ones((3, 3, 3))))[0]
    spotted = volume.copy()
    spotted[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = 20
    return spotted


def test_a_dark_spot_raises_the_number_of_its_region_alone(volumes: Volumes) -> None:
    spotted = with_a_dark_spot(volumes[0], "left-precentral")
    moved = np.subtract(*local_code(np.stack([spotted, volumes[0]]), HALF_GRID))
    dark = moved[len(REGIONS) :]
    assert PARCELS[int(dark.argmax())] == "left-precentral"
    assert sorted(np.abs(dark))[-2] < 0.05 * dark.max()


def test_places_say_where_dark_tissue_lies_whatever_there_is_of_it(volumes: Volumes) -> None:
    regions = ("left-precentral", "right-cuneus")
    images = [with_a_dark_spot(volumes[i], region) for i in (0, 8) for region in regions]
    places = read_out(np.stack(images), HALF_GRID)[:, LOCAL_SIZE:] / PLACE_GAIN
    np.testing.assert_allclose((places**2).sum(axis=1), 1, rtol=1e-5)
    assert [PARCELS[i] for i in places.argmax(axis=1)] == [*regions, *regions]
    apart = np.linalg.norm(places[:2, None] - places[None, 2:], axis=2)
    assert (apart.argmin(axis=1) == [0, 1]).all()  # the other person with a lesion there


def test_the_posterior_is_that_of_the_discriminant_by_bayes(volumes: Volumes, model: Model) -> None:
    """Slow oracle: normal densities of one shrunken covariance, all labels alike likely."""
    search_code = model.network.search_code
    assert search_code is not None
    labels = np.tile([0, 1, 2], len(volumes) // 3 + 1)[: len(volumes)]
    readout = read_out(volumes, HALF_GRID)
    readout[:, ::9] += 0.5 * labels[:, None]
    fitted = SearchCode()
    fitted.fit(np.zeros((len(volumes), 150), np.float32), readout, labels)
    seen = readout.astype(np.float64) * np.where(np.arange(READOUT_SIZE) < len(REGIONS), 2, 1)
    means = np.stack([seen[labels == i].mean(axis=0) for i in range(3)])
    within = np.cov((seen - means[labels]).T, bias=True)
    shrunken = 0.7 * within + 0.3 * np.trace(within) / len(within) * np.eye(len(within))
    densities = np.stack([multivariate_normal(m, shrunken).logpdf(seen) for m in means], axis=1)
    tempered = softmax(densities / TEMPERATURE, axis=1)
    assert tempered.max(axis=1).mean() < 0.99  # not sure throughout
    found = fitted.fitted().join(np.zeros((len(volumes), 150), np.float32), readout)[:, POSTERIOR]
    length = float(fitted.stretch)
    np.testing.assert_allclose((found[:, :3] / length) ** 2, tempered, atol=1e-4)
    assert not found[:, 3:].any()  # labels that there are not


def test_posteriors_have_one_length_so_nobody_is_everybodys_neighbour(
    volumes: Volumes, model: Model
) -> None:
    posteriors = embedder(model)(volumes)[:, POSTERIOR]
    assert model.network.search_code is not None
    length = float(model.network.search_code.stretch)
    np.testing.assert_allclose(np.linalg.norm(posteriors, axis=1), length, rtol=1e-5)


def test_of_many_labels_the_most_frequent_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), [3] * 4 + [5] * 16)
    readout = rng.normal(size=(len(labels), READOUT_SIZE)).astype(np.float32)
    readout[:, 0] += 9 * labels
    search_code = SearchCode()
    search_code.fit(rng.normal(size=(len(labels), 150)).astype(np.float32), readout, labels)
    told = search_code.fitted().log_likelihoods(readout).argmax(axis=1)
    frequent = labels >= 4
    assert (told[frequent] == labels[frequent] - 4).all()


@pytest.mark.parametrize("part", PARTS)
def test_changing_the_image_inside_a_part_shows_in_that_part(volumes: Volumes, part: str) -> None:
    """Occlusion: of all parts the changed one is the least alike afterwards, and by share."""
    regions = regions_of_code(LONG)
    labels, names = label_volume(HALF_GRID)
    members = {regions.names[i] for i in regions.members(part)}
    inside = np.isin(labels, [i for i, name in enumerate(names) if name in members])
    before = volumes[:4]
    after = np.where(inside, before * 0.6, before).astype(np.uint8)
    usual = 2 * as_code(local_code(volumes, HALF_GRID)).var(axis=0)
    codes = [as_code(local_code(images, HALF_GRID)) for images in (before, after)]
    for one, other in zip(*codes, strict=True):
        *_, (least_alike, _) = likeness(one, other, usual, regions)
        assert least_alike == part


def test_shares_are_of_the_part_that_has_a_place_and_sum_to_it(
    volumes: Volumes, model: Model
) -> None:
    one, other = embedder(model)(volumes[[0, 40]])
    told = explain(one, other, regions_of_code(LONG))
    squares = (one - other).astype(np.float64) ** 2
    assert told.squared_distance == pytest.approx(squares.sum())
    assert told.regional == pytest.approx(squares[LOCAL].sum())
    assert sum(told.by_region.values()) == pytest.approx(told.regional)
    assert told.by_cell.sum() == pytest.approx(told.regional)
    assert sum(share for _, share in told.shares(200)) == pytest.approx(1)


def test_a_number_is_attributed_to_the_voxels_it_was_read_off(volumes: Volumes) -> None:
    one, other = volumes[0], volumes[40]
    change = np.subtract(*read_out(np.stack([one, other]), HALF_GRID))
    everything = attribute_to_voxels(one, other, change, HALF_GRID)
    assert everything.sum() == pytest.approx((change**2).sum(), rel=1e-3)
    only = np.zeros(READOUT_SIZE)
    only[REGIONS.index("right-hippocampus")] = 1.0
    seen = attribute_to_voxels(one, other, only, HALF_GRID)
    assert seen.sum() == pytest.approx(change[REGIONS.index("right-hippocampus")], abs=1e-3)
    assert not seen[~around("right-hippocampus")].any()


def test_what_the_read_out_contributes_sums_to_its_part_of_the_squared_distance(
    volumes: Volumes, model: Model
) -> None:
    """The posterior is not linear in the read-out: its mean slope along the line is exact."""
    search_code = model.network.search_code
    assert search_code is not None
    weights = np.random.default_rng(0).uniform(0.2, 2, LONG)
    readings = read_out(volumes, HALF_GRID)
    codes = embedder(model)(volumes)
    for one, other in ((0, 40), (3, 21), (5, 6)):
        factors = search_code.readout_factors(readings[one], readings[other], weights)
        squares = weights * (codes[one].astype(np.float64) - codes[other]) ** 2
        told = float(factors @ (readings[one] - readings[other]))
        assert told == pytest.approx(squares[READ_OUT.start :].sum(), rel=1e-4)


def test_what_the_model_saw_sums_to_the_squared_distance(volumes: Volumes, model: Model) -> None:
    one, other = volumes[[0, 40]]
    codes = embedder(model)(np.stack([one, other])).astype(np.float64)
    seen = integrated_gradients(model, one, other)
    assert seen.sum() == pytest.approx(((codes[0] - codes[1]) ** 2).sum(), rel=0.05)
    weights = np.zeros(LONG)
    weights[LOCAL.start + REGIONS.index("left-hippocampus")] = 2.0
    weighted = integrated_gradients(model, one, other, weights)
    assert weighted.sum() == pytest.approx((weights * (codes[0] - codes[1]) ** 2).sum(), rel=0.01)


def test_a_model_with_a_local_code_is_saved_and_read_with_it(
    volumes: Volumes, model: Model, tmp_path: Path
) -> None:
    save_model(tmp_path / "model", model, "card")
    again = load_model(tmp_path / "model")
    assert again.fingerprint == model.fingerprint
    codes = embedder(again)(volumes[:2])
    assert codes.shape == (2, LONG)
    assert codes[:, POSTERIOR].any()
    np.testing.assert_array_equal(codes, embedder(model)(volumes[:2]))


def test_a_model_that_ignores_labels_has_no_posterior(clinic: Cohort, volumes: Volumes) -> None:
    settings = ModelSettings("plain", channels=2, epochs=1, alpha=0, local=True)
    plain = train_model(clinic, np.arange(16), settings)
    assert not embedder(plain)(volumes[:2])[:, POSTERIOR].any()


def test_a_mask_weighs_regions_by_how_much_of_them_it_covers(tmp_path: Path) -> None:
    inside = around("left-hippocampus")
    path = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), HALF_GRID.affine), path)
    weights, name = mask_code_weights(path, LONG)
    assert name == "mask mask.nii.gz"
    assert not weights[: LOCAL.start].any()
    assert not weights[LOCAL.stop :].any()
    local = weights[LOCAL]
    assert local[REGIONS.index("left-hippocampus")] > 0.9
    assert local[REGIONS.index("right-hippocampus")] == 0
    outside = np.zeros(HALF_GRID.shape, np.uint8)
    outside[0, 0, 0] = 1
    nib.save(nib.Nifti1Image(outside, HALF_GRID.affine), path)
    with pytest.raises(UsageError, match="no voxel inside the brain"):
        mask_code_weights(path, LONG)


def test_no_image_has_no_code(model: Model) -> None:
    """Indexing a cohort of which everything is there already embeds nothing."""
    assert embedder(model)(np.empty((0, *HALF_GRID.shape), np.uint8)).shape == (0, LONG)
