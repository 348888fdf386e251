"""Volumes read off a code and their percentiles for age and sex, against simulated truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import braincase
from braincase.answer.compose import answer
from braincase.cohort.cohort import Cohort
from braincase.gallery import Gallery, NewCase, Query, create_gallery
from braincase.images.geometry import HALF_GRID
from braincase.population.regression import Regression
from braincase.population.volume_norms import (
    MEASURES,
    SIMULATED_ONLY,
    volume_norms_of,
    volumes_for_age,
    volumes_ml,
)
from braincase.report.wording import sections_of
from braincase.search.nearest import search
from braincase.search.options import SearchOptions
from braincase.search.pipeline import (
    FinishedSearch,
    search_by_case,
    search_by_code,
    search_by_embedding,
)
from braincase.search.query_scan import QueryScan
from braincase.simulate.truth import read_truth, volume_column
from braincase.volumetry.code_layout import LONG, READ_OUT, READ_OUT_WEIGHT
from braincase.volumetry.readout import read_out
from braincase.volumetry.regions import plain_name

MODEL = "a model with a local code"


@pytest.fixture(scope="module")
def codes(clinic: Cohort) -> np.ndarray:
    long = np.zeros((len(clinic), LONG), np.float32)
    volumes = clinic.volumes[np.arange(len(clinic))]
    long[:, READ_OUT] = READ_OUT_WEIGHT * read_out(volumes, clinic.grid)
    return long


@pytest.fixture(scope="module")
def gallery(
    clinic: Cohort, codes: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gallery]:
    folder = tmp_path_factory.mktemp("norms") / "g"
    opened = create_gallery(folder, MODEL, resolution_mm=4, n_dimensions=LONG)
    labels = ("diagnosis", "age", "sex", "true_severity")
    rows = clinic.table[["scan_id", "subject", "session", *labels]]
    cases = [
        NewCase(
            row["scan_id"], row["subject"], code, row["session"],
            {name: row[name] for name in labels},
        )
        for row, code in zip(rows.to_dict("records"), codes, strict=True)
    ]  # fmt: skip
    opened.add(cases, MODEL)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def norms(gallery: Gallery) -> Regression:
    learned = volume_norms_of(gallery)
    assert learned is not None
    return learned


def test_volumes_are_those_of_the_simulated_brains(clinic: Cohort, codes: np.ndarray) -> None:
    truth = read_truth(clinic)
    for row in (0, 17, 40):
        told = volumes_ml(codes[row])
        assert told is not None
        true = [
            sum(float(truth[volume_column(name)].iloc[row]) for name in parts) / 1000
            for parts in MEASURES.values()
        ]
        errors = np.abs(np.log(told / np.array(true)))
        assert np.median(errors) < 0.06
        assert errors.max() < 0.6  # an inferior horn is half a millilitre


def test_controls_have_all_percentiles_and_patients_small_hippocampi(
    gallery: Gallery, norms: Regression
) -> None:
    rank = {
        diagnosis: np.array(
            [
                [v.percentile for v in volumes_for_age(case.code, case.labels, norms, True)]
                for case in gallery.cases(f"diagnosis = '{diagnosis}'")
                if norms.ages[0] <= float(case.labels["age"] or 0) <= norms.ages[1]
            ]
        )
        for diagnosis in ("CN", "AD")
    }
    assert abs(np.median(rank["CN"]) - 50) < 10
    assert 0.02 < np.mean(rank["CN"] < 5) < 0.1
    names = list(MEASURES)
    assert np.median(rank["AD"][:, names.index("left-hippocampus")]) < 15
    assert np.median(rank["AD"][:, names.index("left-inferior-horn")]) > 85


def test_without_age_or_beyond_the_controls_ages_there_is_a_volume_and_no_percentile(
    gallery: Gallery, norms: Regression
) -> None:
    case = gallery.cases()[0]
    for labels in ({}, {"age": 12.0, "sex": "F"}, {"age": 70.0}):
        volumes = volumes_for_age(case.code, {"true_severity": 0.0, **labels}, norms, True)
        assert len(volumes) == len(MEASURES)
        assert all(v.percentile is None and not v.unusual and v.ml > 0 for v in volumes)
    assert volumes_for_age(np.zeros(150), case.labels, norms, True) == ()


def test_percentiles_are_among_the_controls_that_are_named(
    gallery: Gallery, norms: Regression
) -> None:
    chosen = volume_norms_of(gallery, controls="age >= 70")
    assert chosen is not None
    assert chosen.ages[0] >= 70 > norms.ages[0]
    options = SearchOptions(k=2, controls="age > 200")
    few = answer(search_by_case(gallery, gallery.cases()[0].scan_id, options))
    assert "No percentiles: fewer than 20 controls with age and sex." in few.notes
    assert few.volume_norms is None


def test_a_gallery_of_few_controls_or_of_other_codes_has_no_norms(tmp_path: Path) -> None:
    for n_dimensions in (LONG, 8):
        folder = tmp_path / f"g{n_dimensions}"
        gallery = create_gallery(folder, MODEL, resolution_mm=4, n_dimensions=n_dimensions)
        labels = {"diagnosis": "CN", "age": 70.0, "sex": "F"}
        people = [
            NewCase(f"sub-{i}", str(i), np.full(n_dimensions, i), labels=labels) for i in range(5)
        ]
        gallery.add(people, MODEL)
        assert volume_norms_of(gallery) is None
        gallery.close()


def test_an_answer_tells_the_volumes_of_query_and_hits(gallery: Gallery) -> None:
    patient = gallery.cases("diagnosis = 'AD'")[0]
    query = Query(
        patient.code, MODEL, k=3, subject=patient.subject, scan_id=patient.scan_id,
        labels=patient.labels,
    )  # fmt: skip
    answered = answer(FinishedSearch(gallery, query, search(gallery, query)))
    assert [v.name for v in answered.volumes] == list(MEASURES)
    assert all(len(hit.volumes) == len(MEASURES) for hit in answered.hits)
    told = answered.to_json()
    first = told["volumes"][0]  # type: ignore[index]
    assert first["name"] == "left-hippocampus"
    assert first["ml"] == round(answered.volumes[0].ml, 2)
    assert told["volume_norms"]["controls"] == 32  # type: ignore[index]
    lines = dict(sections_of(answered, why=True))["Volumes for age and sex"]
    left, right = answered.volumes[:2]
    assert lines[0].startswith(f"hippocampus: left {left.ml:.1f} ml (")
    assert f"), right {right.ml:.1f} ml (" in lines[0]
    assert "32 controls" in lines[-2]
    assert "brought to one size" in lines[-1]
    unusual = [v for v in answered.volumes if v.unusual]
    plain = {plain_name(v.name) for v in unusual}
    few = dict(sections_of(answered))["Volumes for age and sex"]
    assert len(few) == (len(plain) + 2 if plain else 2)


def test_that_there_are_too_few_controls_is_learned_once(tmp_path: Path) -> None:
    """No search looks through the people again; it would cost each one a pass over the gallery."""
    gallery = create_gallery(tmp_path / "g", MODEL, resolution_mm=4, n_dimensions=LONG)
    gallery.add([NewCase("sub-a", "a", np.zeros(LONG), labels={"age": 70.0, "sex": "F"})], MODEL)
    assert volume_norms_of(gallery) is None
    (kept,) = gallery.cache_folder.glob("volumes-*.npz")
    before = kept.stat().st_ino
    assert volume_norms_of(gallery) is None
    assert [path.stat().st_ino for path in gallery.cache_folder.iterdir()] == [before]
    gallery.close()


def test_of_real_people_volumes_are_not_told_that_real_heads_do_not_give(
    gallery: Gallery, norms: Regression
) -> None:
    assert gallery.info().simulated
    case = gallery.cases("diagnosis = 'AD'")[0]
    simulated = {v.name: v for v in volumes_for_age(case.code, case.labels, norms, True)}
    real = {v.name: v for v in volumes_for_age(case.code, case.labels, norms, False)}
    assert set(simulated) - set(real) == SIMULATED_ONLY
    assert all(volume == simulated[name] for name, volume in real.items())


def test_a_real_head_in_a_gallery_of_simulated_people_is_not_told_them_either(
    gallery: Gallery,
) -> None:
    """A raw head has no label that only simulated people have; the hits beside it have it."""
    case = gallery.cases("diagnosis = 'AD'")[0]
    volume = np.zeros(HALF_GRID.shape, np.uint8)
    for labels in ({}, {"age": 70.0, "sex": "F", "diagnosis": "AD"}):
        scan = QueryScan(volume, "head.nii.gz", None, labels)
        found = search_by_embedding(gallery, case.code, MODEL, scan, SearchOptions(k=3))
        answered = answer(found)
        told = {volume.name for volume in answered.volumes}
        assert told == set(MEASURES) - SIMULATED_ONLY
        assert all(len(hit.volumes) == len(MEASURES) for hit in answered.hits)
        heading = "Volumes for age and sex" if labels else "Volumes"
        lines = dict(sections_of(answered, why=True))[heading]
        assert not any(line.startswith("cerebellum") for line in lines)
        assert "brought to one size" in lines[-1]
        without = "no percentiles: age or sex is not known, or this person is not like"
        assert any(line.startswith(without) for line in lines) == (not labels)
    by_code = answer(search_by_code(gallery, case.code, SearchOptions(k=3)))
    assert {volume.name for volume in by_code.volumes} == told


def test_nor_is_their_change_between_two_scans_of_a_real_person(gallery: Gallery) -> None:
    later = gallery.cases("diagnosis = 'AD' and session != 'M00'")[0]
    prior = next(c for c in gallery.cases("session = 'M00'") if c.subject == later.subject)
    years = float(later.labels["age"] or 0) - float(prior.labels["age"] or 0)
    with braincase.open_gallery(gallery.folder) as opened:
        simulated = opened.search_by_change(later.scan_id, prior.scan_id, k=2)
        real = opened.search_by_change(later.code, prior.code, k=2, years=years)
    assert set(simulated.volume_rates) == set(MEASURES)
    assert set(real.volume_rates) == set(MEASURES) - SIMULATED_ONLY
    assert all(set(hit.volume_rates) == set(MEASURES) for hit in real.hits)
