"""Synthetic downloads laid out exactly as OASIS-1 and OASIS-3 are distributed."""

from __future__ import annotations

import pytest

from braincase.errors import UsageError
from braincase.sources.find import find_scans, recognise
from braincase.sources.oasis import read_oasis
from braincase.sources.read import read_scan
from markers import assert_sides, marker, write_analyze
from refusals import refused

CROSS = "ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV,nWBV,ASF,Delay"
FACTS = """
SESSION ID:   {0}
AGE:          74
M/F:          Female
HAND:         Right
EDUC:         2
SES:          3
CDR:          {1}
MMSE:         29
eTIV:         1344
ASF:          1.306
nWBV:         0.743

mpr-1 (filename): {0}_mpr-1_anon
"""


def session_1(root, name, cdr="", parts=("raw", "subj", "t88")):
    folder = root / "disc1" / name
    if "raw" in parts:
        for run in (1, 2):
            path = folder / "RAW" / f"{name}_mpr-{run}_anon.hdr"
            write_analyze(path, *marker(), "ASL", 2)
    if "subj" in parts:
        path = folder / "PROCESSED/MPRAGE/SUBJ_111" / f"{name}_mpr_n4_anon_sbj_111.hdr"
        write_analyze(path, *marker(), "ASL", 2)
    if "t88" in parts:
        for kind in ("t88_gfc", "t88_masked_gfc"):
            path = folder / "PROCESSED/MPRAGE/T88_111" / f"{name}_mpr_n4_anon_111_{kind}.hdr"
            write_analyze(path, *marker(), "LAS")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(FACTS.format(name, cdr))
    return folder


@pytest.mark.parametrize(
    ("parts", "taken", "sides_known"),
    [
        (("raw", "subj", "t88"), "_mpr_n4_anon_sbj_111.hdr", True),
        (("raw", "t88"), "_mpr_n4_anon_111_t88_gfc.hdr", False),
        (("raw",), "_mpr-1_anon.hdr", True),
    ],
)
def test_the_best_image_of_a_session_is_taken_and_its_left_is_left(
    tmp_path, parts, taken, sides_known
):
    session_1(tmp_path, "OAS1_0001_MR1", parts=parts)
    (scan,), _ = read_oasis(tmp_path)
    assert scan.path.name == "OAS1_0001_MR1" + taken
    volume = read_scan(scan)
    assert_sides(volume)
    assert volume.sides_known == sides_known


@pytest.mark.parametrize(
    ("cdr", "label"), [("0", "CN"), ("0.5", "AD"), ("1", "AD"), ("2", "AD"), ("", None)]
)
def test_cdr_gives_the_diagnosis_and_the_young_have_none(tmp_path, cdr, label):
    session_1(tmp_path, "OAS1_0001_MR1", cdr, ("raw",))
    (scan,), _ = read_oasis(tmp_path)
    assert scan.labels.get("diagnosis") == label
    assert (scan.labels["age"], scan.labels["sex"], scan.labels["nwbv"]) == (74, "F", 0.743)


def test_the_table_wins_and_second_sessions_are_sessions(tmp_path):
    for name in ("OAS1_0001_MR1", "OAS1_0061_MR1", "OAS1_0061_MR2"):
        session_1(tmp_path, name, "0", ("raw",))
    rows = [
        "OAS1_0001_MR1,F,R,74,2,3,29,0.5,1344,0.743,1.306,N/A",
        "OAS1_0061_MR1,F,R,20,,,,,1459,0.858,1.202,N/A",
        "OAS1_0061_MR2,F,R,20,,,,,1457,0.855,1.204,40",
    ]
    (tmp_path / "oasis_cross-sectional.csv").write_text("\n".join([CROSS, *rows]))
    scans, census = find_scans(tmp_path)
    assert recognise(tmp_path) == "oasis"
    assert [scan.scan_id for scan in scans] == [
        "sub-OAS10001_ses-MR1",
        "sub-OAS10061_ses-MR1",
        "sub-OAS10061_ses-MR2",
    ]
    assert census.labels == {"AD": 1, "no label": 2}
    assert census.people == 2


def test_a_session_without_images_is_dropped(tmp_path):
    session_1(tmp_path, "OAS1_0001_MR1", parts=())
    scans, census = read_oasis(tmp_path)
    assert not scans
    assert "no T88_111, SUBJ_111 or RAW image" in census.dropped[0][1]


def t1w_3(root, person, day, tail="", middle="anat2/NIFTI", ses="ses"):
    folder = root / f"{person}_MR_d{day}" / middle
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sub-{person}_{ses}-d{day}{tail}_T1w.nii.gz"
    path.write_text(path.name)
    (folder / f"sub-{person}_{ses}-d{day}_T2w.nii.gz").write_text("x")
    return path


@pytest.fixture
def oasis_3(tmp_path):
    """A download with the modern tables: a healthy person, one with AD, one with another cause."""
    t1w_3(tmp_path, "OAS30001", "0129", "_run-01")
    t1w_3(tmp_path, "OAS30001", "0129", "_run-02", "anat3/NIFTI")
    t1w_3(tmp_path, "OAS30001", "3132", ses="sess", middle="anat1")
    t1w_3(tmp_path, "OAS30002", "0653")
    t1w_3(tmp_path, "OAS30003", "0010")
    tables = tmp_path / "OASIS3_data_files" / "scans"
    cdr = tables / "UDSb4-Form_B4" / "resources" / "csv" / "files" / "OASIS3_UDSb4_cdr.csv"
    people = (
        tables / "demo-demographics" / "resources" / "csv" / "files" / "OASIS3_demographics.csv"
    )
    cdr.parent.mkdir(parents=True)
    people.parent.mkdir(parents=True)
    cdr.write_text(
        "OASISID,OASIS_session_label,days_to_visit,age at visit,MMSE,memory,CDRSUM,CDRTOT,dx1\n"
        "OAS30001,OAS30001_UDSb4_d0000,0000,65.15,28,0,0,0.0,Cognitively normal\n"
        "OAS30001,OAS30001_UDSb4_d0339,0339,66.08,28,0,0,0.0,Cognitively normal\n"
        "OAS30002,OAS30002_UDSb4_d0600,0600,70.0,20,1,4,1.0,AD Dementia\n"
        "OAS30003,OAS30003_UDSb4_d0000,0000,70.0,20,1,4,0.5,Frontotemporal demt. prim\n"
    )
    people.write_text(
        "OASISID,Subject_accession,AgeatEntry,AgeatDeath,GENDER,EDUC,SES,HAND,race,APOE\n"
        "OAS30001,,65.1493,,2,12,3,R,White,23\nOAS30002,,67.2,,1,18,1,R,White,34\n"
    )
    return tmp_path


def test_oasis_3_takes_the_diagnosis_of_the_nearest_visit(oasis_3):
    scans, census = find_scans(oasis_3)
    assert recognise(oasis_3) == "oasis"
    found = {s.scan_id: (s.labels.get("diagnosis"), s.labels.get("diagnosis_days")) for s in scans}
    assert found == {
        "sub-OAS30001_ses-d0129": ("CN", 129),
        "sub-OAS30001_ses-d3132": (None, None),
        "sub-OAS30002_ses-d0653": ("AD", 53),
        "sub-OAS30003_ses-d0010": ("other", 10),
    }
    assert "another T1w of the same visit" in census.dropped[0][1]
    assert scans[0].path.name.endswith("run-01_T1w.nii.gz")


def test_oasis_3_knows_sex_and_age_at_the_scan(oasis_3):
    scan = read_oasis(oasis_3)[0][1]
    assert scan.labels["sex"] == "F"
    assert scan.labels["age"] == pytest.approx(65.1493 + 3132 / 365.25, abs=0.06)


def test_oasis_3_reads_the_older_clinical_table(tmp_path):
    t1w_3(tmp_path, "OAS30001", "0129")
    (tmp_path / "ADRC Clinical Data.csv").write_text(
        "ADRC_ADRCCLINICALDATA ID,Subject,Date,Age,mmse,ageAtEntry,cdr,commun,dx1\n"
        "OAS30001_ClinicalData_d0100,OAS30001,,,28,65.1,0.5,0,AD dem w/depresss\n"
    )
    (scan,), _ = read_oasis(tmp_path)
    assert scan.labels == {
        "age": 65.5,
        "cdr": 0.5,
        "mmse": 28,
        "diagnosis": "AD",
        "diagnosis_days": 29,
    }


def test_oasis_3_downloaded_as_bids_is_read_too(tmp_path):
    folder = tmp_path / "sub-OAS30001" / "ses-d0129" / "anat"
    folder.mkdir(parents=True)
    (folder / "sub-OAS30001_ses-d0129_T1w.nii.gz").write_text("x")
    assert recognise(tmp_path) == "oasis"
    assert [scan.scan_id for scan in read_oasis(tmp_path)[0]] == ["sub-OAS30001_ses-d0129"]


def test_a_folder_without_sessions_is_a_usage_error(tmp_path):
    with refused(UsageError, "no OASIS session"):
        read_oasis(tmp_path)
