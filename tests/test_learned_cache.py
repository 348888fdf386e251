"""What is learned from a gallery is kept, but not without end."""

import json
import os
import shutil
from contextlib import closing

import numpy as np
import pytest

from braincase.gallery import Query, open_gallery
from braincase.population.cache import MOST_FILES, _evict, cached, read_arrays, write_arrays
from braincase.population.controls import control_model_of
from braincase.population.direction import learned_direction
from braincase.population.disease_axes import disease_axes_of
from braincase.population.neighbour_labels import learned_calibration
from braincase.population.pairs import learned_pairs
from braincase.population.region_means import FILE, RegionMeansCache
from braincase.population.typicality import learned_distances
from braincase.population.usual import learned_usual, usual_of
from braincase.search.nearest import search
from gallery_cases import filled_gallery


def test_questions_without_end_do_not_fill_the_disk(tmp_path):
    gallery = filled_gallery(tmp_path / "g", n_people=3)
    folder = gallery.cache_folder

    def ask(n):
        where = {"where": f"age > {n}"}
        return cached(gallery, 1, "test", where, lambda: asked.append(n) or n, lambda kept: kept)

    asked = []
    for n in range(MOST_FILES):
        assert ask(n) == n
    for age, path in enumerate(sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns)):
        os.utime(path, (1000 + age, 1000 + age))
    assert ask(0) == 0  # the oldest, but used now
    assert asked == list(range(MOST_FILES))
    for n in range(1000, 1020):
        ask(n)
    assert len(list(folder.iterdir())) == MOST_FILES
    asked.clear()
    assert (ask(0), asked) == (0, [])
    assert (ask(1), asked) == (1, [1])
    gallery.close()


def test_a_file_that_another_search_removes_meanwhile_stops_no_eviction(tmp_path, monkeypatch):
    """A dangling link stands for it: it is listed and cannot be looked at."""
    monkeypatch.setattr("braincase.population.cache.MOST_FILES", 1)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    _evict(tmp_path)
    assert len([path for path in tmp_path.iterdir() if path.exists()]) == 1


def learn_all(gallery):
    """Learn all that a gallery with codes of any model teaches; all that has a file of its own."""
    case = gallery.cases()[0]
    version = gallery.info().version
    query = Query(case.code, gallery.info().fingerprint, k=3, subject=case.subject)
    result = search(gallery, query)
    return (
        learned_usual(gallery, version),
        learned_pairs(gallery, version, None),
        learned_distances(gallery, result, None),
        learned_calibration(gallery, result, "diagnosis"),
        learned_direction(gallery, version),
        disease_axes_of(gallery),
        control_model_of(gallery).model,
        usual_of(gallery, controls="age > 200").spread,
    )


def lessons(folder):
    found = {p.name: json.loads(p.read_text())["learned"] for p in folder.glob("*.json")}
    arrays = {p.name: read_arrays(p) for p in folder.glob("*.npz")}
    return found | {
        name: {key: value.tolist() for key, value in held.items()} for name, held in arrays.items()
    }


@pytest.fixture
def learned(clinic_gallery, tmp_path):
    others = shutil.ignore_patterns("learned")  # by other tests
    folder = shutil.copytree(clinic_gallery, tmp_path / "gallery", ignore=others)
    with closing(open_gallery(folder)) as gallery:
        learn_all(gallery)
        yield gallery


def test_a_whole_file_of_other_content_is_learned_again(learned):
    folder = learned.cache_folder
    before = lessons(folder)
    assert {name.split("-")[0] for name in before} == {
        "usual", "pairs", "distances", "calibration", "direction", "split", "normative", "spread",
    }  # fmt: skip
    for path in folder.glob("*.json"):
        for other in ({}, [], [1.0, "x"], 7):
            path.write_text(json.dumps({**json.loads(path.read_text()), "learned": other}))
            learn_all(learned)
            assert lessons(folder) == before
    for path in folder.glob("*.npz"):
        held = dict(read_arrays(path))
        held.pop([*held][-1])
        write_arrays(path, held)
    learn_all(learned)
    assert lessons(folder) == before


def test_region_means_that_do_not_belong_together_are_measured_again(tmp_path):
    with closing(filled_gallery(tmp_path / "g", n_people=3)) as gallery:
        known = RegionMeansCache(gallery, 4)
        known.put("one", np.ones(4))
        known.put("two", np.ones(4))
        known.write()
        path = gallery.cache_folder / FILE
        held = dict(read_arrays(path))
        assert "one" in RegionMeansCache(gallery, 4)
        assert "one" not in RegionMeansCache(gallery, 5)
        for other in (
            {"means": held["means"][1:]},
            {"images": np.array("one")},
            {"means": np.full((2, 4), "x")},
        ):
            write_arrays(path, held | other)
            assert "one" not in RegionMeansCache(gallery, 4)
