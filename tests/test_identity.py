"""Who is who: people, visits and labels of folders as laboratories keep them, and the evidence."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from braincase.errors import UsageError
from braincase.sources.find import find_scans, recognise
from braincase.sources.image_folder import read_image_folder
from braincase.sources.image_names import parse_name
from refusals import refused
from source_files import bids, cut, image, text


def who(folder):
    """The scan of each person and visit, by the place of its image."""
    return {str(s.path.relative_to(folder)): s.scan_id for s in find_scans(folder)[0]}


def put(folder, *names):
    for k, name in enumerate(names):
        image(folder / name, k)


# ---- folders tell people where file names repeat ----


@pytest.mark.parametrize(
    "name", ["T1.nii.gz", "mprage.nii", "anat/t1_mprage_sag.nii.gz", "001.nii"]
)
def test_one_file_name_in_different_folders_is_different_people(tmp_path, name):
    put(tmp_path, f"P001/{name}", f"P002/{name}", f"P003/{name}")
    text(tmp_path / "subjects.csv", "id,age,diagnosis\nP001,60,CN\nP002,70,AD\nP003,80,AD\n")
    scans, census = find_scans(tmp_path)
    assert [(s.subject, s.labels["age"]) for s in scans] == [
        ("P001", 60),
        ("P002", 70),
        ("P003", 80),
    ]
    assert census.labels == {"AD": 2, "CN": 1}
    assert not census.dropped


@pytest.mark.parametrize(
    "visits",
    [
        ("baseline", "followup"),
        ("visit1", "visit2"),
        ("ses-1", "ses-2"),
        ("2019-01-31", "20200131"),
        ("m00", "m12"),
        ("scanA", "scanB"),
    ],
)
def test_folders_below_a_person_are_visits(tmp_path, visits):
    put(tmp_path, *(f"{p}/{v}/T1.nii" for p in ("P1", "P2") for v in visits))
    scans, census = find_scans(tmp_path)
    assert (census.people, census.scans) == (2, 4)
    assert {s.session for s in scans} == {v.removeprefix("ses-").replace("-", "") for v in visits}


@pytest.mark.parametrize("groups", [("AD", "CN"), ("patients", "controls"), ("site1", "site2")])
def test_folders_of_groups_are_no_people(tmp_path, groups):
    first, second = groups
    put(tmp_path, f"{first}/P1/T1.nii", f"{first}/P2/T1.nii", f"{second}/P3/T1.nii")
    scans, _census = find_scans(tmp_path)
    assert sorted(s.subject for s in scans) == ["P1", "P2", "P3"]
    assert {s.labels["group"] for s in scans} == set(groups)


def test_files_named_by_people_in_folders_of_groups(tmp_path):
    put(tmp_path, "Kyoto/P1_T1.nii", "Kyoto/P2_T1.nii", "Osaka/P3_T1.nii")
    assert find_scans(tmp_path)[1].people == 3


def test_folders_that_could_be_people_or_groups_are_refused(tmp_path):
    put(tmp_path, "K1/A7/T1.nii", "K1/B9/T1.nii", "K2/C3/T1.nii")
    with refused(UsageError, "a person or a group of people"):
        find_scans(tmp_path)
    text(tmp_path / "people.csv", "id,age\nA7,60\nB9,61\nC3,62\n")
    assert find_scans(tmp_path)[1].people == 3


def test_a_folder_of_a_person_may_repeat_the_name(tmp_path):
    put(tmp_path, "P1/P1_MR1/P1_T1.nii", "P1/P1_MR2/P1_T1.nii", "P2/P2_MR1/P2_T1.nii")
    _scans, census = find_scans(tmp_path)
    assert (census.people, census.scans) == (2, 3)


def test_visits_in_the_names_of_files(tmp_path):
    put(tmp_path, "P1_baseline_T1.nii", "P1_followup_T1.nii", "P2_2020-01-31_T1.nii")
    assert sorted(who(tmp_path).values()) == [
        "sub-P1_ses-baseline",
        "sub-P1_ses-followup",
        "sub-P2_ses-20200131",
    ]


@pytest.mark.parametrize("place", ["{visit}/{person}.nii", "{visit}/{person}/T1.nii"])
def test_folders_of_visits_above_the_people(tmp_path, place):
    visits, people = ("baseline", "followup"), ("P1", "P2")
    put(tmp_path, *(place.format(visit=v, person=p) for v in visits for p in people))
    expected = {f"sub-{p}_ses-{v}" for v in visits for p in people}
    assert set(who(tmp_path).values()) == expected


def test_runs_of_one_person_are_one_person(tmp_path):
    put(tmp_path, "P1_T1_run1.nii", "P1_T1_run2.nii", "P2_T1_run-1.nii")
    assert find_scans(tmp_path)[1].people == 2


def test_a_table_beside_images_may_name_their_files(tmp_path):
    put(tmp_path, "a.nii", "b.nii", "c.nii")
    text(tmp_path / "t.csv", "filename,subject,dx\na.nii,S1,CN\nb.nii,S2,AD\nc.nii,S2,AD\n")
    scans, census = find_scans(tmp_path)
    assert {s.subject: s.labels["dx"] for s in scans} == {"S1": "CN", "S2": "AD"}
    assert census.people == 2


def test_folders_of_people_without_anat_are_people(tmp_path):
    put(tmp_path, "sub-01/T1.nii", "sub-02/T1.nii")
    text(tmp_path / "participants.tsv", "participant_id\tage\nsub-01\t60\nsub-02\t61\n")
    assert {s.subject: s.labels["age"] for s in find_scans(tmp_path)[0]} == {"01": 60, "02": 61}


def test_numbers_alone_tell_people(tmp_path):
    put(tmp_path, "T1_01.nii", "T1_02.nii", "patient_mprage_1.nii", "patient_mprage_2.nii")
    assert find_scans(tmp_path)[1].people == 4


# ---- what programs leave beside a scan ----

DERIVED = [
    *("S1_T1_brain", "S1_T1_brain_mask", "S1_T1_biascorr", "S1_T1_to_MNI_lin", "S1_T1_bet"),
    *("S1_T1_brain_pve_0", "S1_T1_fast_restore", "S1_T1_reoriented", "S1_T1_flirt", "S1_T1_N4"),
    *("c1S1_T1", "c2S1_T1", "wc1S1_T1", "mwp1S1_T1", "wmS1_T1", "mS1_T1", "rS1_T1", "y_S1_T1"),
    *("rp1S1_T1", "iy_S1_T1", "p0S1_T1", "wS1_T1"),
    *("S1_T1_Crop_1", "S1_T1_Eq_1", "S1_T1_ROI1", "S1_T1_e2", "S1_T1_ph", "S1_T1_Tilt_1"),
    *("S1_T1_Warped", "S1_T1_InverseWarped", "S1_T1_BrainExtractionBrain", "S1_T1_deface"),
    *("S1_T1_seg", "S1_T1_labels", "S1_T1_lesion", "S1_T1_average", "S1_T1_hdbet", "S1_T1_dseg"),
    *("sub-S1_desc-preproc_T1w", "sub-S1_space-MNI152NLin6Asym_T1w", "S1_T1_synthstrip"),
]  # fmt: skip


@pytest.mark.parametrize("name", DERIVED)
def test_what_is_made_from_a_scan_is_nobody(tmp_path, name):
    put(tmp_path, "S1_T1.nii.gz", "S2_T1.nii.gz", f"{name}.nii.gz")
    scans, census = find_scans(tmp_path)
    assert sorted(s.path.name for s in scans) == ["S1_T1.nii.gz", "S2_T1.nii.gz"]
    (dropped,) = census.dropped
    assert dropped[0].endswith(f"{name}.nii.gz")


def test_the_raw_image_is_taken_though_copies_sort_before_it(tmp_path):
    put(
        tmp_path, "S1_t1_mprage_3_Crop_1.nii", "S1_t1_mprage_3.nii", "S1_T1_brain.nii", "mS1_t1.nii"
    )
    (scan,), census = find_scans(tmp_path)
    assert scan.path.name == "S1_t1_mprage_3.nii"
    assert all("made from another image by its name" in why for _, why in census.dropped)


def test_where_only_a_copy_is_left_it_is_used_and_told(tmp_path):
    put(tmp_path, "S1_T1_brain.nii.gz", "S2_T1_brain.nii.gz")
    _scans, census = find_scans(tmp_path)
    assert census.people == 2
    assert any("only processed images" in note for note in census.notes)


@pytest.mark.parametrize(
    "names",
    [
        ("anna_T1", "manna_T1x", "hanna_T1"),
        ("robert_T1", "cobert_T1"),
        ("c1_T1", "c2_T1"),
        ("p01_T1", "p02_T1"),
        ("m1_T1", "w1_T1"),
    ],
)
def test_names_that_only_look_like_copies_are_people(tmp_path, names):
    put(tmp_path, *(f"{name}.nii" for name in names))
    assert find_scans(tmp_path)[1].people == len(names)


@pytest.mark.parametrize("folder", ["FLAIR", "T2w", "dwi", "masks", "derivatives/fsl", "fsl"])
def test_folders_of_other_images_are_not_looked_at_for_people(tmp_path, folder):
    put(tmp_path, "T1/P001.nii", "T1/P002.nii", f"{folder}/P001.nii", f"{folder}/P002.nii")
    scans, census = find_scans(tmp_path)
    assert sorted(s.path.parent.name for s in scans) == ["T1", "T1"]
    assert census.people == 2
    assert len(census.dropped) == 2


def test_what_lies_in_a_persons_folder_beside_the_scan_is_the_persons(tmp_path):
    put(tmp_path, "P001_T1.nii", "P002_T1.nii", "P001.anat/T1_biascorr.nii", "P002/T1_crop.nii")
    scans, census = find_scans(tmp_path)
    assert sorted(s.path.name for s in scans) == ["P001_T1.nii", "P002_T1.nii"]
    assert census.people == 2


def test_freesurfers_templates_and_longitudinal_copies_are_nobody(tmp_path):
    put(
        tmp_path,
        *(f"{s}/mri/orig.mgz" for s in ("anna", "fsaverage", "anna.long.anna_base", "anna_base")),
        "anna/mri/norm.mgz",
    )
    scans, census = find_scans(tmp_path)
    assert [s.subject for s in scans] == ["anna"]
    assert len(census.dropped) == 4


# ---- hidden, not fetched, damaged, our own ----


def test_hidden_files_and_folders_are_skipped_and_counted(tmp_path):
    put(tmp_path, "a_T1.nii", ".git/x.nii", ".Trash/b_T1.nii", "__MACOSX/c_T1.nii", "._a_T1.nii")
    scans, census = find_scans(tmp_path)
    assert [s.subject for s in scans] == ["aT1"]
    assert census.files == {"used": 1, "hidden (skipped)": 4}


@pytest.mark.parametrize("kind", ["link", "pointer", "lfs", "empty", "html", "apple"])
@pytest.mark.parametrize("layout", ["bids", "images", "table"])
def test_content_that_is_not_there_is_told(tmp_path, kind, layout):
    path = tmp_path / ("sub-02/anat/sub-02_T1w.nii.gz" if layout == "bids" else "P2_T1.nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    bids(tmp_path, "sub-01_T1w.nii.gz") if layout == "bids" else image(tmp_path / "P1_T1.nii.gz")
    target = "../../.git/annex/objects/X/SHA256E-s1--a.nii.gz"
    if kind == "link":
        path.symlink_to(target)
    else:
        content = {
            "pointer": b"/annex/objects/SHA256E-s1--a.nii.gz\n",
            "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
            "empty": b"",
            "html": b"<!DOCTYPE html><html>log in</html>",
            "apple": b"\0\5\x16\7" + bytes(4092),
        }
        path.write_bytes(content[kind])
    source = tmp_path
    if layout == "table":
        source = text(tmp_path / "t.csv", "path,subject\nP1_T1.nii.gz,1\nP2_T1.nii.gz,2\n")
    scans, census = find_scans(source)
    words = {
        "link": "git-annex",
        "pointer": "git-annex",
        "lfs": "git lfs pull",
        "empty": "an empty file",
        "html": "HTML",
        "apple": "resource fork",
    }
    assert len(scans) == 1
    assert [words[kind] in why for _, why in census.dropped] == [True]


def test_a_participants_table_that_is_not_fetched_is_told(tmp_path):
    bids(tmp_path, "sub-01_T1w.nii.gz")
    (tmp_path / "participants.tsv").symlink_to(".git/annex/objects/x.tsv")
    notes = find_scans(tmp_path)[1].notes
    assert any("participants.tsv: its content is not fetched" in note for note in notes)


@pytest.mark.parametrize("broken", ["empty", "cut", "text"])
def test_a_damaged_first_run_gives_way_to_the_next(tmp_path, broken):
    bids(tmp_path, "sub-01_run-2_T1w.nii.gz")
    path = tmp_path / "sub-01/anat/sub-01_run-1_T1w.nii.gz"
    cut(path) if broken == "cut" else path.write_bytes(b"" if broken == "empty" else b"x" * 400)
    (scan,), census = find_scans(tmp_path)
    assert scan.path.name == "sub-01_run-2_T1w.nii.gz"
    (dropped,) = census.dropped
    assert "run-1" in dropped[0]
    assert "another T1w" not in dropped[1]


def test_where_all_runs_are_damaged_the_first_stays_to_be_told_of(tmp_path):
    for run in (1, 2):
        cut(tmp_path / f"sub-01/anat/sub-01_run-{run}_T1w.nii.gz")
    assert [s.path.name for s in find_scans(tmp_path)[0]] == ["sub-01_run-1_T1w.nii.gz"]


def test_a_cohort_of_ours_in_the_source_is_no_source(tmp_path):
    put(tmp_path, "a_T1.nii", "out/sub-aT1/anat/sub-aT1_desc-brain_T1w.nii.gz")
    about = {"GeneratedBy": [{"Name": "braincase"}]}
    (tmp_path / "out" / "dataset_description.json").write_text(json.dumps(about))
    scans, census = find_scans(tmp_path)
    assert [s.subject for s in scans] == ["aT1"]
    assert census.dropped == (
        (str(tmp_path / "out"), "a cohort that Braincase prepared, no source"),
    )


# ---- projects, and what BIDS does not take ----


@pytest.mark.parametrize("place", ["rawdata", "data/bids", "ds000001"])
def test_the_data_set_in_a_projects_folder_is_found(tmp_path, place):
    for visit in ("a", "b"):
        bids(tmp_path / place, f"sub-01_ses-{visit}_T1w.nii.gz")
    text(tmp_path / place / "participants.tsv", "participant_id\tdiagnosis\nsub-01\tCN\n")
    bids(tmp_path / "derivatives" / "fmriprep", "sub-01_desc-preproc_T1w.nii.gz")
    scans, census = find_scans(tmp_path)
    assert [s.scan_id for s in scans] == ["sub-01_ses-a", "sub-01_ses-b"]
    assert census.labels == {"CN": 2}
    assert census.notes[0] == f"{place} is the BIDS data set in this folder: it is read"
    assert "outside of" in census.dropped[0][1]


def test_several_data_sets_are_refused_by_their_names_unless_one_is_raw(tmp_path):
    bids(tmp_path / "ds1", "sub-01_T1w.nii.gz")
    bids(tmp_path / "ds2", "sub-01_T1w.nii.gz")
    with refused(UsageError, r"2 BIDS data sets in it \(ds1, ds2\)"):
        find_scans(tmp_path)
    bids(tmp_path / "rawdata", "sub-07_T1w.nii.gz")
    assert find_scans(tmp_path)[0][0].subject == "07"


@pytest.mark.parametrize("suffix", ["UNIT1", "inv-1_MP2RAGE", "T1map", "T2w", "FLAIR"])
def test_other_images_of_a_subject_are_listed_with_the_reason(tmp_path, suffix):
    bids(tmp_path, f"sub-01_{suffix}.nii.gz")
    scans, census = find_scans(tmp_path)
    assert not scans
    images = [why for where, why in census.dropped if where.endswith(".nii.gz")]
    assert len(images) == 1
    assert suffix.split("_")[-1] in images[0]


def test_every_file_below_a_source_has_its_end_in_the_census(tmp_path):
    bids(tmp_path, "sub-01_T1w.nii.gz")
    bids(tmp_path, "sub-01_T2w.nii.gz")
    image(tmp_path / "sub-01/func/sub-01_task-rest_bold.nii.gz")
    image(tmp_path / "derivatives/fsl/sub-01_brain.nii.gz")
    image(tmp_path / "sourcedata/sub-01_T1.nii.gz")
    for name in ("README", "CHANGES", "sub-01/anat/sub-01_T1w.json", ".bidsignore"):
        text(tmp_path / name, "x")
    _, census = find_scans(tmp_path)
    assert census.files == {
        "used": 1,
        "left out": 4,
        "no image (without ending 2, .json 1)": 3,
        "hidden (skipped)": 1,
    }
    reasons = {Path(where).name: why for where, why in census.dropped}
    assert "derivatives/" in reasons["sub-01_brain.nii.gz"]
    assert "sourcedata/" in reasons["sub-01_T1.nii.gz"]
    assert "func" in reasons["sub-01_task-rest_bold.nii.gz"]


# ---- tables and people ----


@pytest.mark.parametrize(
    ("disk", "table"),
    [
        (["001", "002", "010"], ["1", "2", "10"]),
        (["001", "002", "010"], ["1.0", "2.0", "10.0"]),
        (["S01", "S02", "S10"], ["s1", "s2", "s10"]),
        (["AB01", "AB02", "AB10"], ["AB-01", "AB-02", "AB-10"]),
        (["1", "2", "10"], ["sub-001", "sub-002", "sub-010"]),
    ],
)
def test_names_that_differ_by_zeros_marks_or_case_are_joined_and_told(tmp_path, disk, table):
    for name in disk:
        bids(tmp_path, f"sub-{name}_T1w.nii.gz")
    rows = "".join(f"{name}\t{age}\n" for name, age in zip(table, (60, 70, 80), strict=True))
    text(tmp_path / "participants.tsv", "participant_id\tage\n" + rows)
    scans, census = find_scans(tmp_path)
    ages = dict(zip(disk, (60, 70, 80), strict=True))
    assert {s.subject: s.labels.get("age") for s in scans} == ages
    assert any(f"is sub-{disk[0]}" in note for note in census.notes)


def test_a_name_that_could_be_two_people_is_joined_to_none(tmp_path):
    for name in ("01", "001", "7"):
        bids(tmp_path, f"sub-{name}_T1w.nii.gz")
    text(tmp_path / "participants.tsv", "participant_id\tage\n1\t60\n7\t70\n99\t80\n")
    scans, census = find_scans(tmp_path)
    assert {s.subject: s.labels.get("age") for s in scans} == {"001": None, "01": None, "7": 70}
    told = " ".join(census.notes)
    assert "not joined" in told
    assert "2 rows fit no scan (sub-1, sub-99)" in told
    assert "no row for" in told


VISITS = "participant_id\t{}\tage\tsex\tdiagnosis\n{}"


@pytest.mark.parametrize("column", ["session_id", "session", "visit", "timepoint", "訪問"])
@pytest.mark.parametrize("names", [("1", "2"), ("ses-1", "ses-2"), ("01", "02"), ("1.0", "2.0")])
def test_a_row_a_session_counts_for_that_session(tmp_path, column, names):
    for visit in ("1", "2"):
        bids(tmp_path, f"sub-01_ses-{visit}_T1w.nii.gz")
    rows = f"sub-01\t{names[0]}\t60\tM\tCN\nsub-01\t{names[1]}\t70\tM\tAD\n"
    text(tmp_path / "participants.tsv", VISITS.format(column, rows))
    first, second = find_scans(tmp_path)[0]
    assert (first.labels["age"], first.labels["diagnosis"]) == (60, "CN")
    assert (second.labels["age"], second.labels["diagnosis"]) == (70, "AD")
    assert any("line 3 of participants.tsv" in line for line in second.evidence)


def test_rows_of_visits_are_joined_by_their_dates(tmp_path):
    for visit in ("20060211", "20061102"):
        bids(tmp_path, f"sub-01_ses-{visit}_T1w.nii.gz")
    rows = "sub-01\t11.02.2006\t60\tM\tCN\nsub-01\t02.11.2006\t61\tM\tAD\n"
    text(tmp_path / "participants.tsv", VISITS.format("scan_date", rows))
    assert [s.labels["diagnosis"] for s in find_scans(tmp_path)[0]] == ["CN", "AD"]


def test_rows_that_no_session_tells_apart_give_only_what_they_agree_on(tmp_path):
    bids(tmp_path, "sub-01_T1w.nii.gz")
    rows = "participant_id\tage\tsex\tdiagnosis\nsub-01\t60\tM\tCN\nsub-01\t70\tM\tAD\n"
    text(tmp_path / "participants.tsv", rows)
    (scan,), census = find_scans(tmp_path)
    assert scan.labels == {"sex": "M"}
    assert any("2 rows with another age, diagnosis: left out" in note for note in census.notes)


def test_a_visit_without_a_row_gets_only_what_lasts(tmp_path):
    for visit in ("1", "2"):
        bids(tmp_path, f"sub-01_ses-{visit}_T1w.nii.gz")
    text(tmp_path / "participants.tsv", VISITS.format("session_id", "sub-01\t1\t60\tM\tCN\n"))
    text(
        tmp_path / "participants.tsv",
        VISITS.format("session_id", "sub-01\t1\t60\tM\tCN\nsub-02\t1\t60\tM\tCN\n"),
    )
    first, second = find_scans(tmp_path)[0]
    assert first.labels["diagnosis"] == "CN"
    assert second.labels == {"sex": "M"}


def test_a_single_row_with_a_visit_of_another_name_counts(tmp_path):
    bids(tmp_path, "sub-01_ses-1_T1w.nii.gz")
    text(tmp_path / "participants.tsv", VISITS.format("visit", "sub-01\tbaseline\t60\tM\tCN\n"))
    assert find_scans(tmp_path)[0][0].labels["diagnosis"] == "CN"


def test_tables_beside_images_have_rows_of_visits_too(tmp_path):
    put(tmp_path, "P1/v1/T1.nii", "P1/v2/T1.nii", "P2/v1/T1.nii")
    text(tmp_path / "t.csv", "id,visit,diagnosis\nP1,v1,CN\nP1,v2,AD\nP2,v1,CN\n")
    assert {s.scan_id: s.labels["diagnosis"] for s in find_scans(tmp_path)[0]} == {
        "sub-P1_ses-v1": "CN",
        "sub-P1_ses-v2": "AD",
        "sub-P2_ses-v1": "CN",
    }


# ---- contradictions ----


def test_contradictions_are_told(tmp_path):
    for visit in ("1", "2"):
        bids(tmp_path, f"sub-01_ses-{visit}_T1w.nii.gz")
    bids(tmp_path, "sub-02_ses-1_T1w.nii.gz", sum(map(ord, "sub-01_ses-1_T1w.nii.gz")))
    rows = "sub-01\t1\t70\tM\tCN\nsub-01\t2\t60\tF\tCN\nsub-02\t1\t50\tF\tCN\n"
    text(tmp_path / "participants.tsv", VISITS.format("session_id", rows))
    conflicts = " | ".join(find_scans(tmp_path)[1].conflicts)
    assert "sub-01: sex is F and M" in conflicts
    assert "sub-01: age 70 at 1, 60 at 2" in conflicts
    assert "the same image of 2 people: sub-01, sub-02" in conflicts


# ---- evidence ----


def test_each_scan_says_why_it_is_whose(tmp_path):
    bids(tmp_path, "sub-01_ses-2_T1w.nii.gz")
    text(tmp_path / "participants.tsv", "participant_id\tage\nsub-01\t60\n")
    (scan,) = find_scans(tmp_path)[0]
    assert scan.evidence == (
        "subject 01 from the folder sub-01",
        "session 2 from the folder ses-2",
        "labels from line 2 of participants.tsv",
    )


def test_every_reason_above_is_above(tmp_path):
    bids(tmp_path, "sub-01_UNIT1.nii.gz")
    lines = "\n".join(find_scans(tmp_path)[1].lines())
    assert "UNIT1" in lines


# ---- a property: whatever the layout, the numbers are the generator's ----

NAMES = st.lists(st.integers(1, 999), min_size=1, max_size=5, unique=True)


@st.composite
def layouts(draw):
    """People, visits, a style of folders, and what programs leave beside."""
    people = [f"P{n:03d}" for n in draw(NAMES)]
    visits = draw(
        st.sampled_from([[""], ["v1", "v2"], ["2019-01-31", "2020-02-28"], ["m00", "m12"]])
    )
    style = draw(st.sampled_from(["bids", "flat", "folders", "deep", "groups"]))
    if style == "flat":
        visits = [v for v in visits if "-" not in v] or [""]
    extra = draw(st.sets(st.sampled_from(["_brain", "_Crop_1", "_brain_mask", "_biascorr"])))
    table = draw(st.sampled_from(["none", "plain", "unpadded", "visits"]))
    return people, visits, style, sorted(extra), table


def build(root, people, visits, style, extra, table):
    mark = 0
    for i, person in enumerate(people):
        for visit in visits:
            mark += 1
            bare = visit.replace("-", "")
            stem = f"{person}_{visit}_T1" if visit and style == "flat" else f"{person}_T1"
            folder = {
                "flat": root,
                "folders": root / person / visit,
                "deep": root / "data" / person / visit / "anat",
                "groups": root / ("CN" if i % 2 else "AD") / person / visit,
            }.get(style)
            if style == "bids":
                name = f"sub-{person}_ses-{bare}_T1w" if visit else f"sub-{person}_T1w"
                bids(root, f"{name}.nii.gz", mark)
                continue
            base = stem if style == "flat" else "T1"
            for ending in ("", *extra):
                mark += 1
                image(folder / f"{base}{ending}.nii.gz", mark)
    if table == "none":
        return
    rows = ["participant_id,visit,diagnosis" if table == "visits" else "participant_id,diagnosis"]
    for i, person in enumerate(people):
        name = f"p{int(person[1:])}" if table == "unpadded" else person
        for visit in visits if table == "visits" else [""]:
            cell = f",{visit.replace('-', '')}" if table == "visits" else ""
            rows.append(f"{name}{cell},{'AD' if i % 2 else 'CN'}")
    separator, name = ("\t", "participants.tsv") if style == "bids" else (",", "people.csv")
    text(root / name, "\n".join(rows).replace(",", separator) + "\n")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(layout=layouts())
def test_people_visits_and_labels_are_the_generators_or_a_reason_is_told(tmp_path, layout):
    people, visits, style, _extra, table = layout
    root = tmp_path / "source"
    shutil.rmtree(root, ignore_errors=True)
    build(root, *layout)
    scans, census = find_scans(root)
    assert census.people == len(people), (layout, census.lines(True))
    assert census.scans == len(people) * len(visits), (layout, census.lines(True))
    if table != "none":
        expected = {p: "AD" if i % 2 else "CN" for i, p in enumerate(people)}
        found = {s.subject: str(s.labels.get("diagnosis")) for s in scans}
        assert sorted(found.values()) == sorted(expected.values()), layout
        if table != "unpadded" or style != "flat":  # then the table's names count
            assert {"".join(name.split("T1")): label for name, label in found.items()} == expected
    images = sum(1 for p in root.rglob("*.nii.gz"))
    assert census.files["used"] + census.files.get("left out", 0) == images


def test_names_are_read_as_people_write_them():
    assert parse_name("IXI012-HH-1211-T1_ds.nii.gz").person == "ixi012_hh_1211"
    assert parse_name("S1_t1_mprage_3.nii").person == "s1"
    assert parse_name("P1_2020-01-31_T1.nii").visit == "20200131"


def test_links_to_folders_elsewhere_are_followed_once(tmp_path):
    put(tmp_path / "elsewhere", "P1/T1.nii", "P2/T1.nii")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("P1", "P2"):
        (source / name).symlink_to(tmp_path / "elsewhere" / name)
    (source / "P1" / "again").symlink_to(source)
    assert recognise(source) == "images"
    assert find_scans(source)[1].people == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_is_told(tmp_path):
    put(tmp_path, "P1/T1.nii", "P2/T1.nii")
    (tmp_path / "P2").chmod(0)
    try:
        _, census = read_image_folder(tmp_path)[0], find_scans(tmp_path)[1]
        assert any("cannot be read" in why for _, why in census.dropped)
    finally:
        (tmp_path / "P2").chmod(0o755)
