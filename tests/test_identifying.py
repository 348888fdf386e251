"""Names, birth dates, addresses and numbers of patients never become labels unless asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from braincase.cohort.cohort import Cohort
from braincase.errors import ParameterError
from braincase.gallery import open_gallery
from braincase.images.volume import write_volume
from braincase.models.embed import encoder_of
from braincase.models.model import load_model
from braincase.sources.find import find_scans
from braincase.sources.identifying import identifying_columns, names_person
from braincase.sources.rows import column_name
from braincase.workflows.index_cohort import index_cohort

PEOPLE = [f"p{i}" for i in range(8)]
NAMED_BY_HEADER = (
    *("Name", "Patient Name", "First name", "LastName", "surname", "Nachname", "Prénom", "name_2"),
    *("DOB", "Date of Birth", "birth_date", "BirthDate", "Geburtsdatum", "patient_dob"),
    *("Address", "Home address", "street", "ZIP", "zip code", "Postcode", "E-Mail", "PLZ"),
    *("Phone", "telephone number", "Fax", "cell phone", "Telefon", "MRN", "Hospital No."),
    *("Patient number", "SSN", "NHS number", "Accession Number", "insurance number"),
    *("氏名", "患者氏名", "フリガナ", "ﾌﾘｶﾞﾅ", "生年月日", "住所", "郵便番号", "電話番号", "携帯"),
    *("カルテ番号", "診察券番号", "マイナンバー", "保険証番号", "メールアドレス", "姓", "名前"),
)
HARMLESS_HEADERS = (
    *("scanner_name", "site_name", "protocol name", "Sequence Name", "series_name", "study_name"),
    *("birth_weight", "birth_order", "year_of_birth", "mobility", "faximile_score", "telomere"),
    *("zipf", "addressed", "street_view_score", "number_of_sessions", "record", "recording"),
    *("naming_test", "phonemic_fluency", "chart", "hospital", "site", "mmse", "cell_count"),
    *(
        "施設名",
        "装置名",
        "病名",
        "薬剤名",
        "検査日",
        "年齢",
        "教育年数",
        "電極数",
        "世帯数",
    ),
)


def why(values: list[object], header: str = "x", ages: list[float] | None = None) -> str | None:
    """What a column is taken for."""
    name = column_name(header)
    rows = [{name: value} for value in values]
    if ages:
        rows = [{**row, "age": age} for row, age in zip(rows, ages, strict=True)]
    return identifying_columns(rows, PEOPLE[: len(rows)]).get(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("header", NAMED_BY_HEADER)
def test_a_column_is_known_by_its_name(header: str) -> None:
    assert why(["x", "y"], header)


@pytest.mark.parametrize("header", HARMLESS_HEADERS)
def test_a_column_of_a_similar_name_stays(header: str) -> None:
    assert why([1.5, 2], header) is None


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        (["1950-01-31", "1961-12-02"], "a birth date"),
        (["31.01.1950", "02.12.1961"], "a birth date"),
        (["01/31/1950", "12/02/1961"], "a birth date"),
        ([19500131, 19611202], "a birth date"),
        (["1950年1月31日", "昭和30年5月1日"], "a birth date"),
        (["S30.5.1", "S40/12/3"], "a birth date"),
        (["3 May 1950", "12 Dec 1961"], "a birth date"),
        (["090-1234-5678", "03-1234-5678"], "a phone number"),
        (["+49 30 1234567", "(0221) 123 4567"], "a phone number"),
        (["東京都文京区本郷7-3-1", "大阪府吹田市山田丘1-1"], "an address"),
        (["〒113-8654 東京都文京区", "京都府京都市左京区"], "an address"),
        (["12 Baker Street, London", "4 Mill Lane"], "an address"),
        (["Hauptstraße 12, Bonn", "Bahnhofstr. 3"], "an address"),
        (["a.b@example.org", "c@example.com"], "an address"),
        (["MUELLER^HANS", "DOE^JANE^M"], "a name"),
        (["山田^太郎", "鈴木^花子"], "a name"),
        (["Hans Müller", "Jane Doe", "Ann-Marie Lee", "John Q. Public", "Mary O'Neil"], "a name"),
        (["Müller, Hans", "Doe, Jane", "Lee, Ann", "Public, John", "Neil, Mary"], "a name"),
        (["山田 太郎", "鈴木 花子", "佐藤　次郎", "高橋 恵", "伊藤 美咲"], "a name"),
    ],
)
def test_a_column_is_known_by_its_cells(cells: list[object], what: str) -> None:
    assert why(cells) == what


@pytest.mark.parametrize(
    "cells",
    [
        [1450000, 1520321, 1388120],  # volumes in mm3
        ["2019-05-03", "2020-11-30"],  # days of scans
        [20190503, 20201130],
        ["Siemens Prisma", "Siemens Prisma", "Philips Achieva", "GE Signa", "Siemens Prisma"],
        ["Alzheimer Disease", "Mild Impairment", "Alzheimer Disease", "No Disease", "No Disease"],
        ["002_S_0295", "003_S_1122"],
        ["1.2", "3-4", "n 5"],
        [0.123456789, 0.987654321],
        ["3/4", "3/3"],
    ],
)
def test_other_columns_stay(cells: list[object]) -> None:
    assert why(cells) is None


def test_the_age_tells_birth_dates_of_children_from_days_of_scans() -> None:
    assert why(["2012-05-03", "2013-07-09"], ages=[8, 7]) == "a birth date"
    assert why(["2019-05-03", "2020-11-30"], ages=[71, 66]) is None
    assert why(["2012-05-03", "2013-07-09"], "scan_date", [8, 7]) is None


def test_hashes_of_earlier_versions_are_left_out() -> None:
    assert why(["0123456789ab", "ba9876543210"], "series")
    assert why(["t1_mprage", "t1_space"], "series") is None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Mueller_Hans_19500101.nii.gz",
            "19500101-doe-jane.nii",
            "MUELLER^HANS",
            "Doe Jane 1950-01-01",
        ),
        *("山田太郎_19500101.nii.gz", "Müller, Jürgen 1950.01.01.mgz"),
    ],
)
def test_names_of_files_that_name_a_person(name: str) -> None:
    assert names_person(name)


@pytest.mark.parametrize(
    "name",
    [
        *("sub-01_ses-20190503_T1w.nii.gz", "t1_mprage_sag_20190503.nii", "IXI012-HH-1211-T1.nii"),
        "ADNI_002_S_0295_MR_MP-RAGE__br_raw_20060418193713091_1_S13408_I13722.nii",
        *("OAS1_0001_MR1_mpr_n4_anon_111_t88_gfc.img", "scan_final_20201103.nii", "20190503"),
    ],
)
def test_other_names_of_files(name: str) -> None:
    assert not names_person(name)


@pytest.fixture
def clinic_table(tmp_path: Path) -> Path:
    """Two images, one named like a person, and a table with all that must not be there."""

    rng = np.random.default_rng(0)
    for name in ("Mueller_Hans_19500101.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, rng.random((8, 8, 8), np.float32), np.eye(4))
    (tmp_path / "t.csv").write_text(
        "path,subject,age,diagnosis,Patient Name,生年月日,MRN,mmse\n"
        "Mueller_Hans_19500101.nii.gz,s1,70,AD,Hans M.,1950-01-01,4711,20\n"
        "b.nii.gz,s2,66,CN,Jane D.,1954-02-03,4712,29\n"
    )
    return tmp_path / "t.csv"


def test_a_source_keeps_them_out_and_says_so(clinic_table: Path) -> None:
    scans, census = find_scans(clinic_table)
    assert [set(scan.labels) for scan in scans] == [{"age", "diagnosis", "mmse"}] * 2
    notes = "\n".join(census.notes)
    assert "patient_name (a name), 生年月日 (a birth date), mrn (a number of a patient)" in notes
    assert "--keep-column" in notes
    assert "1 scan lies in a file or folder named like a person" in notes
    assert "4711" not in str(census.to_json())


def test_a_column_is_kept_by_name(clinic_table: Path) -> None:
    scans, census = find_scans(clinic_table, keep_columns=["MRN", "生年月日"])
    assert {scan.labels["mrn"] for scan in scans} == {4711, 4712}
    assert all("patient_name" not in scan.labels for scan in scans)
    assert "mrn" not in "".join(census.notes)
    with pytest.raises(ParameterError, match="one of age"):
        find_scans(clinic_table, keep_columns=["mrm"])


def test_indexing_leaves_them_out_of_the_gallery(
    tiny: Cohort, web_model: Path, tmp_path: Path
) -> None:
    table = tiny.table.assign(dob="1950-01-01", mmse=20.0)
    cohort = replace(tiny, table=table)
    encoder = encoder_of(load_model(web_model))
    rows = np.arange(3)
    done = index_cohort(tmp_path / "g", cohort, encoder, rows=rows)
    assert "dob (a birth date)" in "\n".join(done.lines())
    assert open_gallery(tmp_path / "g").info().columns.count("mmse") == 1
    assert "dob" not in open_gallery(tmp_path / "g").info().columns
    done = index_cohort(tmp_path / "g", cohort, encoder, rows=rows, keep_columns=["dob"])
    assert (done.updated, done.left_out) == (3, ())
    assert "dob" in open_gallery(tmp_path / "g").info().columns
    with pytest.raises(ParameterError, match="'x'"):
        index_cohort(tmp_path / "g", cohort, encoder, keep_columns=["x"])
