import contextlib
import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincase.errors import UsageError
from braincase.gallery.columns import columns_of_labels, join_tables
from braincase.gallery.filter import columns_of, parse_where, select

ROWS = [
    {"age": 61.5, "sex": "F", "diagnosis": "CN", "年齢": 61},
    {"age": 75, "sex": "F", "diagnosis": "AD"},
    {"age": 60, "sex": "M", "diagnosis": "AD"},
    {"age": None, "sex": "F", "diagnosis": "MCI"},
    {"age": 80.0, "sex": None, "diagnosis": "O'Brien"},
]


def chosen(text, rows=ROWS):
    return np.flatnonzero(select(parse_where(text), columns_of_labels(rows))).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age between 60 and 75 and sex = 'F' and diagnosis in ('CN','AD')", [0, 1]),
        ("age > 60", [0, 1, 4]),
        ("AGE >= 60 ".replace("AGE", "age"), [0, 1, 2, 4]),
        ("not age > 70", [0, 2]),
        ("age is missing", [3]),
        ("age IS NOT NULL and not (sex = 'F')", [2]),
        ("sex != 'F'", [2]),
        ("sex = 'F' or age = 60 and diagnosis = 'AD'", [0, 1, 2, 3]),
        ("(sex = 'F' or age = 60) and diagnosis = 'AD'", [1, 2]),
        ("diagnosis = 'O''Brien'", [4]),
        ("\"diagnosis\" not in ('CN', 'MCI')", [1, 2, 4]),
        ("年齢 = 61", [0]),
        ("age not between 60 and 70", [1, 4]),
        ("age>-1", [0, 1, 2, 4]),
    ],
)
def test_a_filter_selects_what_it_says(text, expected):
    assert chosen(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agee > 60", "no column 'agee'; expected one of age, sex, diagnosis, 年齢. Did you mean"),
        ("age >", "the end; expected a number or a text"),
        ("age betwen 60 and 70", "'betwen' at character 5; expected =, !=,"),
        ("age > 60 and", "the end; expected a column name"),
        ("age > 60 sex = 'F'", "'sex' at character 10; expected 'and', 'or' or the end"),
        ("sex = 'F", "an unfinished text at character 7"),
        ("sex = F", "'F' at character 7; expected a number or a text in single quotes"),
        ("age > 'old'", "'age' compared with the text 'old'; expected a number"),
        ("sex = 1", "'sex' holds text, not 1; expected '1' in quotes"),
        ("age > 60; drop table cases", "';' at character 9"),
        ("(age > 60", "the end; expected ')'"),
        ("((((" * 20 + "age > 1" + "))))" * 20, "more than 50 nested brackets"),
        ("diagnosis in ()", "')' at character 15; expected a number or a text"),
        ("and = 1", "'and' at character 1; expected a column name"),
        ("age > 60years", "'6' at character 7"),
    ],
)
def test_a_malformed_filter_is_told_in_one_line_with_its_place(text, said):
    with pytest.raises(UsageError) as error:
        chosen(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_the_columns_of_a_filter_are_known_before_it_runs():
    assert columns_of(parse_where("not (a = 1 or b is null) and c in (1, 2)")) == {"a", "b", "c"}


def test_tables_of_several_batches_join_into_one():
    first = [{"age": 60, "site": 3}, {"age": 70}]
    second = [{"age": None, "site": "Kyoto", "new": "x"}]
    joined = join_tables([(columns_of_labels(first), 2), (columns_of_labels(second), 1)])
    whole = columns_of_labels(first + second)
    for text in ("age > 60", "site = '3'", "site = 'Kyoto'", "site is null", "new = 'x'"):
        np.testing.assert_array_equal(
            select(parse_where(text), joined), select(parse_where(text), whole)
        )


_NUMBER = st.sampled_from(["60", "61.5", "-1", "75", "8e1"])
_TEXT = st.sampled_from(["'F'", "'M'", "'O''Brien'", "''", "'CN'"])
_OPERATOR = st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="])
_NOT = st.sampled_from(["", "not "])


def _comparisons(column, value):
    return st.one_of(
        st.builds(lambda o, v: f"{column} {o} {v}", _OPERATOR, value),
        st.builds(lambda n, a, b: f"{column} {n}between {a} and {b}", _NOT, value, value),
        st.builds(
            lambda n, v: f"{column} {n}in ({', '.join(v)})",
            _NOT,
            st.lists(value, min_size=1, max_size=3),
        ),
        st.builds(lambda n: f"{column} is {n}null", _NOT),
    )


_FILTERS = st.recursive(
    st.one_of(
        _comparisons("age", _NUMBER), _comparisons("sex", _TEXT), _comparisons("diagnosis", _TEXT)
    ),
    lambda inner: st.one_of(
        st.builds(lambda a, b: f"({a} and {b})", inner, inner),
        st.builds(lambda a, b: f"{a} or {b}", inner, inner),
        st.builds(lambda a: f"not ({a})", inner),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(_FILTERS)
def test_filters_mean_what_they_mean_in_sql(text):
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (n INTEGER, age REAL, sex TEXT, diagnosis TEXT)")
    for n, row in enumerate(ROWS):
        values = (n, row["age"], row["sex"], row["diagnosis"])
        database.execute("INSERT INTO t VALUES (?, ?, ?, ?)", values)
    expected = [n for (n,) in database.execute(f"SELECT n FROM t WHERE {text} ORDER BY n")]
    database.close()
    assert chosen(text) == expected


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_a_usage_error(text):
    with contextlib.suppress(UsageError):
        chosen(text)
