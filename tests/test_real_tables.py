"""Tables as people have them: encodings, separators, quotes, numbers, ages, sexes, dates, names."""

from __future__ import annotations

from datetime import date

import openpyxl
import pytest

from braincase.errors import UsageError
from braincase.sources.adni import read_adni
from braincase.sources.cells import age_of, identifiers, sexes, with_points
from braincase.sources.dates import DateColumn, date_column
from braincase.sources.encoding import decode
from braincase.sources.find import find_scans
from braincase.sources.rows import label_rows, read_table_file
from braincase.sources.sheets import read_sheets
from braincase.sources.table import read_table
from refusals import refused
from source_files import bids, image, ods, text, xls

JAPANESE = "path,subject,診断\ns1.nii,A1,健常\ns2.nii,A2,認知症\n"


@pytest.fixture
def people(tmp_path):
    for k in range(4):
        image(tmp_path / f"s{k + 1}.nii", k)

    def write(content, encoding="utf-8", name="people.csv"):
        return text(tmp_path / name, content, encoding)

    return write


def labels(path):
    return {scan.scan_id: dict(scan.labels) for scan in read_table(path)[0]}


# ---- encodings ----


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp932", "euc_jp"],
)
def test_a_japanese_table_is_read_in_every_encoding(people, encoding):
    assert labels(people(JAPANESE, encoding)) == {
        "sub-A1": {"diagnosis": "健常"},
        "sub-A2": {"diagnosis": "認知症"},
    }


def test_an_encoding_that_had_to_be_found_out_is_told(people):
    assert any("cp932" in note for note in read_table(people(JAPANESE, "cp932"))[1].notes)
    assert not read_table(people(JAPANESE, "utf-16"))[1].notes


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("id;Größe;Geschlecht\nA1;170;männlich\n", "cp1252"),
        ("id;Größe;Geschlecht\nA1;170;männlich\n", "mac_roman"),
        ("ид,возраст,пол\nA1,60,мужской\n", "cp1251"),
        ("id,płeć,wiek\nA1,mężczyzna,60\n", "cp1250"),
        ("编号,年龄,性别,诊断\nA1,60,男,正常\n", "gb18030"),
        ("번호,나이,성별\nA1,60,남성\n", "cp949"),
        ("被験者,年齢\nA1,60\n", "iso2022_jp"),
    ],
)
def test_old_encodings(content, encoding):
    assert decode(content.encode(encoding))[0] == content


# ---- headers ----


def test_headers_of_other_languages_are_known_and_all_others_keep_their_letters(people):
    path = people("path;subject;Alter;Geschlecht;Diagnose;Größe;備考\ns1.nii;A1;60;m;AD;170;良\n")
    assert labels(path)["sub-A1"] == {
        "age": 60,
        "sex": "M",
        "diagnosis": "AD",
        "größe": 170,
        "備考": "良",
    }


def test_the_label_may_be_named_as_its_header_is(people):
    census = read_table(people("path,subject,診断,病期\ns1.nii,A1,AD,初期\n"), "病期")[1]
    assert census.labels == {"初期": 1}
    assert read_table(people("path,subject,診断\ns1.nii,A1,AD\n"), "診断")[1].labels == {"AD": 1}


def test_equal_headers_are_joined_where_they_agree_and_told_where_not(tmp_path):
    path = text(tmp_path / "t.csv", "id,Age,age_years,MMSE,mmse\n1,60,,27,29\n2,,71,20,20\n")
    read = label_rows(read_table_file(path), ["id"])
    assert [row["age"] for row in read.rows] == [60, 71]
    assert [(row["mmse"], row["mmse_2"]) for row in read.rows] == [(27, 29), (20, 20)]
    assert any("contradicts another column mmse" in note for note in read.notes)


def test_a_column_without_a_header_is_kept_and_told(tmp_path):
    table = read_table_file(text(tmp_path / "t.csv", "id,,age\n1,x,60\n"))
    assert table.rows[0]["column_2"] == "x"
    assert "no header" in table.notes[0]


@pytest.mark.parametrize("name", ["session", "scan_id", "image", "image_hash", "subject"])
def test_columns_of_our_own_names_stop_nobody(tmp_path, name):
    for person in ("01", "02"):
        bids(tmp_path, f"sub-{person}_T1w.nii.gz")
    text(
        tmp_path / "participants.tsv",
        f"participant_id\t{name}\tdiagnosis\nsub-01\tx\tCN\nsub-02\ty\tAD\n",
    )
    scans, census = find_scans(tmp_path)
    assert [scan.labels["diagnosis"] for scan in scans] == ["CN", "AD"]
    assert not {name} & {key for scan in scans for key in scan.labels}
    assert any(name in line for line in (*census.notes, *census.tables))


# ---- separators and quotes ----


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(people, separator):
    content = "path,subject,diagnosis\ns1.nii,A1,AD\n".replace(",", separator)
    assert labels(people(content)) == {"sub-A1": {"diagnosis": "AD"}}
    assert labels(people("sep=;\n" + "path;subject;diagnosis\ns1.nii;A1;AD\n")) == {
        "sub-A1": {"diagnosis": "AD"}
    }


def test_a_quote_is_a_letter_in_a_tsv(tmp_path):
    path = text(tmp_path / "t.tsv", 'id\tnote\n1\t"moved a lot\n2\t"quoted"\n3\t5" tall\n')
    assert [row["note"] for row in read_table_file(path).rows] == [
        '"moved a lot',
        "quoted",
        '5" tall',
    ]


def test_a_quoted_tsv_with_tabs_and_lines_in_cells_is_read(tmp_path):
    path = text(tmp_path / "t.tsv", 'id\tnote\n1\t"a\tb"\n2\t"c\nd"\n')
    assert [row["note"] for row in read_table_file(path).rows] == ["a\tb", "c\nd"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('path,subject,note\ns1.nii,A1,fine\ns2.nii,A2,"moved\ns3.nii,A3,ok\n', 3),
        ('path,subject,note\ns1.nii,A1,"moved\ns2.nii,A2,"too"\ns3.nii,A3,ok\n', 2),
        ('path;subject;note\ns1.nii;A1;ok\ns2.nii;A2;"moved', 3),
    ],
)
def test_an_open_quote_in_a_csv_is_an_error_with_its_line(people, content, line):
    with refused(UsageError, f"line {line}: a quote that is never closed"):
        read_table(people(content))


def test_quoted_cells_with_separators_and_lines_are_whole(people):
    path = people('path,subject,note\ns1.nii,A1,"a, ""b"" and\nc"\ns2.nii,A2,5" tall\n')
    assert [row["note"] for row in read_table_file(path).rows] == ['a, "b" and\nc', '5" tall']


def test_a_title_above_the_header_is_passed_over(people):
    path = people("Study of heads\n\npath,subject,age\ns1.nii,A1,60\n")
    assert labels(path) == {"sub-A1": {"age": 60}}
    assert any("above the header" in note for note in read_table(path)[1].notes)


# ---- spreadsheets ----


def workbook(path, *sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_workbook_is_a_table_its_numbers_and_dates_kept(people, tmp_path):
    rows = [["path", "subject", "age", "scan date"], ["s1.nii", 7, 65.5, date(2020, 2, 1)]]
    path = workbook(tmp_path / "people.xlsx", ("Readme", [["see the next"]]), ("People", rows))
    people("")
    scans, census = find_scans(path)
    assert {s.scan_id: dict(s.labels) for s in scans} == {
        "sub-7": {"age": 65.5, "scan_date": "2020-02-01"}
    }
    assert any("only sheet People is read, not sheet Readme" in note for note in census.notes)


@pytest.mark.parametrize("stray", [" ", "see there"])
def test_a_cell_far_out_in_a_workbook_does_not_fill_all_cells_before_it(people, tmp_path, stray):
    path = workbook(tmp_path / "p.xlsx", ("S", [["path", "subject"], ["s1.nii", "A1"]]))
    book = openpyxl.load_workbook(path)
    book.active["XFD1048576"] = stray
    book.save(path)
    (sheet,) = read_sheets(path)
    assert sheet.lines == ((1, 2) if stray == " " else (1, 2, 1048576))
    assert [row[:3] for row in sheet.cells[:2]] == (
        [("path", "subject"), ("s1.nii", "A1")]
        if stray == " "
        else [("path", "subject", ""), ("s1.nii", "A1", "")]
    )


def test_a_workbook_of_more_cells_than_a_table_has_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("braincase.sources.sheets.MAX_CELLS", 1000)
    rows = [["path", "subject"], *([None] * 90 + ["x"] for _ in range(12))]
    path = workbook(tmp_path / "p.xlsx", ("S", rows))
    with pytest.raises(UsageError, match=r"p\.xlsx: more than 1,000 cells in the sheet 'S'"):
        read_sheets(path)


def test_zeros_that_a_workbook_only_shows_are_read(people, tmp_path):
    path = workbook(tmp_path / "p.xlsx", ("S", [["path", "subject"], ["s1.nii", 7]]))
    book = openpyxl.load_workbook(path)
    book.active["B2"].number_format = "000"
    book.save(path)
    people("")
    assert list(labels(path)) == ["sub-007"]


def test_a_spreadsheet_of_another_kind_says_what_to_do(people):
    path = people("x", name="people.sav")
    with refused(UsageError, r"a \.sav table"):
        find_scans(path)


@pytest.mark.parametrize("write", [ods, xls])
def test_workbooks_of_other_programs_are_read(tmp_path, write):
    image(tmp_path / "a.nii")
    image(tmp_path / "b.nii", 1)
    rows = [
        ["path", "subject", "Alter", "性別"],
        ["a.nii", 1.0, 60.5, "男"],
        ["b.nii", 10.0, 71, "女"],
    ]
    scans, _ = find_scans(write(tmp_path / f"people.{write.__name__}", rows))
    assert [(s.subject, s.labels) for s in scans] == [
        ("1", {"age": 60.5, "sex": "M"}),
        ("10", {"age": 71, "sex": "F"}),
    ]


@pytest.mark.parametrize("ending", ["xls", "ods", "xlsb"])
def test_a_broken_workbook_is_told_in_one_line(tmp_path, ending):
    path = text(tmp_path / f"people.{ending}", "no workbook")
    with refused(UsageError, "no readable workbook"):
        find_scans(path)


def test_participants_as_a_workbook_are_read_and_told(tmp_path):
    bids(tmp_path, "sub-01_T1w.nii.gz")
    rows = [["participant_id", "age"], ["01", 60]]
    workbook(tmp_path / "participants.xlsx", ("S", rows))
    scans, census = find_scans(tmp_path)
    assert scans[0].labels == {"age": 60}
    assert any("participants.xlsx is read" in note for note in census.notes)


# ---- numbers ----


@pytest.mark.parametrize(
    ("cells", "semicolons", "read"),
    [
        (["65,3", "70,5", "71"], True, ["65.3", "70.5", "71"]),
        (["65,3", "70.5"], False, ["65.3", "70.5"]),
        (["1.234,5", "2,0"], True, ["1234.5", "2.0"]),
        (["1,234", "2,345"], False, ["1,234", "2,345"]),
        (["1,234,567", "12"], False, ["1234567", "12"]),
        (["0,125", "0,250"], True, ["0.125", "0.250"]),
        (["a,b", "c,d", "1,2"], False, ["a,b", "c,d", "1,2"]),
    ],
)
def test_decimal_commas_by_the_whole_column(cells, semicolons, read):
    assert with_points(cells, semicolons)[0] == read


def test_odd_cells_of_a_column_of_numbers_are_missing_and_told(people):
    cells = ["27", "28.5", "29", "30", "26", "25", "not done", "ca. 27"]
    rows = "".join(f"s1.nii,A{i},{cell}\n" for i, cell in enumerate(cells))
    scans, census = read_table(people("path,subject,mmse\n" + rows))
    assert [s.labels.get("mmse") for s in scans] == [27, 28.5, 29, 30, 26, 25, None, None]
    assert any("'ca. 27'" in note for note in census.notes)


def test_codes_among_numbers_stay_text_and_are_told(people):
    rows = "".join(f"s1.nii,A{i},{cell}\n" for i, cell in enumerate(["1", "2", "A", "1"]))
    scans, census = read_table(people("path,subject,ward\n" + rows))
    assert [s.labels["ward"] for s in scans] == [1, 2, "A", 1]
    assert any("taken as text" in note for note in census.notes)


# ---- ages and sexes ----


@pytest.mark.parametrize(
    ("written", "age"),
    [
        ("89+", 90),
        ("90+", 90),
        (">89", 90),
        ("> 89", 90),
        ("≥90", 90),
        ("85+", 85),
        ("072Y", 72),
        ("45Y", 45),
        ("45 yrs", 45),
        ("65歳", 65),
        ("65 Jahre", 65),
        ("65,3", 65.3),
        ("780 months", 65),
        ("018M", 1.5),
        ("６５", 65),
        ("60-65", None),
        ("-9", None),
        ("999", None),
        ("old", None),
    ],
)
def test_ages_as_people_write_them(written, age):
    assert age_of(written)[0] == age


def test_a_capped_age_is_told_and_the_column_stays_one_of_numbers(people):
    rows = "".join(f"s1.nii,A{i},{c}\n" for i, c in enumerate(["89+", "9", "61", "n/a", "-9"]))
    scans, census = read_table(people("path,subject,age\n" + rows))
    assert [s.labels.get("age") for s in scans] == [90, 9, 61, None, None]
    assert any("'89+'" in note and "read as 90" in note for note in census.notes)
    assert any("'-9'" in note for note in census.notes)


def test_ages_in_months_by_their_header(people):
    assert labels(people("path,subject,age_months\ns1.nii,A1,126\n")) == {"sub-A1": {"age": 10.5}}


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["m", "f", "W", "female", "Männlich"], ["M", "F", "F", "F", "M"]),
        (["男", "女"], ["M", "F"]),
        (["H", "M", "H"], ["M", "F", "M"]),
        (["h", "f"], ["M", "F"]),
        (["M", "V"], ["M", "F"]),
        (["M", "K"], ["M", "F"]),
        (["homme", "femme"], ["M", "F"]),
        (["divers", "m"], ["divers", "M"]),
        (["", "unknown", "m"], [None, None, "M"]),
    ],
)
def test_sexes_as_people_write_them(cells, read):
    assert sexes(cells, {})[0] == read


def test_codes_of_sexes_count_only_with_a_legend(people, tmp_path):
    path = people("path,subject,sex\ns1.nii,A1,1\ns2.nii,A2,2\n")
    scans, census = read_table(path)
    assert [dict(s.labels) for s in scans] == [{"sex_code": 1}, {"sex_code": 2}]
    assert any("codes without a legend" in note for note in census.notes)
    text(tmp_path / "people.json", '{"sex": {"Levels": {"1": "male", "2": "female"}}}')
    assert [s.labels["sex"] for s in read_table(path)[0]] == ["M", "F"]
    header = people('path,subject,"sex (1=male, 2=female)"\ns1.nii,A1,2\n', name="x.csv")
    assert labels(header) == {"sub-A1": {"sex": "F"}}


# ---- names ----


@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["1.0", "10.0"], ["1", "10"]),
        (["1,0", "2"], ["1", "2"]),
        (["1.0", "1.1"], ["1.0", "1.1"]),
        (["007", "010"], ["007", "010"]),
        (["1.23457E+11", "5"], ["", "5"]),
        (["Ａ１", " B2 "], ["A1", "B2"]),
    ],
)
def test_names_that_became_numbers(cells, read):
    assert identifiers(cells)[0] == read


def test_names_in_other_letters_are_names(people):
    path = people("path,患者,訪問\ns1.nii,患者甲,初回\ns2.nii,患者甲,再診\ns3.nii,患者乙,初回\n")
    _scans, census = read_table(path)
    assert (census.people, census.scans) == (2, 3)


def test_a_placeholder_is_nobody(people):
    path = people("path,subject\ns1.nii,ANONYMOUS\ns2.nii,anonymous\ns3.nii,ANONYMOUS\ns4.nii,A1\n")
    scans, census = read_table(path)
    assert [s.subject for s in scans] == ["A1"]
    assert sum("placeholder" in why for _, why in census.dropped) == 3
    zeros = people("path,subject\ns1.nii,0000\ns2.nii,0001\n")
    assert read_table(zeros)[1].people == 2


# ---- dates ----


def test_the_order_of_dates_is_that_of_the_whole_column():
    assert date_column(["02/11/2006", "25/11/2007"]).parse("02/11/2006") == date(2006, 11, 2)
    assert date_column(["02/11/2006", "11/25/2007"]).parse("02/11/2006") == date(2006, 2, 11)
    assert date_column(["02/11/2006"]).order == "not sure"
    assert date_column(["05/05/2006"]).parse("05/05/2006") == date(2006, 5, 5)
    mixed = date_column(["25/11/2007", "11/25/2007", "02/03/2008"])
    assert mixed.mixed
    assert mixed.parse("02/03/2008") is None
    assert mixed.parse("25/11/2007") == date(2007, 11, 25)


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2.11.2006", date(2006, 11, 2)),
        ("2006/11/02", date(2006, 11, 2)),
        ("2006年11月2日", date(2006, 11, 2)),
        ("02-Nov-2006", date(2006, 11, 2)),
        ("Nov 2, 2006", date(2006, 11, 2)),
        ("39023", date(2006, 11, 2)),
        ("20061102", date(2006, 11, 2)),
        ("31/31/2006", None),
    ],
)
def test_dates_that_are_clear(written, day):
    assert DateColumn("not sure").parse(written) == day


EXAMS = "RID,PTID,VISCODE,EXAMDATE,DX_bl,AGE,PTGENDER,DX\n"


def adni(tmp_path, stamp="2006-11-02"):
    name = "ADNI_002_S_0295_MR_MPRAGE_Br_20070101000000000_S1_I100.nii"
    return image(tmp_path / f"ADNI/002_S_0295/MPRAGE/{stamp}_08_20_30.0/I100" / name)


@pytest.mark.parametrize(
    ("rows", "diagnosis"),
    [
        # Days first is proved by another person's row.
        (["295,002_S_0295,bl,11/02/2006,CN,80,Male,CN", "295,002_S_0295,m06,02/11/2006,CN,80,"
          "Male,Dementia", "413,002_S_0413,m06,25/11/2007,CN,76,Female,MCI"], "AD"),
        # Nothing proves it, and the two readings differ: refused.
        (["295,002_S_0295,bl,11/02/2006,CN,80,Male,CN", "295,002_S_0295,m06,02/11/2006,CN,80,"
          "Male,Dementia"], None),
        # Nothing proves it, but both readings say the same.
        (["295,002_S_0295,bl,11/02/2006,CN,80,Male,MCI", "295,002_S_0295,m06,02/11/2006,CN,80,"
          "Male,MCI"], "MCI"),
        (["295,002_S_0295,bl,02.11.2006,CN,80,Male,CN"], "CN"),
        (["295,002_S_0295,bl,39023,CN,80,Male,CN"], "CN"),
    ],
)  # fmt: skip
def test_adni_dates_of_either_order(tmp_path, rows, diagnosis):
    adni(tmp_path)
    text(tmp_path / "ADNIMERGE.csv", EXAMS + "\n".join(rows))
    (scan,), census = read_adni(tmp_path)
    assert scan.labels.get("diagnosis") == diagnosis
    if diagnosis is None:
        assert any("days or months first is not known" in note for note in census.notes)


@pytest.mark.parametrize(
    ("columns", "cells", "diagnosis"),
    [
        ("DXCHANGE,DXCURREN,DIAGNOSIS", ",1,", "CN"),
        ("DXCHANGE,DXCURREN,DIAGNOSIS", "6,,", "AD"),
        ("DXCHANGE,DXCURREN", "8,", "MCI"),
        ("DXCURREN", "3", "AD"),
        ("DXCHANGE", "9.0", "CN"),
        ("DIAGNOSIS", "2", "MCI"),
    ],
)
def test_the_diagnosis_of_every_phase_of_dxsum(tmp_path, columns, cells, diagnosis):
    adni(tmp_path)
    text(tmp_path / "DXSUM.csv", f"PTID,EXAMDATE,{columns}\n002_S_0295,2006-11-02,{cells}\n")
    (scan,), _ = read_adni(tmp_path)
    assert scan.labels["diagnosis"] == diagnosis


def test_exams_of_one_day_that_differ_give_no_diagnosis(tmp_path):
    adni(tmp_path)
    rows = "002_S_0295,2006-11-02,CN\n002_S_0295,2006-11-02,Dementia\n"
    text(tmp_path / "ADNIMERGE.csv", "PTID,EXAMDATE,DX\n" + rows)
    (scan,), census = read_adni(tmp_path)
    assert "diagnosis" not in scan.labels
    assert any("exams of one day differ" in note for note in census.notes)


def test_an_adni_table_that_is_not_read_is_told(tmp_path):
    adni(tmp_path)
    text(tmp_path / "PTDEMOG.csv", "RID,PTDOB\n295,1930\n")
    assert any("PTDEMOG.csv: not read" in note for note in read_adni(tmp_path)[1].notes)


def test_oasis_tables_as_workbooks(tmp_path):
    folder = tmp_path / "OAS30001_MR_d0129" / "anat2" / "NIFTI"
    image(folder / "sub-OAS30001_ses-d0129_T1w.nii.gz")
    rows = [["OASISID", "days_to_visit", "CDRTOT", "dx1"], ["OAS30001", 100, 0, "normal"]]
    workbook(tmp_path / "UDSb4.xlsx", ("S", rows))
    (scan,), _ = find_scans(tmp_path)
    assert scan.labels["diagnosis"] == "CN"
    assert any("UDSb4.xlsx" in line for line in scan.evidence)
