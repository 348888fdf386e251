"""The filter language, as SQL's WHERE: ``age between 60 and 75 and diagnosis in ('CN', 'AD')``.

::

    expression := term { "or" term }
    term       := factor { "and" factor }
    factor     := "not" factor | "(" expression ")" | predicate
    predicate  := column operator value
                | column ["not"] "between" value "and" value
                | column ["not"] "in" "(" value { "," value } ")"
                | column "is" ["not"] ("null" | "missing")
    operator   := "=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">="

Numbers are bare, text stands in single quotes (a quote inside is doubled), a column whose name is
no plain word stands in double quotes. Words of the language may be written in any case. As in SQL,
a comparison with a missing value is neither true nor false, so neither it nor its negation selects
the case. The text is parsed here and evaluated on NumPy columns; it never reaches a database.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from braincase.errors import FilterError
from braincase.gallery.columns import Column, NumberColumn, Values, distinct_values

Mask = NDArray[np.bool_]
Literal = str | float

KEYWORDS = frozenset({"and", "or", "not", "between", "in", "is", "null", "missing"})
OPERATORS: dict[str, Callable[[Values, Literal], Mask]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
#: Values of a column that are named where one is asked for that none has.
MOST_VALUES = 8
#: Deeper nesting than this is no filter a person writes.
DEEPEST = 50

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
        |'(?P<text>(?:[^']|'')*)'
        |"(?P<column>[^"]+)"
        |(?P<word>[^\W\d]\w*(?:[.-]\w+)*)
        |(?P<symbol><=|>=|!=|<>|==|[=<>(),]))""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Compare:
    """``column operator value``."""

    column: str
    operator: str
    value: Literal


@dataclass(frozen=True)
class In:
    """``column in (values)``."""

    column: str
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Missing:
    """``column is null``."""

    column: str


@dataclass(frozen=True)
class Not:
    """``not part``."""

    part: Expression


@dataclass(frozen=True)
class AllOf:
    """Every part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Expression, ...]


Expression = Compare | In | Missing | Not | AllOf | AnyOf


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int


def parse_where(text: str) -> Expression:
    """Parse a filter.

    Raises
    ------
    FilterError
        If the text is no filter; the line names the place and what could stand there.
    """
    parser = _Parser(text)
    expression = parser.expression(0)
    if parser.token.kind != "end":
        parser.fail("'and', 'or' or the end")
    return expression


def columns_of(expression: Expression) -> set[str]:
    """Return the names of all columns that a filter reads."""
    match expression:
        case AllOf(parts) | AnyOf(parts):
            return set().union(*(columns_of(part) for part in parts))
        case Not(part):
            return columns_of(part)
        case Compare() | In() | Missing():
            return {expression.column}


def select(expression: Expression, columns: Mapping[str, Column]) -> Mask:
    """Return which rows a filter selects, shape (n_rows,).

    Raises
    ------
    FilterError
        If a column does not exist, or holds numbers where the filter has text, or the reverse.
    """
    return _evaluate(expression, columns)[0]


def absent_values(
    expression: Expression, columns: Mapping[str, Column], rows: Mask
) -> tuple[str, ...]:
    """Name values that a filter asks for and that no row has, a sentence each.

    Only what has to be equal is looked at: ``age > 200`` says by itself why nothing passes.
    """
    match expression:
        case AllOf(parts) | AnyOf(parts):
            told = (absent_values(part, columns, rows) for part in parts)
            return tuple(dict.fromkeys(note for notes in told for note in notes))
        case Compare(name, "=" | "==", value):
            return _absent(name, (value,), distinct_values(columns[name], rows))
        case In(name, values):
            return _absent(name, values, distinct_values(columns[name], rows))
    return ()


def _absent(name: str, wanted: Sequence[Literal], there: Sequence[Literal]) -> tuple[str, ...]:
    missing = [value for value in wanted if value not in there]
    if not there:
        return (f"No case has a value of {name}.",)
    if len(missing) < len(wanted):
        return ()
    texts = [_shown(value) for value in there]
    shown = f"there are {', '.join(texts)}"
    if len(texts) > MOST_VALUES:
        shown = f"there are {len(texts)}, from {texts[0]} to {texts[-1]}"
    by_case = {text.lower(): text for text in texts}
    near = [get_close_matches(_shown(v).lower(), by_case, 1) for v in missing if isinstance(v, str)]
    meant = dict.fromkeys(f"'{by_case[name]}'" for found in near for name in found)
    advice = f" Did you mean {' or '.join(meant)}?" if meant else ""
    asked = " or ".join(f"'{v}'" if isinstance(v, str) else _shown(v) for v in missing)
    return (f"No case has {name} {asked}; {shown}.{advice}",)


def _shown(value: Literal) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _evaluate(expression: Expression, columns: Mapping[str, Column]) -> tuple[Mask, Mask]:
    """Return where the expression is true and where it is false; elsewhere it is unknown."""
    match expression:
        case AllOf(parts):
            true, false = zip(*(_evaluate(part, columns) for part in parts), strict=True)
            return _all(true), _any(false)
        case AnyOf(parts):
            true, false = zip(*(_evaluate(part, columns) for part in parts), strict=True)
            return _any(true), _all(false)
        case Not(part):
            yes, no = _evaluate(part, columns)
            return no, yes
        case Missing(name):
            present = _column(name, columns).present()
            return ~present, present
        case Compare(name, symbol, value):
            column = _column(name, columns)
            _check_kind(name, column, value)
            yes = column.where(lambda values: OPERATORS[symbol](values, value))
        case In(name, values):
            column = _column(name, columns)
            for value in values:
                _check_kind(name, column, value)
            yes = column.where(lambda cells: np.isin(cells, np.array(values)))
    present = column.present()
    return yes & present, ~yes & present


def _all(masks: Iterable[Mask]) -> Mask:
    return np.asarray(np.logical_and.reduce(list(masks)))


def _any(masks: Iterable[Mask]) -> Mask:
    return np.asarray(np.logical_or.reduce(list(masks)))


def _column(name: str, columns: Mapping[str, Column]) -> Column:
    if name in columns:
        return columns[name]
    near = get_close_matches(name, columns, n=1)
    advice = f"Did you mean '{near[0]}'?" if near else ""
    raise FilterError("where", f"no column '{name}'", f"one of {', '.join(columns)}", advice)


def _check_kind(name: str, column: Column, value: Literal) -> None:
    if not column.present().any():
        return  # every value is missing, so nothing is compared
    if isinstance(column, NumberColumn) and isinstance(value, str):
        raise FilterError("where", f"'{name}' compared with the text '{value}'", "a number")
    if not isinstance(column, NumberColumn) and not isinstance(value, str):
        shown = f"{value:g}"
        raise FilterError("where", f"'{name}' holds text, not {shown}", f"'{shown}' in quotes")


class _Parser:
    """A recursive-descent parser; one method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._tokens = iter(_tokens(text))
        self.token = next(self._tokens)

    def fail(self, expected: str) -> NoReturn:
        """Raise an error that names what stands here and what could."""
        found = f"'{self.token.text}'" if self.token.kind != "end" else "the end"
        place = f" at character {self.token.start + 1}" if self.token.kind != "end" else ""
        raise FilterError("where", f"{found}{place}", expected)

    def expression(self, depth: int) -> Expression:
        if depth > DEEPEST:
            raise FilterError("where", f"more than {DEEPEST} nested brackets", "a simpler filter")
        parts = [self._term(depth)]
        while self._take("or"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _term(self, depth: int) -> Expression:
        parts = [self._factor(depth)]
        while self._take("and"):
            parts.append(self._factor(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _factor(self, depth: int) -> Expression:
        negations = 0
        while self._take("not"):
            negations += 1
        if self._take("("):
            inner = self.expression(depth + 1)
            self._need(")")
        else:
            inner = self._predicate()
        return Not(inner) if negations % 2 else inner

    def _predicate(self) -> Expression:
        column = self._name()
        if self.token.kind == "symbol" and self.token.text in OPERATORS:
            symbol = self._next().text
            return Compare(column, symbol, self._value())
        if self._take("is"):
            negated = self._take("not")
            if not (self._take("null") or self._take("missing")):
                self.fail("'null' or 'not null'")
            return Not(Missing(column)) if negated else Missing(column)
        negated = self._take("not")
        if self._take("between"):
            positive: Expression = self._between(column)
        elif self._take("in"):
            positive = self._in(column)
        else:
            self.fail("=, !=, <, <=, >, >=, between, in or is")
        return Not(positive) if negated else positive

    def _between(self, column: str) -> Expression:
        low = self._value()
        self._need("and")
        return AllOf((Compare(column, ">=", low), Compare(column, "<=", self._value())))

    def _in(self, column: str) -> Expression:
        self._need("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")")
        return In(column, tuple(values))

    def _name(self) -> str:
        plain = self.token.kind == "word" and self.token.text.lower() not in KEYWORDS
        if not plain and self.token.kind != "column":
            self.fail("a column name")
        return self._next().text

    def _value(self) -> Literal:
        if self.token.kind not in ("number", "text"):
            self.fail("a number or a text in single quotes")
        token = self._next()
        return float(token.text) if token.kind == "number" else token.text

    def _take(self, word: str) -> bool:
        """Step over `word` if it is next."""
        is_next = self.token.kind in ("word", "symbol") and self.token.text.lower() == word
        if is_next:
            self._next()
        return is_next

    def _need(self, word: str) -> None:
        if not self._take(word):
            self.fail(f"'{word}'")

    def _next(self) -> _Token:
        token = self.token
        self.token = next(self._tokens)
        return token


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            found = "an unfinished text" if text[at] in "'\"" else f"'{text[at]}'"
            raise FilterError("where", f"{found} at character {at + 1}", "a filter", _EXAMPLE)
        kind = str(match.lastgroup)
        content = match[kind].replace("''", "'") if kind == "text" else match[kind]
        tokens.append(_Token(kind, content, match.start(kind)))
        at = match.end()
    return [*tokens, _Token("end", "", len(text)), _Token("end", "", len(text))]


_EXAMPLE = "For example: age between 60 and 75 and sex = 'F'"
