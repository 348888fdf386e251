"""What cannot be read again is refused; a row that somebody else wrote stops nothing."""

import contextlib
import json
import random
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from braincase.errors import BraincaseError, GalleryError, UsageError
from braincase.gallery import Query, create_gallery, open_gallery
from braincase.gallery.record.database import checksum_of
from braincase.search.nearest import search
from gallery_cases import MODEL, N_CELLS, filled_gallery, some_cases, some_codes

BAD = "sub-003_ses-1"


@pytest.fixture
def gallery(tmp_path):
    with_cases = filled_gallery(tmp_path / "gallery")
    yield with_cases
    with_cases.close()


def new_case(**changes):
    return replace(some_cases(1)[0], **{"scan_id": "sub-new", "subject": "new", **changes})


REFUSED_LABELS = {
    "beyond float64": {"age": 10**400},
    "far below float64": {"age": -(10**310)},
    "infinite": {"age": float("inf")},
    "NumPy infinity": {"age": np.float32("-inf")},
    "lone surrogate": {"note": "half \ud800 a letter"},
    "NUL": {"note": "a\0b"},
    "escape": {"note": "\x1b[2J"},
    "C1 control": {"note": "a\x9bb"},
    "list": {"age": [70]},
    "nested": {"age": {"years": 70}},
    "bytes": {"note": b"text"},
    "complex": {"age": 1j},
    "array": {"age": np.array([1.0, 2.0])},
    "long": {"note": "x" * 100_000},
    "no name": {"": 1},
    "blank name": {"  ": 1},
    "long name": {"n" * 1000: 1},
    "name of a number": {7: 1},
    "surrogate in the name": {"\udfff": 1},
    "many": {f"n{i}": 1 for i in range(100_000)},
}


#: What no type checker would let through, and how the line begins.
WRONG_TYPES = {
    "session": ({"session": {"a": 1}}, "sub-new: session: no text but dict"),
    "labels": ({"labels": [1]}, "sub-new: labels: a value of type list"),
    "no labels": ({"labels": None}, "sub-new: labels: a value of type NoneType"),
    "cohort": ({"cohort": 3}, "sub-new: cohort: a value of type int"),
    "subject": ({"subject": ["x"]}, "sub-new: subject: no text but list"),
    "name": ({"scan_id": {"a": 1}}, "scan_id: scan_id: no text but dict"),
}


@pytest.mark.parametrize(("changes", "line"), WRONG_TYPES.values(), ids=WRONG_TYPES.keys())
def test_a_case_of_wrong_types_is_refused_by_name(gallery, changes, line):
    before = gallery.info()
    for put in (gallery.add, gallery.update):
        with pytest.raises(UsageError) as error:
            put([new_case(**changes)], MODEL)
        assert str(error.value).startswith(line)
    assert gallery.info() == before


@pytest.mark.parametrize("cases", ["x", [3], [None], {"a": 1}])
def test_what_is_no_case_is_refused(gallery, cases):
    with pytest.raises(UsageError, match=r"cases: a value of type .* expected NewCase records"):
        gallery.add(cases, MODEL)


@pytest.mark.parametrize("labels", REFUSED_LABELS.values(), ids=REFUSED_LABELS.keys())
def test_labels_that_could_not_be_read_again_are_refused(gallery, labels):
    before = gallery.info()
    with pytest.raises(UsageError) as error:
        gallery.add([new_case(labels={"sex": "F", **labels})], MODEL)
    line = str(error.value)
    assert line.startswith("sub-new: ")
    assert "label" in line
    assert "\n" not in line
    assert len(line) < 500
    assert line.isascii()
    assert gallery.info() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": ""},
        {"subject": "a\ud800"},
        {"subject": 7},
        {"scan_id": "x" * 5000},
        {"scan_id": "a\0"},
        {"session": "\x1b"},
        {"image": "/etc/shadow"},
        {"image": "../../x_T1w.nii.gz"},
        {"image": "sub-x/../../y"},
        {"image": "a\0b"},
        {"image_hash": "\udc80"},
        {"thumbnail": b"x" * 10_000_000},
        {"code": "text"},
        {"code": [[1.0], [2.0, 3.0]]},
        {"code": [10**400] * N_CELLS},
    ],
    ids=str,
)
def test_who_a_case_is_and_where_its_image_lies_is_checked_too(gallery, changes):
    before = gallery.info()
    with pytest.raises(UsageError) as error:
        gallery.add([new_case(**changes)], MODEL)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 6000
    assert gallery.info() == before


def test_what_a_table_may_hold_comes_back_as_it_was(gallery):
    labels = {
        "big": 10**300, "small": 5e-324, "none": None, "nan": float("nan"), "yes": True,
        "text": "Ä\t\nß 😀", "numpy": np.int16(3), "words": "x" * 2000, "age": -0.0,
    }  # fmt: skip
    gallery.add([new_case(labels=labels)], MODEL)
    stored = gallery.get("sub-new").labels
    assert stored == {**labels, "nan": None, "yes": 1}
    assert gallery.nearest(some_codes(1)[0], 3, where="big > 1").n_selected == 1


def sql(folder, statement, *values):
    with (
        contextlib.closing(sqlite3.connect(folder / "gallery.sqlite3")) as connection,
        connection,
    ):
        connection.execute(statement, values)


def poison(folder, scan_id, column, value):
    """Change a row as somebody else's program would, its checksum right."""
    sql(folder, f"UPDATE cases SET {column} = ? WHERE scan_id = ?", value, scan_id)
    with contextlib.closing(sqlite3.connect(folder / "gallery.sqlite3")) as connection, connection:
        connection.text_factory = bytes
        rows = connection.execute("SELECT row, scan_id, labels, code FROM cases").fetchall()
        for row, *content in rows:
            with contextlib.suppress(TypeError, AttributeError, ValueError):
                name, labels = (part.decode() for part in content[:2])
                checksum = checksum_of(name, labels, content[2])
                connection.execute("UPDATE cases SET checksum = ? WHERE row = ?", (checksum, row))


POISON = {
    "a number of 401 digits": ("labels", json.dumps({"age": 10**400})),
    "a number of 5000 digits": ("labels", f'{{"age": {"9" * 5000}}}'),
    "infinity": ("labels", '{"age": 1e999}'),
    "Infinity": ("labels", '{"age": Infinity}'),
    "surrogate": ("labels", '{"note": "\\ud800"}'),
    "NUL": ("labels", '{"note": "\\u0000"}'),
    "nested": ("labels", '{"age": {"years": [70]}}'),
    "deep": ("labels", '{"age": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "list": ("labels", "[1]"),
    "no JSON": ("labels", "{"),
    "two rows": ("labels", '{"a": 1}, {"b": 2}'),
    "half rows": ("labels", '{"a": 1}}'),
    "open text": ("labels", '{"a": "}'),
    "empty": ("labels", ""),
    "long": ("labels", json.dumps({"note": "x" * 1_000_000})),
    "bytes": ("labels", b"\xff\xfe"),
    "text of no UTF-8": ("labels", "UTF8"),
    "short code": ("code", b"\0" * 40),
    "text code": ("code", "code"),
    "code of NaN": ("code", np.full(N_CELLS, np.nan, "<f4").tobytes()),
    "subject of bytes": ("subject", b"\x80\x81"),
    "session of bytes": ("session", b"\x80\x81"),
    "versions of text": ("added_in", "now"),
}


@pytest.mark.parametrize("kind", POISON)
def test_a_gallery_with_one_bad_row_opens_searches_and_says_which(gallery, kind):
    gallery.close()
    column, value = POISON[kind]
    if value == "UTF8":
        sql(gallery.folder, "UPDATE cases SET labels = CAST(x'7b22ff227d' AS TEXT)"
            " WHERE scan_id = ?", BAD)  # fmt: skip
    else:
        poison(gallery.folder, BAD, column, value)
    damaged = open_gallery(gallery.folder)
    info = damaged.info()
    assert info.cases == 59
    assert BAD in info.notes[0]
    assert "1 case(s) cannot be read" in info.notes[0]
    assert "\n" not in info.notes[0]
    assert len(info.notes[0]) < 300
    code = np.asarray(some_cases(30)[6].code)
    result = search(damaged, Query(code, MODEL, k=5, where="sex = 'F' or sex = 'M'"))
    assert BAD not in [hit.scan_id for hit in result.hits]
    assert any(BAD in note for note in result.notes)
    with pytest.raises(GalleryError, match=f"{BAD} cannot be read"):
        damaged.get(BAD)
    assert damaged.find([BAD, "sub-004_ses-1"]).keys() == {"sub-004_ses-1"}
    assert len(damaged.person("003")) == 1
    assert damaged.closest_people().distance > 0
    assert [version.what for version in damaged.versions()] == ["created", "60 added, 0 updated"]

    assert damaged.remove([BAD]).removed == (BAD,)
    assert damaged.info().notes == ()
    assert damaged.info(as_of=1).notes == info.notes if kind != "versions of text" else True
    assert damaged.add([some_cases(30)[6]], MODEL).added == (BAD,)
    assert damaged.nearest(code, 1).cases[0].scan_id == BAD
    assert damaged.remove([BAD], erase=True).removed == (BAD,)
    assert damaged.info(as_of=1).cases == 59
    assert not any("cannot be read" in note for note in damaged.info(as_of=1).notes)
    damaged.close()


def test_a_row_spoilt_while_the_gallery_is_open_is_left_out_of_the_next_version(gallery):
    assert gallery.info().cases == 60
    gallery.add([new_case()], MODEL)
    poison(gallery.folder, "sub-new", "labels", '{"age": 1e999}')
    assert gallery.info().cases == 60
    assert "sub-new" in gallery.info().notes[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_dimensions", "999999999"),
        ("n_dimensions", "0"),
        ("n_dimensions", "-5"),
        ("n_dimensions", "9" * 5000),
        ("resolution_mm", "999999999"),
        ("resolution_mm", "two"),
    ],
)
def test_an_odd_description_is_told_in_one_line(gallery, key, value):
    gallery.close()
    sql(gallery.folder, "UPDATE meta SET value = ? WHERE key = ?", value, key)
    with pytest.raises(GalleryError, match=r"damaged \(meta") as error:
        open_gallery(gallery.folder)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_gallery_of_a_thousand_million_numbers_a_case_is_not_made(tmp_path):
    with pytest.raises(UsageError, match="999999999"):
        create_gallery(tmp_path / "large", MODEL, 4, n_dimensions=999_999_999)


ODD = [
    None, 0, -1, 2**62, 1e308, float("inf"), "", "x", "\u0000", "1e999", b"", b"\0" * 600, b"\xff",
    "{}", "[]", "{", '{"age": 1e400}', '{"age": [1]}', '{"": 1}', '{"subject": 5}', "null", "999",
]  # fmt: skip
TABLES = {
    "cases": ["scan_id", "subject", "session", "labels", "code", "cohort", "image", "image_hash",
              "content", "added_in", "removed_in", "checksum"],
    "versions": ["version", "at", "what"],
    "meta": ["value"],
    "cohorts": ["folder"],
    "thumbnails": ["picture"],
}  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_odd_content_is_told_in_one_line_never_by_a_foreign_exception(tmp_path, seed):
    gallery = filled_gallery(tmp_path, n_people=4)
    gallery.add([new_case(cohort=tmp_path, image="x.nii.gz", thumbnail=b"PNG")], MODEL)
    gallery.remove(["sub-001_ses-1"])
    gallery.close()
    rng = random.Random(seed)
    with contextlib.closing(sqlite3.connect(tmp_path / "gallery.sqlite3")) as connection:
        for _ in range(rng.randint(1, 3)):
            table = rng.choice([*["cases"] * 4, *TABLES])
            column = rng.choice(TABLES[table])
            where = f"rowid = {rng.randint(1, 10)}" if table in ("cases", "versions") else "1"
            with contextlib.suppress(sqlite3.Error), connection:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {where}", [rng.choice(ODD)]
                )

    def use(action):
        with contextlib.suppress(BraincaseError):
            action()

    def everything():
        with contextlib.closing(open_gallery(tmp_path)) as opened:
            names = [case.scan_id for case in some_cases(4)] + ["sub-new"]
            code = some_codes(1)[0]
            for action in (
                lambda: opened.info().to_json(),
                lambda: opened.info(as_of=1),
                lambda: search(opened, Query(code, MODEL, k=4, where="sex = 'F'")).to_json(),
                lambda: search(opened, Query(code, MODEL, k=4, as_of=1)).to_json(),
                lambda: opened.find(names),
                lambda: opened.person("000", ever=True),
                lambda: opened.one_scan_each(5),
                lambda: opened.closest_people(),
                opened.versions,
                *(lambda name=name: opened.get(name) for name in names),
                *(lambda name=name: opened.thumbnail(name) for name in names),
                lambda: opened.update(some_cases(5), MODEL),
                lambda: opened.remove([names[0]]),
                lambda: opened.remove([names[1]], erase=True),
            ):
                use(action)

    use(everything)
