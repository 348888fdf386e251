"""Cell values of tables: numbers, ages, sexes, identifiers, and the missing ones, by whole columns.

What a cell means depends on its column: ``65,3`` is a number beside ``70,1``, ``M`` is a woman
beside ``H`` (*mujer*, *hombre*), ``1.0`` is the name 1 that a spreadsheet took for a number. What
cannot be told is left out and said, never guessed.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from braincase.errors import some_of
from braincase.labels import Value, read_cell
from braincase.sources.words import MISSING, NO_NUMBER, SEX_PAIRS, SEXES

#: Above this, ages are one group, as HIPAA and BIDS ask.
OLDEST = 90
HIGHEST_AGE = 125
COMMA_NUMBER = re.compile(r"[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+")
SPACED = re.compile(r"[-+]?\d{1,3}(['’\s]\d{3})+([.,]\d+)?")
GROUPED = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
#: A whole number that was taken for a fraction, and one that lost its digits.
FLOAT_ID = re.compile(r"(\d+)[.,]0+")
SCIENTIFIC = re.compile(r"\d([.,]\d+)?[eE]\+?\d+")
AGE = re.compile(
    r"(?P<over>>=|≥|>|over\s|above\s|über\s)?\s*(?P<number>\d+([.,]\d+)?)[\s-]*"
    r"(?P<unit>[^\W\d_][^\d+]*?)??[\s.]*(?P<plus>\+|or older|and over|and older|以上)?",
    re.IGNORECASE,
)
#: ``65 years 6 months``, ``65;6`` as psychologists write, and ISO 8601's ``P65Y6M``.
YEARS_MONTHS = re.compile(
    r"P?(?P<years>\d{1,3})\s*(?:;|years?,?|yrs?|y|jahre|ans|歳|岁)\s*(?:and|und|et)?\s*"
    r"(?:(?P<months>\d{1,2})\s*(?:months?|mo|m|monate|mois|[かヶ个]月)?)?",
    re.IGNORECASE,
)
YEARS = {
    *("", "y", "yr", "yrs", "year", "years", "yo", "y o", "y/o", "years old", "year old", "a"),
    *("years-old", "year-old", "ans", "an", "jahre", "jahr", "j", "jahre alt", "años", "año"),
    *("anos", "anni", "anno", "jaar", "lat", "let", "rok", "godina", "лет", "год", "года", "г"),
    *("years of age", "år", "vuotta", "év", "éves", "yaş", "yıl", "tahun", "tuổi", "ปี", "ετών"),
    *("歳", "才", "岁", "歲", "세"),
}
UNITS = dict.fromkeys(YEARS, 1.0)
MONTHS = {
    *("m", "mo", "mos", "mon", "months", "month", "month old", "months old", "monate", "mois"),
    *("ヶ月", "か月", "个月", "月", "мес", "meses", "mesi"),
}
UNITS |= dict.fromkeys(MONTHS, 12.0)
UNITS |= dict.fromkeys(("w", "wk", "wks", "weeks", "week", "wochen", "semaines"), 52.18)
UNITS |= dict.fromkeys(("d", "days", "day", "tage", "jours", "días", "日"), 365.25)


def value_of(text: str | None) -> Value:
    """Parse a cell: a number where it is one, None where it is empty, else text.

    Digits with a leading zero stay text: they are names.
    """
    text = read_cell((text or "").strip())
    if is_missing(text):
        return None
    if re.fullmatch(r"-?(0|[1-9]\d{0,17})", text):
        return int(text)
    if re.fullmatch(r"0\d+", text) or "_" in text:
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def number_of(text: str | None) -> float | None:
    """Return a cell as a number, or None."""
    value = value_of(text)
    return float(value) if isinstance(value, int | float) else None


def is_missing(text: str) -> bool:
    """Say whether a cell says nothing."""
    return text.strip().lower() in MISSING


def age_of(text: str, a_year: float = 1.0) -> tuple[float | None, str]:
    """Return an age in years, and what had to be done to it: capped, converted, or left out.

    ``89+`` and ``>89`` are 90, ``072Y`` is 72, ``780 months`` are 65; a range or an impossible age
    is none.

    Parameters
    ----------
    text
        The cell.
    a_year
        How many of the column's units a year has, where its header names one.
    """
    written = unicodedata.normalize("NFKC", text).strip()
    if whole := YEARS_MONTHS.fullmatch(written):
        years = int(whole["years"]) + int(whole["months"] or 0) / 12
        if (whole["months"] or written.startswith("P")) and years <= HIGHEST_AGE:
            return round(years, 2), "turned into years"
    match = AGE.fullmatch(written)
    unit = UNITS.get((match["unit"] or "").strip(" .").lower()) if match else None
    if match is None or unit is None:
        return None, "no age"
    # Thousands of days; years have no thousands.
    digits = match["number"].replace(
        ",", "" if unit > 1 and GROUPED.fullmatch(match["number"]) else "."
    )
    number = float(digits)
    unit = a_year if unit == 1 else unit
    age = number / unit
    if not 0 <= age <= HIGHEST_AGE:
        return None, "no possible age"
    if match["over"] or match["plus"]:
        least = age + 1 if match["over"] and match["over"] not in (">=", "≥") else age
        return (float(OLDEST) if age >= OLDEST - 1 else least), "an age of at least that"
    return (age if unit == 1 else round(age, 2)), "" if unit == 1 else "turned into years"


def ages(cells: Sequence[str], unit: float = 1.0) -> tuple[list[Value], list[str]]:
    """Return a column of ages as years, and what was done to which cells."""
    values: list[Value] = []
    done: dict[str, list[str]] = {}
    for cell in cells:
        if is_missing(cell) or cell.strip().lower() in NO_NUMBER:
            values.append(None)
            continue
        age, note = age_of(cell, unit)
        if note and not (unit != 1 and age is not None):
            done.setdefault(f"{note}, read as {_short(age)}", []).append(cell)
        values.append(int(age) if age is not None and age == int(age) else age)
    return values, [f"{_some(texts)}: {note}" for note, texts in done.items()]


def sexes(cells: Sequence[str], legend: Mapping[str, str]) -> tuple[list[Value], list[str]]:
    """Return a column of sexes as M and F, and what could not be told.

    Parameters
    ----------
    cells
        As people write them.
    legend
        What codes mean, where a legend says so (``1`` is ``male``).
    """
    words = [" ".join(cell.strip().lower().split()) for cell in cells]
    present = {word for word in words if word and not is_missing(word)}
    letters = frozenset(present & set("hmvkwfж"))
    table = SEXES | SEX_PAIRS.get(letters, {})
    if letters == {"m", "k", "f"} or letters == {"m", "h", "f"}:
        table = SEXES  # two languages in one column: only what is clear counts
    table |= {key.lower(): SEXES.get(word.lower(), word) for key, word in legend.items()}
    values: list[Value] = []
    unknown: Counter[str] = Counter()
    for word, cell in zip(words, cells, strict=True):
        if not word or is_missing(word) or word in NO_NUMBER:
            values.append(None)
        elif (key := _sex_word(word, table)) in table:
            values.append(table[key])
        else:
            unknown[cell.strip()] += 1
            values.append(cell.strip())
    notes = [f"{_some(list(unknown))}: no M or F, kept as written"] if unknown else []
    if letters & {"h", "v", "k"} and letters in SEX_PAIRS:
        pairs = ", ".join(f"{k.upper()} is {v}" for k, v in sorted(SEX_PAIRS[letters].items()))
        notes.append(f"{pairs} (by the two letters of the column)")
    return values, notes


def _sex_word(word: str, table: Mapping[str, Value]) -> str:
    """Return a word as the table has it: 1.0 is 1, ``weibl.`` is *weiblich*."""
    plain = _without_float(word)
    if plain in table or not plain.endswith("."):
        return plain
    if plain[:-1] in table:
        return plain[:-1]
    begun = {key for key in table if key.startswith(plain[:-1])}
    return min(begun) if len({table[key] for key in begun}) == 1 else plain


def with_points(cells: Sequence[str], semicolons: bool) -> tuple[list[str], str]:
    """Turn a column's decimal commas into points, and say what was done.

    Parameters
    ----------
    cells
        A column.
    semicolons
        Whether the table's cells are separated by semicolons, as where commas are decimal signs.

    Returns
    -------
    cells, note
        Unchanged where no cell holds a number with a comma.
    """
    texts = [_unspaced(cell.strip()) for cell in cells]
    if texts != [cell.strip() for cell in cells]:
        cells = texts
    commas = [text for text in texts if COMMA_NUMBER.fullmatch(text)]
    if not commas:
        if any(GROUPED.fullmatch(text) for text in texts):
            return [t.replace(",", "") if GROUPED.fullmatch(t) else t for t in texts], ""
        return list(cells), ""
    numbers = [t for t in texts if COMMA_NUMBER.fullmatch(t) or number_of(t) is not None]
    if len(numbers) * 2 < sum(not is_missing(t) for t in texts):
        return list(cells), ""
    if not semicolons and all(GROUPED.fullmatch(text) for text in commas):
        return list(cells), f"{_some(commas)}: thousands or decimals? kept as text"
    done = [t.replace(".", "").replace(",", ".") if COMMA_NUMBER.fullmatch(t) else t for t in texts]
    return done, "decimal commas"


def _unspaced(text: str) -> str:
    """Return a number without blanks or apostrophes between its thousands: ``1'456.7``."""
    return re.sub(r"['’\s]", "", text) if SPACED.fullmatch(text) else text


def numbers(cells: Sequence[str]) -> tuple[list[Value], list[str]]:
    """Return a column's values; one of numbers stays so, and its odd cells are missing and said."""
    values = [value_of(cell) for cell in cells]
    numeric = [v for v in values if isinstance(v, int | float)]
    odd = [str(v) for v in values if isinstance(v, str)]
    if not odd:
        return _without_codes(values)
    if not numeric:
        return values, []
    silent = [text for text in odd if text.lower() in NO_NUMBER]
    rest = [text for text in odd if text.lower() not in NO_NUMBER]
    if "-" in silent and "+" in rest:
        return values, []
    if rest and not _measured(numeric, rest):
        some = _some(list(dict.fromkeys(rest)))
        return values, [f"{len(numeric)} numbers and {some}: taken as text in comparisons"]
    told = [f"{_some(list(dict.fromkeys(rest)))} among numbers: left out"] if rest else []
    if silent:
        told.append(f"{_some(list(dict.fromkeys(silent)))}: nothing known")
    return [v if isinstance(v, int | float) else None for v in values], told


def _without_codes(values: Sequence[Value]) -> tuple[list[Value], list[str]]:
    """Take numbers of nines far from all others (-9, -999, 9999) for codes of missing values."""
    numeric = [v for v in values if isinstance(v, int | float)]
    codes = {v for v in numeric if re.fullmatch(r"-9{1,4}|9{3,4}", f"{v:g}")}
    rest = [v for v in numeric if v not in codes]
    if len(rest) < 2:
        return list(values), []
    codes = {v for v in codes if (min(rest) >= 0 if v < 0 else 3 * max(rest) < v)}
    if not codes:
        return list(values), []
    said = f"{_some(f'{v:g}' for v in sorted(codes))}: codes of missing values, by their nines"
    return [None if v in codes else v for v in values], [said]


def _measured(numeric: Sequence[float], odd: Sequence[str]) -> bool:
    """Say whether a column measures something, so that a few odd cells are slips, no codes."""
    fractions = any(number != int(number) for number in numeric)
    varied = len(set(numeric)) > max(4, len(numeric) // 3)
    near = all(re.search(r"\d", text) and len(text) < 12 for text in odd)
    return len(numeric) >= 4 * len(odd) and (fractions or varied or near)


def identifiers(cells: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return a column of names as text: 1.0 is the name 1, unless there is a 1.1.

    A number that a spreadsheet shortened (1.23457E+11) is no name any more and becomes empty.
    """
    texts = [unicodedata.normalize("NFKC", cell).strip() for cell in cells]
    versions = any(re.fullmatch(r"\d+[.,]\d*[1-9]\d*", text) for text in texts)
    notes = []
    if lost := [text for text in texts if SCIENTIFIC.fullmatch(text)]:
        notes.append(f"{_some(lost)}: names that a spreadsheet shortened; whose they are is lost")
        texts = ["" if SCIENTIFIC.fullmatch(text) else text for text in texts]
    changed = [text for text in texts if FLOAT_ID.fullmatch(text)]
    if changed and not versions:
        notes.append(f"{_some(changed)}: names that became numbers, read without .0")
        texts = [_without_float(text) for text in texts]
    return ["" if is_missing(text) else text for text in texts], notes


def _without_float(text: str) -> str:
    match = FLOAT_ID.fullmatch(text)
    return match[1] if match else text


def _short(number: float | None) -> str:
    return "missing" if number is None else f"{number:.4g}"


def _some(texts: Iterable[str]) -> str:
    """Return a few of some texts, quoted, and how many more there are."""
    return some_of(map(repr, dict.fromkeys(texts)))
