"""Synthetic downloads laid out exactly as LONI's archive lays them out."""

from __future__ import annotations

import pytest

from braincase.cohort.packing import IDENTITY_COLUMNS
from braincase.errors import UsageError
from braincase.sources.adni import read_adni
from braincase.sources.find import find_scans, recognise
from refusals import refused

N3 = "MPR__GradWarp__B1_Correction__N3__Scaled"
SEARCH = "Image Data ID,Subject,Group,Sex,Age,Visit,Modality,Description,Type,Acq Date,Format"
MERGE = (
    "RID,COLPROT,ORIGPROT,PTID,SITE,VISCODE,EXAMDATE,DX_bl,AGE,PTGENDER,PTEDUCAT,APOE4,MMSE,DX,"
    "Month"
)


def nifti(root, person, series, date, number, leaf=None):
    """Put one image where LONI puts it: SUBJECT/SERIES/DATE/IMAGE/ADNI_..._I123.nii."""
    folder = root / "ADNI" / person / series / f"{date}_08_20_30.0" / (leaf or f"S1{number}")
    folder.mkdir(parents=True, exist_ok=True)
    name = f"ADNI_{person}_MR_{series}_Br_20070319113623975_S1{number}_I{number}.nii"
    (folder / name).write_text(name)
    return folder / name


def dicom(root, person, series, date, number, slices=3):
    folder = root / "ADNI" / person / series / f"{date}_08_20_30.0" / f"I{number}"
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(slices):
        name = f"ADNI_{person}_MR_{series}__br_raw_2019091616534533{k}_{k}_S873488_I{number}.dcm"
        (folder / name).write_text(name)
    return folder


def csv(path, header, *rows):
    path.write_text(
        "\n".join([header, *(",".join(f'"{c}"' for c in row.split(",")) for row in rows)])
    )


@pytest.fixture
def converter(tmp_path):
    """One who enrolled with LMCI in 2010, had dementia diagnosed in 2012, and was scanned often."""
    for number, date in enumerate(["2010-03-01", "2011-03-05", "2012-03-09", "2014-09-20"]):
        nifti(tmp_path, "002_S_0295", N3, date, 100 + number)
    row = "295,ADNI1,ADNI1,002_S_0295,2,{},{},LMCI,72.5,Female,16,1,27,{},{}"
    csv(
        tmp_path / "ADNIMERGE_01Jan2020.csv",
        MERGE,
        row.format("bl", "2010-03-10", "MCI", 0),
        row.format("m06", "2010-09-10", "", 6),
        row.format("m12", "2011-03-01", "MCI", 12),
        row.format("m24", "2012-03-10", "MCI to Dementia", 24),
    )
    return tmp_path


def diagnoses(folder):
    return [scan.labels.get("diagnosis") for scan in read_adni(folder)[0]]


def test_the_diagnosis_is_that_of_the_visit(converter):
    assert diagnoses(converter) == ["LMCI", "LMCI", "AD", None]
    scans, census = read_adni(converter)
    assert [scan.labels["group"] for scan in scans] == ["LMCI"] * 4
    assert [scan.labels.get("diagnosis_days") for scan in scans] == [-9, 4, -1, None]
    assert census.labels == {"AD": 1, "LMCI": 2, "no label": 1}
    assert "1 scans have no exam with a diagnosis within 183 days" in census.notes


def test_subject_session_age_and_covariates(converter):
    scan = read_adni(converter)[0][1]
    assert scan.scan_id == "sub-002S0295_ses-20110305"
    assert scan.labels["age"] == pytest.approx(72.5 + 360 / 365.25, abs=0.05)
    assert (scan.labels["sex"], scan.labels["visit"], scan.labels["image_id"]) == (
        "F",
        "m12",
        "I101",
    )
    assert (scan.labels["education"], scan.labels["mmse"], scan.labels["site"]) == (16, 27, 2)
    assert not {*scan.labels} & {*IDENTITY_COLUMNS}  # or no ADNI scan could be prepared


@pytest.mark.parametrize(
    ("dx", "dx_bl", "label"),
    [
        ("Dementia", "AD", "AD"),
        ("Dementia", "CN", "AD"),
        ("MCI", "LMCI", "LMCI"),
        ("MCI", "EMCI", "EMCI"),
        ("MCI", "AD", "MCI"),
        ("MCI", "CN", "MCI"),
        ("CN", "SMC", "SMC"),
        ("CN", "LMCI", "CN"),
        ("NL", "CN", "CN"),
        ("NL to MCI", "CN", "MCI"),
        ("Dementia to MCI", "LMCI", "LMCI"),
        ("MCI to NL", "EMCI", "CN"),
        ("", "AD", None),
    ],
)
def test_every_diagnosis_of_adnimerge(tmp_path, dx, dx_bl, label):
    nifti(tmp_path, "002_S_0295", N3, "2010-03-01", 1)
    row = f"295,ADNI1,ADNI1,002_S_0295,2,bl,2010-03-01,{dx_bl},72.5,Male,16,1,27,{dx},0"
    csv(tmp_path / "ADNIMERGE.csv", MERGE, row)
    assert diagnoses(tmp_path) == [label]


def test_the_search_csv_alone_gives_the_group_at_enrolment_visits_only(tmp_path):
    visits = {
        "ADNI Screening": "AD",
        "ADNI2 Screening MRI-New Pt": "AD",
        "sc": "AD",
        "ADNI1/GO Month 12": None,
        "ADNI2 Initial Visit-Cont Pt": None,
        "m06": None,
    }
    rows = []
    for number, visit in enumerate(visits):
        nifti(tmp_path, f"002_S_{number:04d}", N3, "2010-03-01", number + 10)
        person = f"002_S_{number:04d}"
        rows.append(f"I{number + 10},{person},AD,M,75,{visit},MRI,{N3},Processed,3/01/2010,NiFTI")
    csv(tmp_path / "ADNI1_Complete_3_01_2020.csv", SEARCH, *rows)
    assert diagnoses(tmp_path) == list(visits.values())
    scans, census = read_adni(tmp_path)
    assert {scan.labels["age"] for scan in scans} == {75}
    assert "3 scans are of later visits" in census.notes[0]


def test_lmci_in_the_search_csv_stays_lmci(tmp_path):
    nifti(tmp_path, "002_S_0295", N3, "2010-03-01", 1)
    row = f"I1,002_S_0295,LMCI,M,75,ADNI Baseline,MRI,{N3},Processed,3/01/2010,NiFTI"
    csv(tmp_path / "search.csv", SEARCH, row)
    assert diagnoses(tmp_path) == ["LMCI"]


def test_dxsum_gives_the_diagnosis_by_its_codes(tmp_path):
    for number, date in enumerate(["2012-03-01", "2013-03-01", "2014-03-01"]):
        nifti(tmp_path, "002_S_0295", N3, date, 100 + number)
    rows = [f"ADNI2,002_S_0295,295,v0{n},2{n},201{n + 1}-03-02,{n}.0" for n in (1, 2, 3)]
    csv(tmp_path / "DXSUM.csv", "PHASE,PTID,RID,VISCODE,VISCODE2,EXAMDATE,DIAGNOSIS", *rows)
    assert diagnoses(tmp_path) == ["CN", "MCI", "AD"]


def test_a_dicom_stack_is_one_scan_and_its_folder_the_path(tmp_path):
    folder = dicom(tmp_path, "135_S_6545", "Accelerated_Sagittal_MPRAGE", "2019-09-13", 1226543)
    (scan,), _ = read_adni(tmp_path)
    assert scan.path == folder
    assert scan.labels["image_id"] == "I1226543"


def test_two_images_in_one_folder_of_slices_are_dropped(tmp_path):
    folder = dicom(tmp_path, "135_S_6545", "MPRAGE", "2019-09-13", 5)
    (folder / "ADNI_135_S_6545_MR_MPRAGE_br_raw_20190916_1_S1_I6.dcm").write_text("x")
    scans, census = read_adni(tmp_path)
    assert not scans
    assert census.dropped[0][1] == "slices of 2 images in one folder"


def test_other_series_are_dropped_and_a_repeat_comes_second(tmp_path):
    person, date = "002_S_0295", "2010-03-01"
    best = nifti(tmp_path, person, N3, date, 9)
    for number, series in enumerate(
        ["MPR-R__GradWarp__B1_Correction__N3__Scaled", "MPR__GradWarp", "Axial_T2-FSE", "B1_Calib"]
    ):
        nifti(tmp_path, person, series, date, number + 1)
    nifti(tmp_path, person, "HarP_135_final_release_2015", date, 7)
    scans, census = read_adni(tmp_path)
    assert [scan.path for scan in scans] == [best]
    reasons = [why for _, why in census.dropped]
    assert sum("no T1w by its series" in why for why in reasons) == 3
    assert sum("another T1w of the same visit" in why for why in reasons) == 2


def test_loose_files_take_their_date_from_the_search_csv(tmp_path):
    name = f"ADNI_002_S_0413_MR_{N3}_Br_20081015122825655_S54591_I120917.nii"
    (tmp_path / name).write_text("x")
    assert recognise(tmp_path) == "adni"
    scans, census = read_adni(tmp_path)
    assert not scans
    assert "put the search CSV beside the images" in census.dropped[0][1]
    row = f"I120917,002_S_0413,CN,F,78,ADNI Baseline,MRI,{N3},Processed,7/31/2008,NiFTI"
    csv(tmp_path / "search.csv", SEARCH, row)
    (scan,), _ = read_adni(tmp_path)
    assert (scan.scan_id, scan.labels["diagnosis"]) == ("sub-002S0413_ses-20080731", "CN")


def test_a_search_csv_of_another_person_is_a_contradiction(tmp_path):
    nifti(tmp_path, "002_S_0295", N3, "2010-03-01", 1)
    row = f"I1,002_S_9999,CN,M,75,ADNI Baseline,MRI,{N3},Processed,3/01/2010,NiFTI"
    csv(tmp_path / "search.csv", SEARCH, row)
    scans, census = read_adni(tmp_path)
    assert not scans
    assert "gives image 1 to 002_S_9999" in census.dropped[0][1]


def test_the_folder_or_the_one_around_it_is_recognised(converter):
    around, inside = find_scans(converter), find_scans(converter / "ADNI")
    assert [scan.labels for scan in around[0]] == [scan.labels for scan in inside[0]]
    assert len(around[0]) == 4


def test_a_folder_without_adni_images_is_a_usage_error(tmp_path):
    with refused(UsageError, "no ADNI image"):
        read_adni(tmp_path)
