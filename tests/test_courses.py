"""Search by longitudinal change: who changed alike over a like time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import braincase
from braincase.errors import ParameterError, TooFewPeopleError
from braincase.gallery import Gallery, NewCase, create_gallery
from braincase.population.volume_norms import MEASURES
from braincase.search.courses import (
    FEWEST_COURSES,
    courses_of,
    learn_axes,
    search_by_change,
    volume_rates,
)
from braincase.volumetry.code_layout import LONG, READ_OUT_WEIGHT, VOLUMES
from braincase.volumetry.readout import REGIONS, load_readout
from command_line import run

MODEL = "a model"
N, PEOPLE = 12, 40
#: What each cause does to a code in a year.
CAUSES = {"AD": np.eye(N)[0] * 0.5, "NPH": np.eye(N)[1] * 0.5, "CN": np.zeros(N)}


def person(number: int, cause: str, years: float, rng: np.random.Generator) -> list[NewCase]:
    """Two scans of somebody: people differ ten times more than a year changes them."""
    start, age = rng.normal(0, 5, N), 60.0 + number / 10
    noise = rng.normal(0, 0.05, (2, N))
    codes = (start + noise[0], start + years * CAUSES[cause] + noise[1])
    return [
        NewCase(
            f"sub-{number:02d}_ses-{i}", f"{number:02d}", code, str(i),
            {"diagnosis": cause, "age": age + i * years, "site": "A" if number % 2 else "B"},
        )
        for i, code in enumerate(codes)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("courses") / "g"
    gallery = create_gallery(folder, MODEL, resolution_mm=4, n_dimensions=N)
    rng = np.random.default_rng(0)
    causes = list(CAUSES)
    for number in range(PEOPLE):
        years = 9.0 if number == 39 else 2.0
        gallery.add(person(number, causes[number % 3], years, rng), MODEL)
    gallery.add([NewCase("sub-x", "x", rng.normal(0, 5, N), labels={"age": 60.0})], MODEL)
    gallery.close()
    return folder


@pytest.fixture(scope="module")
def gallery(folder: Path) -> Iterator[Gallery]:
    with braincase.open_gallery(folder) as opened:
        yield opened.gallery


def ask(gallery: Gallery, number: int, **settings: object):
    prior, current = (gallery.get(f"sub-{number:02d}_ses-{i}") for i in (0, 1))
    return search_by_change(
        gallery, prior.code, current.code, 2.0, subject=current.subject, **settings
    )


def test_those_who_changed_alike_are_found_however_differently_they_are_built(
    gallery: Gallery,
) -> None:
    for number in range(6):
        cause = list(CAUSES)[number % 3]
        hits = ask(gallery, number, k=10).hits
        assert [hit.labels["diagnosis"] for hit in hits] == [cause] * 10
        assert [hit.rank for hit in hits] == list(range(1, 11))
        assert all(a.distance <= b.distance for a, b in pairwise(hits))


def test_a_person_is_found_once_never_the_query_and_only_over_a_like_time(
    gallery: Gallery,
) -> None:
    result = ask(gallery, 3, k=100)
    found = [hit.subject for hit in result.hits]
    assert len(found) == len(set(found)) == PEOPLE - 2 == result.n_people
    assert "03" not in found  # the query's own
    assert "39" not in found  # nine years between the scans
    assert "x" not in found  # scanned once
    assert result.like_time == (1.0, 4.0)
    assert "38 of 100 hits" in result.notes[0]


def test_the_filter_looks_at_the_later_scan(gallery: Gallery) -> None:
    hits = ask(gallery, 3, k=5, where="site = 'B' and age > 62").hits
    assert len(hits) == 5
    assert all(hit.labels["site"] == "B" and float(hit.labels["age"] or 0) > 62 for hit in hits)


@pytest.mark.parametrize("years", [0.1, -2.0])
def test_scans_too_near_in_time_or_the_wrong_way_round_are_refused(
    gallery: Gallery, years: float
) -> None:
    code = gallery.get("sub-00_ses-0").code
    with pytest.raises(ParameterError, match="years between the scans"):
        search_by_change(gallery, code, code, years)


def test_where_nobody_was_scanned_twice_that_is_the_answer(gallery: Gallery) -> None:
    code = gallery.get("sub-00_ses-0").code
    with pytest.raises(TooFewPeopleError, match="no other person scanned twice"):
        search_by_change(gallery, code, code, 30.0)


def test_axes_leave_noise_out_but_are_not_learned_from_a_few_courses() -> None:
    rng = np.random.default_rng(1)
    signal = rng.normal(0, 1, (60, 3)) @ rng.normal(0, 1, (3, 50))
    rates = signal + rng.normal(0, 0.7, signal.shape)
    places = learn_axes(rates).places

    def agreement(points: np.ndarray) -> float:
        apart = [np.linalg.norm(p[:, None] - p[None], axis=2).ravel() for p in (points, signal)]
        return float(np.corrcoef(*apart)[0, 1])

    assert agreement(places(rates)) > agreement(rates)
    few = learn_axes(rates[: FEWEST_COURSES - 1])
    assert few.axes.shape == (50, 50)


def test_volumes_are_told_in_percent_a_year() -> None:
    prior, current = np.zeros((2, LONG), np.float32)
    both = [REGIONS.index(f"{side}-lateral-ventricle") for side in ("left", "right")]
    slope = load_readout().log_slope[both]
    current[VOLUMES.start + np.array(both)] = READ_OUT_WEIGHT * np.log(1.21) / slope
    rates = volume_rates(prior, current, 2.0, list(MEASURES))
    assert rates["lateral-ventricle"] == pytest.approx(10.0, abs=0.1)
    assert rates["left-hippocampus"] == 0
    assert volume_rates(prior[:N], current[:N], 2.0, list(MEASURES)) == {}


def test_all_pairs_of_scans_count_that_lie_a_like_time_apart(gallery: Gallery) -> None:
    cases = [
        *(gallery.get(f"sub-00_ses-{i}") for i in (0, 1)),
        gallery.get("sub-39_ses-0"),
        gallery.get("sub-39_ses-1"),
    ]
    assert [c.years for c in courses_of(cases, (1, 4))] == [pytest.approx(2.0)]
    assert len(courses_of(cases, (1, 10))) == 2


def test_the_command_line_searches_by_change(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = ("search", "sub-00_ses-1", "--prior", "sub-00_ses-0", "--gallery", str(folder))
    code, out, err = run(capsys, *scan, "-k", "3")
    assert code == 0, err
    assert "38 people (38 courses) scanned twice 1.0 to 4.0 years apart" in out
    assert out.count("AD") == 3
    answer = json.loads(run(capsys, *scan, "-k", "3", "--json")[1])
    assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3]
    assert answer["hits"][0]["labels"]["diagnosis"] == "AD"
    for more, message in (
        (("--why",), "--why: given beside --prior"),
        (("--prior", "sub-01_ses-0"), "--prior: a scan of 01; expected one of 00, too"),
        (("--prior", "sub-00_ses-1", "--years", "0"), "0 years between the scans"),
    ):
        code, _, err = run(capsys, *scan, *more)
        assert code == 2
        assert message in err
    code, _, err = run(capsys, "search", "sub-00_ses-1", "--gallery", folder, "--years", "2")
    assert code == 2
    assert "--years: given without --prior" in err
