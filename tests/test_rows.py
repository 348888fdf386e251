from __future__ import annotations

from datetime import date

import pytest

from braincase.cohort.derivatives import write_dataset
from braincase.errors import UsageError
from braincase.labels import read_cell, safe_cell
from braincase.sources.rows import clean_subjects, labels_of, read_header, read_table_file, value_of
from braincase.sources.scan import Scan
from braincase.sources.visits import AMERICAN, nearest
from braincase.web.catalogue import tsv
from refusals import refused


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("0", 0),
        ("007", "007"),
        ("1_000", "1_000"),
        ("inf", "inf"),
        ("n/a", None),
        ("NaN", None),
        ("  ", None),
        ("CN", "CN"),
    ],
)
def test_cells_become_numbers_only_where_they_are_numbers(text, value):
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


@pytest.mark.parametrize(
    "content",
    [
        b"Path,M/F\na.nii,F\n",
        b"path;m/f\r\na.nii;F\r\n",
        "\ufeffPath,M/F\na.nii,F\n\n,\n".encode(),
        b'"Path","M/F"\n"a.nii","F"\n',
        b"Path\tM/F\na.nii\tF\n",
    ],
)
def test_tables_are_read_however_they_were_saved(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    assert read_table_file(tmp_path / "t.csv").rows == ({"path": "a.nii", "m_f": "F"},)


def test_a_table_in_windows_letters_is_read(tmp_path):
    (tmp_path / "t.csv").write_bytes("site\nZürich\n".encode("cp1252"))
    assert read_table_file(tmp_path / "t.csv").rows == ({"site": "Zürich"},)


def test_an_empty_table_is_a_usage_error(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"")
    with refused(UsageError, "empty table"):
        read_table_file(tmp_path / "t.csv")


def test_binary_files_have_no_columns_that_matter(tmp_path):
    (tmp_path / "t.csv").write_bytes(bytes(range(256)) * 40)
    assert "path" not in read_header(tmp_path / "t.csv")


def test_labels_unify_sex_and_leave_out_empty_cells():
    row = {"gender": "female", "age": "71", "bdi": "n/a", "id": "x"}
    assert labels_of(row, ["id"]) == {"sex": "F", "age": 71}


def test_two_people_never_become_one():
    assert clean_subjects(["a_1", "b-2"], "t") == {"a_1": "a1", "b-2": "b2"}
    with refused(UsageError, "'a_1' and 'a1'"):
        clean_subjects(["a_1", "a1"], "t")
    with refused(UsageError, "a subject named '__'"):
        clean_subjects(["__"], "t")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2006-04-18", date(2006, 4, 18)),
        ("2006-04-18 00:00:00.0", date(2006, 4, 18)),
        ("20060418", date(2006, 4, 18)),
        ("4/18/2006", date(2006, 4, 18)),
        ("4/18/06", date(2006, 4, 18)),
        ("18.4.2006", date(2006, 4, 18)),
        ("2006-02-31", None),
        ("", None),
    ],
)
def test_dates(text, day):
    assert AMERICAN.parse(text) == day


def test_the_nearest_visit_counts_within_the_window_only():
    rows = [{"d": "2010-01-01"}, {"d": "2010-06-01"}, {"d": ""}]
    assert nearest(rows, "d", date(2010, 5, 1), 100) == (rows[1], -31)
    assert nearest(rows, "d", date(2010, 3, 17), 20) == (None, 0)
    assert nearest([{"d": "100"}, {"d": "0"}], "d", 40, 60) == ({"d": "0"}, 40)


FORMULAS = ["=cmd|' /C calc'!A0", "+1+2", "-1+2", "@SUM(A1)", "'=1", "''-5", "'-5", "-inf", "=1"]


@pytest.mark.parametrize("text", [*FORMULAS, "\t=1", "\r=1", "CN", "'CN", "-5", "-5.25", "+3", ""])
def test_a_cell_that_a_spreadsheet_would_run_is_made_text_and_read_back(text):
    cell = safe_cell(text)
    assert read_cell(cell) == text
    assert (cell == text) == (text in ("CN", "'CN", "-5", "-5.25", "+3", ""))


@pytest.mark.parametrize("text", FORMULAS)
def test_every_table_that_is_written_makes_formulas_text(tmp_path, text):
    table = tmp_path / "participants.tsv"
    write_dataset(tmp_path, [Scan(tmp_path, "a", None, {"remark": text, "change": -5.5})])
    lines = table.read_text().splitlines()
    assert lines[1].split("\t")[1] == safe_cell(text)
    assert read_table_file(table).rows[0]["change"] == "-5.5"
    assert labels_of(read_table_file(table).rows[0])["remark"] == text
    assert tsv([["a"], [text]]).splitlines()[1] == safe_cell(text)
