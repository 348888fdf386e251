"""Print the tables of docs/bench.md: ``python benchmarks/bench_table.py RESULT.json ...``.

For each file: the measure that decides each task, of everybody, with its interval; and by how much
the contestant named first is better than each baseline. Bold: best without the reference by true
volumes, or ahead with an interval above 0; italic: behind.
"""

import json
import sys
from pathlib import Path

REFERENCE = "true volumes"


def number(value: float | None, digits: int = 2, sign: str = "") -> str:
    """Return a number with a true minus."""
    return "-" if value is None else f"{value:{sign}.{digits}f}".replace("-", "\u2212")


def scores_of(measure: dict, name: str) -> dict | None:
    """Return what one contestant has in a measure."""
    return next((s for s in measure["scores"] if s["contestant"] == name), None)


def cell(measure: dict, name: str) -> str:
    """Return a contestant's score with its interval."""
    scored = scores_of(measure, name)
    if scored is None:
        return "-"
    rivals = [
        s["estimate"]["value"]
        for s in measure["scores"]
        if not s["contestant"].startswith(REFERENCE)
    ]
    best = (max if measure["measure"]["better"] == "higher" else min)(rivals)
    estimate = scored["estimate"]
    value = number(estimate["value"])
    if estimate["value"] == best and not name.startswith(REFERENCE):
        value = f"**{value}**"
    return f"{value} ({number(estimate['low'])} to {number(estimate['high'])})"


def lead(measure: dict, first: str, rival: str) -> str:
    """Return by how much the first is better than a rival."""
    scored = scores_of(measure, first)
    found = next((o for o in scored["over_each"] if o["over"] == rival), None)
    if found is None:
        return "-"
    estimate = found["estimate"]
    value = number(estimate["value"], 3, "+")
    if estimate["low"] > 0:
        return f"**{value}**"
    return f"*{value}*" if estimate["high"] < 0 else value


def rows(result: dict) -> list[str]:
    """Return both tables, a line each."""
    measures = [
        next(m for m in task["measures"] if m["measure"]["primary"]) for task in result["tasks"]
    ]
    letters = [task["letter"] for task in result["tasks"]]
    titles = [m["measure"]["title"] for m in measures]
    names = [entrant["name"] for entrant in result["entrants"]]
    lines = ["| | " + " | ".join(f"({a}) {b}" for a, b in zip(letters, titles, strict=True)) + " |"]
    lines += ["|---" * (1 + len(letters)) + "|"]
    lines += [f"| {n} | " + " | ".join(cell(m, n) for m in measures) + " |" for n in names]
    lines += ["| chance | " + " | ".join(number(m["reference"]["chance"]) for m in measures) + " |"]
    lines += ["", "| ahead of | " + " | ".join(f"({letter})" for letter in letters) + " |"]
    lines += ["|---" * (1 + len(letters)) + "|"]
    for rival in names[1:]:
        if not rival.startswith(REFERENCE):
            told = " | ".join(lead(m, names[0], rival) for m in measures)
            lines.append(f"| {rival} | {told} |")
    return [*lines, "", counted(measures, names[0])]


def counted(measures: list[dict], first: str) -> str:
    """Return how many of the differences have an interval above 0, and below."""
    scored = [scores_of(measure, first) for measure in measures]
    found = [one["estimate"] for score in scored if score for one in score["over_each"]]
    above, below = sum(e["low"] > 0 for e in found), sum(e["high"] < 0 for e in found)
    return f"{len(found)} differences: {above} above 0, {below} below"


for path in sys.argv[1:]:
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    print(content["first_line"], *rows(content), "", sep="\n")
