"""The simulation shows what was measured of real people; the images say so, not the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from braincase.images.geometry import HALF_GRID
from braincase.parallel import run_all
from braincase.simulate.atrophy import (
    PARTS,
    base_change,
    disease_of_ad,
    load_effects,
    part_maps,
    velocity_of_changes,
    volumes_after,
)
from braincase.simulate.calibration.effect import Effect, effects_json, effects_table
from braincase.simulate.calibration.lesions import lesion_effects
from braincase.simulate.fields import exponentiate, pull
from braincase.simulate.imaging import simulate_visit
from braincase.simulate.people import SimulatedVisit, Size, draw_visits
from braincase.volumetry.measure import region_volumes
from braincase.volumetry.regions import NAMES
from test_fields import jacobian_determinant

#: Ten regions that disease tells apart, whose effect on the images is held to the norms.
KEY = (
    *("left-hippocampus", "right-hippocampus", "left-amygdala", "left-entorhinal"),
    *("left-middle-temporal", "right-superior-temporal", "left-precuneus", "left-insula"),
    *("left-lateral-ventricle", "right-inferior-horn"),
)
TWINS = 4


def test_ten_key_regions_shrink_on_the_images_as_in_patients() -> None:
    """The same people with and without the disease: no other difference between the images."""
    visits = draw_visits(Size({"CN": (TWINS, TWINS)}, 4), 21)
    plain = [replace(v, person=replace(v.person, subtype=0.0, side=0.0)) for v in visits]
    twins = [replace(v, age=75.0, scanner="A", severity=s) for v in plain for s in (0.0, 1.0)]
    items = list(enumerate(twins))
    volumes = np.empty((len(items), len(NAMES)))
    for done in run_all(measured, items, "twins", 1):
        assert done.result is not None
        volumes[done.result[0]] = done.result[1]
    healthy, ill = np.log(volumes[::2]), np.log(volumes[1::2])
    change = np.expm1((ill - healthy).mean(axis=0))
    asked = np.expm1(load_effects().ad)
    for name in KEY:
        place = NAMES.index(name)
        assert change[place] == pytest.approx(asked[place], rel=0.25), name


def measured(item: tuple[int, SimulatedVisit]) -> tuple[int, np.ndarray]:
    place, visit = item
    return place, region_volumes(simulate_visit(visit, HALF_GRID).volume, HALF_GRID)


def test_true_volumes_change_as_asked_in_every_region() -> None:
    extra = np.zeros(len(PARTS) - len(NAMES))
    volumes = []
    for change in (
        np.append(base_change(), extra),
        np.append(base_change(), extra) + disease_of_ad(),
    ):
        backward = exponentiate(-velocity_of_changes(change))
        volumes.append(volumes_after(backward, part_maps()[: len(NAMES)]))
    assert np.log(volumes[1] / volumes[0]) == pytest.approx(load_effects().ad, abs=0.01)


def test_the_severest_disease_still_folds_nothing() -> None:
    extra = np.zeros(len(PARTS) - len(NAMES))
    change = np.append(base_change(), extra) + 1.6 * disease_of_ad()
    assert jacobian_determinant(exponentiate(velocity_of_changes(change))).min() > 0


def test_volumes_by_the_transpose_are_those_of_the_pulled_maps() -> None:
    backward = exponentiate(-velocity_of_changes(disease_of_ad()))
    maps = part_maps()[[0, 20, 64]]
    slow = pull(maps, backward).sum(axis=(1, 2, 3)) * 64
    assert volumes_after(backward, maps) == pytest.approx(slow, rel=1e-4)


def test_drawn_lesions_are_as_large_and_lie_where_real_ones_do() -> None:
    missed = [effect for effect in lesion_effects(3) if not effect.met]
    assert not missed


def test_an_effect_is_met_in_its_interval_or_near_what_was_asked() -> None:
    row = Effect("AD", "x", "%", -10.0, -11.0, -9.0, -12.4, "a source")
    assert row.met
    missed = replace(row, measured=-13.0)
    assert not missed.met
    table = effects_table([row, missed])
    assert "1 of 2 met, 1 of them near" in table
    assert "| x, % | -10.00 | -11.00 to -9.00 | -12.40 | near |" in table
    assert table.splitlines()[-1].startswith("Met: in the interval, or near, a change that")
    assert "| x, % | -10.00 | -11.00 to -9.00 | -13.00 | missed |" in table


def test_no_area_under_a_curve_is_near_its_interval() -> None:
    row = Effect("classifier", "AUC", "", 0.885, 0.85, 0.92, 0.94, "a source", is_change=False)
    assert not row.met
    assert replace(row, measured=0.9).met
    assert effects_json([row])[0]["met"] is False
    assert "| AUC | 0.89 | 0.85 to 0.92 | 0.94 | missed |" in effects_table([row])


def test_only_changes_have_a_tolerance() -> None:
    told = lesion_effects(3)
    assert [row.is_change for row in told] == [row.unit == "ml" for row in told]
