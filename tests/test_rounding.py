"""Numbers are written as the page writes them: halves go up."""

from __future__ import annotations

import pytest

from braincase.population.neighbour_labels import LabelShare, NeighbourLabels
from braincase.report.wording import percentile_text
from braincase.rounding import percent, whole


@pytest.mark.parametrize(
    ("value", "text"), [(74.5, "75"), (74.4999, "74"), (0.5, "1"), (2.5, "3"), (-2.5, "-3")]
)
def test_halves_go_away_from_zero(value: float, text: str) -> None:
    assert whole(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.125, "13%"), (0.145, "15%"), (0.005, "1%"), (1 / 3, "33%"), (1.0, "100%")],
)
def test_a_share_is_told_as_its_decimal_digits_say(share: float, text: str) -> None:
    assert percent(share) == text  # 100 times 0.145 is a little less than 14.5 in binary


def test_one_of_eight_neighbours_is_13_percent_in_the_text_too() -> None:
    shares = (LabelShare("EMCI", 1 / 8, 0.025, 0.475),)
    told = NeighbourLabels("diagnosis", 8, 0, shares, {"EMCI": 0.045}).lines()
    assert told[0] == "EMCI: 13% of 8 people (95 % interval 3% to 48%)"
    assert "EMCI 5%" in told[1]
    assert percentile_text(74.5) == "percentile 75"
