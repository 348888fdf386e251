from hashlib import sha256

import numpy as np
import pytest
from scipy import stats

from braincase.cohort.derivatives import write_image
from braincase.errors import NoControlsAlikeError, TooFewPeopleError, UsageError
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
)
from braincase.population.regression import fit_regression, normal_of_student, terms_of
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
    people = list(zip(ages.tolist(), sexes, strict=True))
    return [person(rng, age, sex) for age, sex in people], people


@pytest.fixture(scope="module")
def model():
    return fit_normative(*controls(60, seed=0), HALF_GRID)


def test_one_pass_gives_the_least_squares_fit_of_all_volumes_at_once(model):
    volumes, people = controls(60, seed=0)
    values = np.stack([smoothed(volume, HALF_GRID).ravel() for volume in volumes]).astype(float)
    design = np.stack([terms_of(age, sex) for age, sex in people])
    expected, _, _, _ = np.linalg.lstsq(design, values, rcond=None)
    deviation = np.sqrt(((values - design @ expected) ** 2).sum(axis=0) / (60 - 4))
    np.testing.assert_allclose(model.voxels.coefficients, expected, atol=1e-3)
    np.testing.assert_allclose(model.voxels.deviation, deviation, atol=1e-3)


def test_new_controls_of_any_age_are_normal(model):
    volumes, people = controls(40, seed=1)
    found = [
        list(deviation_of(model, volume, age, sex).by_region.values())
        for volume, (age, sex) in zip(volumes, people, strict=True)
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
    volumes, people = controls(27, seed=5)
    labels = [{"diagnosis": "CN", "age": age, "sex": sex} for age, sex in people]
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


def test_of_an_age_or_sex_without_controls_nothing_is_known(model):
    """A line through 60 to 85 years tells nothing of 39, nor men of women."""
    volume = person(np.random.default_rng(4), 70, "F")
    assert deviation_of(model, volume, 60, "F").by_region
    with pytest.raises(NoControlsAlikeError, match="39, F; expected 60 to 85 years, F or M,"):
        deviation_of(model, volume, 39, "F")
    volumes, people = controls(40, seed=3)
    men = fit_normative(volumes, [(age, "M") for age, _ in people], HALF_GRID)
    assert deviation_of(men, volume, 70, "M").by_region
    with pytest.raises(NoControlsAlikeError, match="70, F; expected 60 to 84 years, M,"):
        deviation_of(men, volume, 70, "F")
    assert not RegionZScores({}, 60, (60, 85), ("M",)).known


@pytest.mark.parametrize(("age", "sex"), [(-1, "F"), (float("nan"), "F"), (70, "X")])
def test_an_age_or_sex_that_is_none_is_told(age, sex):
    with pytest.raises(UsageError):
        terms_of(age, sex)


@pytest.mark.parametrize("freedom", [16, 30, 300])
def test_students_t_becomes_a_standard_normal(freedom):
    t = np.linspace(-6, 6, 41)
    expected = stats.norm.ppf(stats.t.cdf(t, freedom))
    np.testing.assert_allclose(normal_of_student(t, freedom), expected, atol=0.01)


def test_of_few_controls_as_many_new_people_are_beyond_as_of_many():
    """As a normal deviate 1.65 times as many as 2 % are beyond percentiles 1 and 99."""
    rng = np.random.default_rng(0)
    beyond = []
    for _ in range(300):
        people = list(zip(rng.uniform(55, 85, 21), rng.choice(["F", "M"], 21), strict=True))
        model = fit_regression(people, rng.normal(size=(21, 40)))
        z = model.z(rng.normal(size=40), terms_of(rng.uniform(60, 80), rng.choice(["F", "M"])))
        beyond.append(np.abs(z) > 2.326)
    assert 0.016 < np.mean(beyond) < 0.024


def test_the_line_of_age_bends_so_that_the_oldest_are_not_called_ill():
    """Twice as fast after 65; one straight line put 80 and more far below."""
    rng = np.random.default_rng(1)
    ages = rng.uniform(25, 90, 400)
    values = -0.03 * (ages - 65) - 0.06 * np.maximum(ages - 65, 0) + rng.normal(size=400)
    people = [(age, "FM"[i % 2]) for i, age in enumerate(ages)]
    model = fit_regression(people, values[:, None])
    old = np.array([model.z(v[None], terms_of(*p))[0] for v, p in zip(values, people, strict=True)])
    assert abs(old[ages >= 80].mean()) < 0.2
    assert abs(old[ages < 40].mean()) < 0.2


def test_of_men_alone_the_answer_for_men_does_not_depend_on_their_order():
    rng = np.random.default_rng(2)
    people = [(age, "M") for age in rng.uniform(60, 85, 40)]
    values = rng.normal(5, 1, (40, 3))
    forth, back = (fit_regression(people[::s], values[::s]) for s in (1, -1))
    terms = terms_of(70, "M")
    np.testing.assert_allclose(forth.z(values[0], terms), back.z(values[0], terms), atol=1e-9)
    assert forth.freedom == 40 - 2  # mean and age: few are younger than the bend
    assert not forth.covers(70, "F")
