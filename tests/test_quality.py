"""The verdicts: good heads pass, bad ones fail for the right reason, others are called by name."""

import re
from dataclasses import replace

import numpy as np
import pytest

from braincase.images.geometry import STANDARD_GRID, apply_affine
from braincase.images.volume import Volume, read_volume
from braincase.preprocess.prepare_volume import prepare_volume
from braincase.preprocess.quality.contrast import kind_of_prepared
from braincase.preprocess.quality.measures import (
    cut_sides,
    measure_prepared,
    measure_raw,
    reference,
)
from braincase.preprocess.quality.verdict import LIMITS, RAW_LIMITS, Limit, judge, screen, unusable
from braincase.simulate.head import Pose
from truly_prepared import COARSE, GRID, UPRIGHT, scanned

WORDS = {
    "T2w.nii.gz": "T2w",
    "FLAIR.nii.gz": "FLAIR",
    "chris_PD.nii.gz": "PD",
    "fmri.nii.gz": "functional",
    "Iguana.nii.gz": "animal",
    "chris_MRA.nii.gz": "angiogram",
    "CT_AVM.nii.gz": "angiogram",
}


def verdict(scanning=COARSE, pose=UPRIGHT, seed=1):
    return judge(*scanned(scanning, pose, seed), GRID)


def test_a_good_head_passes_without_a_reason():
    good = verdict()
    assert (good.grade, good.reasons) == ("pass", ())
    assert good.concern < 0


def test_a_skull_stripped_brain_passes():
    assert verdict(replace(COARSE, stripped=True)).grade == "pass"


@pytest.mark.parametrize(
    ("contrast", "word"),
    [("T2w", "T2w"), ("FLAIR", "FLAIR"), ("PD", "PD")],
)
def test_other_contrasts_fail_and_are_called_by_name(contrast, word):
    other = verdict(replace(COARSE, contrast=contrast))
    assert other.grade == "fail"
    (reason,) = other.reasons  # no word of noise or motion: it is another image
    assert word in reason


def test_blurred_tissues_are_no_t1w_if_grey_matter_and_fluid_are_both_bright():
    usual = {"grey": 0.7, "fluid": 0.4, "bone": 0.3}
    assert kind_of_prepared(usual) is None
    assert kind_of_prepared({**usual, "grey": 0.9}) is None
    assert kind_of_prepared({**usual, "fluid": 0.9}) is None
    assert "T2w, PD" in kind_of_prepared({**usual, "grey": 0.9, "fluid": 0.9})


def test_a_ct_is_known_by_its_air_and_without_that_by_its_skull():
    volume, prepared = scanned(replace(COARSE, contrast="CT"))
    assert "CT: air at about -1000" in screen(volume).reasons[0]
    shifted = Volume(volume.data + 1000, volume.affine)
    assert screen(shifted) is None
    head = prepared.head + 1000 * 0.85 / 29  # white matter was 29 HU and became 0.85
    head *= 0.85 / np.median(head[reference(GRID).white])
    reasons = judge(shifted, replace(prepared, head=head), GRID).reasons
    assert "CT: the skull is brighter" in reasons[0]


def test_a_cut_field_of_view_fails_and_names_the_side():
    cut = verdict(replace(COARSE, cut_mm=(0, 0, 0, 0, 0, 75)))
    assert cut.grade == "fail"
    assert any("cuts the brain at the top" in reason for reason in cut.reasons)
    # A nodding head is cut at its own top, whichever side of the scanner that is.
    volume, prepared = scanned(replace(COARSE, cut_mm=(0, 0, 0, 85, 0, 0)), Pose((90, 0, 0)))
    sides = cut_sides(volume, prepared, GRID)
    assert set(sides) in ({"top"}, {"bottom"})
    assert cut_sides(*scanned(), GRID) == {}


def test_a_slightly_cut_head_is_flagged_for_the_cut_alone():
    """What lies outside the field of view is no disagreement with the template."""
    cut = verdict(replace(COARSE, cut_mm=(0, 0, 0, 0, 0, 62)))
    assert cut.grade == "look", cut.reasons
    (reason,) = cut.reasons
    assert re.fullmatch(r"the field of view cuts the brain at the top \(\d+%\)", reason)


def test_the_mask_ends_where_the_field_of_view_ends():
    volume, prepared = scanned(replace(COARSE, cut_mm=(0, 0, 0, 0, 0, 62)))
    to_voxel = np.linalg.inv(prepared.native_to_mni @ volume.affine)
    voxels = apply_affine(to_voxel @ GRID.affine, np.argwhere(prepared.mask).astype(float))
    assert voxels[:, 2].max() < volume.shape[2]


def test_noise_and_motion_are_measured_in_units_of_contrast():
    clean, noisy, moved = (
        measure_prepared(*scanned(replace(COARSE, **change)), GRID)
        for change in ({"noise": 0.0}, {"noise": 0.2}, {"noise": 0.0, "motion_mm": 8})
    )
    # White and grey matter differ by 0.32 of white matter, less what partial volume takes.
    assert noisy["noise"] - clean["noise"] == pytest.approx(0.2 / 0.3, rel=0.35)
    assert moved["ghosts"] > clean["ghosts"] + 0.1
    assert verdict(replace(COARSE, noise=0.5)).grade == "fail"


def test_a_head_that_lies_otherwise_than_its_header_says_is_looked_at():
    turned = verdict(pose=Pose((0, 0, 90)))
    assert turned.grade == "look"
    assert "check left and right" in turned.reasons[0]


def test_a_file_without_sides_and_a_readers_note_are_looked_at():
    volume, prepared = scanned()
    unknown = replace(volume, sides_known=False, notes=("12 voxels were no number: set to 0",))
    doubtful = judge(unknown, prepared, GRID)
    assert doubtful.grade == "look"
    assert doubtful.reasons == (
        "nothing in the file tells left from right",
        "12 voxels were no number: set to 0",
    )


@pytest.mark.parametrize(("factor", "word"), [(0.1, "wrong unit"), (10, "wrong unit")])
def test_voxel_sizes_in_a_wrong_unit_are_told(factor, word):
    volume, _ = scanned()
    scaled = Volume(volume.data, np.diag([factor, factor, factor, 1]) @ volume.affine)
    assert word in screen(scaled).reasons[0]


def test_masks_angiograms_slabs_and_thick_slices_are_refused_before_any_work():
    volume, _ = scanned()
    mask = Volume((volume.data > 300).astype(np.float32), volume.affine)
    assert "mask or label map" in screen(mask).reasons[0]
    vessels = np.where(np.random.default_rng(0).random(volume.shape) < 0.004, 1e5, volume.data)
    assert "angiogram" in screen(Volume(vessels.astype(np.float32), volume.affine)).reasons[0]
    slab = Volume(volume.data[:, :, :16].copy(), volume.affine)
    assert "slab of only 48 mm" in screen(slab).reasons[0]
    thick = Volume(volume.data, np.diag([1, 1, 8 / 3, 1]) @ volume.affine)
    assert "slices of 8.0 mm" in screen(thick).reasons[0]


def test_grey_values_that_start_far_below_zero_are_no_angiogram():
    head, _ = scanned()
    for offset in (-0.3, -3.0):  # in brightest voxels
        moved = Volume(head.data + np.float32(offset * head.data.max()), head.affine)
        assert screen(moved) is None
        share = measure_raw(head)["bright_share"]
        assert measure_raw(moved)["bright_share"] == pytest.approx(share, abs=0.02)


def test_what_cannot_be_measured_fails():
    volume, prepared = scanned()
    dark = replace(prepared, head=np.zeros_like(prepared.head))
    assert judge(volume, dark, GRID).grade == "fail"
    assert unusable("no such file").concern == np.inf


def test_a_limit_runs_both_ways():
    high, low = Limit("x", 1.0, 3.0, ""), Limit("x", 0.8, 0.4, "")
    assert [high.concern(v) for v in (0.0, 1.0, 3.0)] == [-0.5, 0.0, 1.0]
    assert [low.concern(v) for v in (0.8, 0.4)] == pytest.approx([0.0, 1.0])
    assert high.concern(float("nan")) == np.inf


def test_every_limit_has_a_measure_and_every_reason_can_be_told():
    volume, prepared = scanned()
    measures = measure_raw(volume) | measure_prepared(volume, prepared, GRID)
    for limit in (*RAW_LIMITS, *LIMITS):
        said = limit.says.format(value=measures[limit.measure], cut="at the top")
        assert "{" not in said
        assert limit.look != limit.fail


def test_measures_agree_between_the_two_grids():
    # The 4 mm reference is the mean of the 2 mm one: the same tissue at half the resolution.
    fine, coarse = reference(STANDARD_GRID), reference(GRID)
    for name in ("brain", "white", "bone", "scalp"):
        volumes = [getattr(r, name).sum() * g for r, g in ((fine, 8), (coarse, 64))]
        assert volumes[1] == pytest.approx(volumes[0], rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_real_images_of_other_kinds_fail_and_are_called_by_name(shared_data, name):
    volume = read_volume(shared_data / "not-a-t1w-head" / name)
    refused = screen(volume) or judge(volume, prepare_volume(volume, GRID), GRID)
    assert refused.grade == "fail"
    assert WORDS[name] in refused.reasons[0]
