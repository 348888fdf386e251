from hashlib import sha256

import numpy as np
import pytest

from braincase.cohort.derivatives import write_image
from braincase.errors import TooFewPeopleError, UnknownAgeError, UsageError
from braincase.gallery import NewCase, create_gallery
from braincase.images.atlas import label_volume
from braincase.images.geometry import HALF_GRID
from braincase.population.cache import read_arrays, write_arrays
from braincase.population.controls import RegionZScores, control_model_of
from braincase.population.normative import (
    deviation_of,
    fit_normative,
    normative_arrays,
    normative_of_arrays,
    terms_of,
)
from braincase.population.spread import smoothed
from gallery_cases import MODEL

LABELS, NAMES = label_volume(HALF_GRID)
BRAIN = LABELS >= 0
HIPPOCAMPUS = np.isin(LABELS, [NAMES.index(f"{s}-hippocampus") for s in ("left", "right")])


def person(rng, age, sex, ill=False):
    """Grey values that fall with age, differ by sex, and are low in the hippocampi of the ill."""
    volume = np.where(BRAIN, 150.0 - 0.8 * (age - 70) + 4 * (sex == "M"), 0)
    volume += BRAIN * 40 * smoothed(rng.normal(size=HALF_GRID.shape), HALF_GRID)
    volume -= 45.0 * HIPPOCAMPUS * ill
    return np.clip(volume, 0, 255).astype(np.uint8)


def controls(n, seed):
    rng = np.random.default_rng(seed)
    ages, sexes = rng.uniform(60, 85, n), ["FM"[i % 2] for i in range(n)]
    return [person(rng, age, sex) for age, sex in zip(ages, sexes, strict=True)], ages, sexes


@pytest.fixture(scope="module")
def model():
    return fit_normative(*controls(60, seed=0), HALF_GRID)


def test_one_pass_gives_the_least_squares_fit_of_all_volumes_at_once(model):
    volumes, ages, sexes = controls(60, seed=0)
    values = np.stack([smoothed(volume, HALF_GRID).ravel() for volume in volumes]).astype(float)
    design = np.stack([terms_of(age, sex) for age, sex in zip(ages, sexes, strict=True)])
    expected, _, _, _ = np.linalg.lstsq(design, values, rcond=None)
    deviation = np.sqrt(((values - design @ expected) ** 2).sum(axis=0) / (60 - 3))
    np.testing.assert_allclose(model.voxels.coefficients, expected, atol=1e-3)
    np.testing.assert_allclose(model.voxels.deviation, deviation, atol=1e-3)


def test_new_controls_of_any_age_are_normal(model):
    volumes, ages, sexes = controls(40, seed=1)
    found = [
        list(deviation_of(model, *one).by_region.values())
        for one in zip(volumes, ages, sexes, strict=True)
    ]
    assert abs(np.mean(found)) < 0.25
    assert 0.85 < np.std(found) < 1.2
    assert 0.02 < (np.abs(found) > 1.96).mean() < 0.09


def test_a_shrunken_hippocampus_is_where_the_deviation_is(model):
    rng = np.random.default_rng(2)
    found = deviation_of(model, person(rng, 84, "M", ill=True), 84, "M")
    names = [name for name, _ in found.abnormal()[:2]]
    assert set(names) == {"left-hippocampus", "right-hippocampus"}
    assert found.by_region["left-hippocampus"] < -3
    assert found.z_map[HIPPOCAMPUS].mean() < -2
    assert np.abs(found.z_map[~BRAIN & (smoothed(BRAIN, HALF_GRID) < 1e-3)]).max() == 0


def test_a_model_is_saved_and_read_again(model, tmp_path):
    write_arrays(tmp_path / "normal.npz", normative_arrays(model))
    arrays = read_arrays(tmp_path / "normal.npz")
    assert arrays is not None
    again = normative_of_arrays(arrays)
    volume = person(np.random.default_rng(4), 70, "F")
    assert deviation_of(again, volume, 70, "F").by_region == (
        deviation_of(model, volume, 70, "F").by_region
    )
    (tmp_path / "broken.npz").write_bytes(b"broken")
    for name in ("broken.npz", "absent.npz"):
        assert read_arrays(tmp_path / name) is None


def test_only_controls_with_age_sex_and_image_are_normal_and_each_person_once(tmp_path):
    volumes, ages, sexes = controls(27, seed=5)
    labels = [
        {"diagnosis": "CN", "age": age, "sex": sex} for age, sex in zip(ages, sexes, strict=True)
    ]
    labels[1]["age"], labels[2]["sex"], labels[3]["diagnosis"] = None, None, "AD"
    cases = []
    for i, (volume, known) in enumerate(zip(volumes, labels, strict=True)):
        image, code = f"{i}_desc-brain_T1w.nii.gz", np.full(150, i, np.float32)
        if i != 4:
            write_image(tmp_path / image, volume, HALF_GRID)
        subject = "0" if i == 26 else str(i)
        image_hash = sha256(volume.tobytes()).hexdigest()
        case = NewCase(f"scan-{i}", subject, code, str(i), known, tmp_path, image, image_hash)
        cases.append(case)
    gallery = create_gallery(tmp_path / "gallery", MODEL, 4)
    gallery.add(cases, MODEL)
    assert control_model_of(gallery).model.voxels.people == 26 - 4  # person 0 came twice
    with pytest.raises(TooFewPeopleError, match="1 controls with age, sex and image; expected 20"):
        control_model_of(gallery, controls="diagnosis = 'AD'")
    with pytest.raises(UsageError):
        control_model_of(gallery, controls="diagnosis ==")


def test_of_an_age_without_controls_nothing_is_known(model):
    """A straight line through 60 to 85 years tells nothing of 39."""
    volume = person(np.random.default_rng(4), 70, "F")
    assert deviation_of(model, volume, 60, "F").by_region
    with pytest.raises(UnknownAgeError, match="expected 60 to 85, the ages of this gallery's con"):
        deviation_of(model, volume, 39, "F")
    assert not RegionZScores({}, 60, model.ages).known


@pytest.mark.parametrize(("age", "sex"), [(-1, "F"), (float("nan"), "F"), (70, "X")])
def test_an_age_or_sex_that_is_none_is_told(age, sex):
    with pytest.raises(UsageError):
        terms_of(age, sex)
