from __future__ import annotations

import pytest

from braincase.errors import UsageError
from braincase.sources.table import read_table
from refusals import refused


@pytest.fixture
def write(tmp_path):
    for name in ("a.nii", "b.nii", "c.nii"):
        (tmp_path / name).write_text(name)

    def write(text):
        (tmp_path / "scans.csv").write_text(text)
        return tmp_path / "scans.csv"

    return write


def test_a_table_names_scans_and_labels(write, tmp_path):
    path = write("path,subject,session,label,age,site\na.nii,s_1,v 1,AD,71.5,Kyoto\n")
    (scan,), census = read_table(path)
    assert scan.path == tmp_path / "a.nii"
    assert (scan.subject, scan.session) == ("s1", "v1")
    assert scan.labels == {"diagnosis": "AD", "age": 71.5, "site": "Kyoto"}
    assert census.labels == {"AD": 1}


def test_other_column_names_are_known(write):
    path = write("participant_id,visit,filename,gender\n007,bl,a.nii,female\n")
    (scan,), _ = read_table(path)
    assert (scan.scan_id, scan.labels) == ("sub-007_ses-bl", {"sex": "F"})


def test_rows_that_cannot_be_used_are_dropped_by_line(write):
    path = write("path,subject\na.nii,1\nb.nii,1\nmissing.nii,2\n,3\nc.nii,\n")
    scans, census = read_table(path)
    assert [scan.scan_id for scan in scans] == ["sub-1"]
    assert [why for _, why in census.dropped] == [
        "sub-1 stands there twice; tell visits apart by a session column",
        "no such file: missing.nii",
        "no path",
        "no subject",
    ]
    assert census.dropped[0][0].endswith("scans.csv line 3")


@pytest.mark.parametrize(
    ("text", "column"), [("path\na.nii\n", "subject"), ("subject\n1\n", "path")]
)
def test_a_missing_column_is_a_usage_error(write, text, column):
    with refused(UsageError, f"no {column} column"):
        read_table(write(text))


def test_a_header_without_rows_is_a_usage_error(write):
    with refused(UsageError, "a table without rows"):
        read_table(write("path,subject\n"))


def test_a_contradiction_and_a_repeated_image_are_in_the_census(write, tmp_path):
    (tmp_path / "b.nii").write_text("a.nii")
    path = write("path,subject,session,sex\na.nii,1,1,F\nb.nii,1,2,M\n")
    census = read_table(path)[1]
    assert census.conflicts == ("sub-1: sex is F and M",)
    assert census.duplicates == (("sub-1_ses-1", "sub-1_ses-2"),)
