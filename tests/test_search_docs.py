import doctest
from pathlib import Path

import pytest

import braincase.gallery.opening
import braincase.search.nearest


@pytest.mark.parametrize("module", [braincase.gallery.opening, braincase.search.nearest])
def test_the_examples_in_docstrings_run(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 3
    assert outcome.failed == 0


def test_the_examples_in_the_manual_run():
    manual = Path(__file__).parents[1] / "docs" / "search.md"
    outcome = doctest.testfile(str(manual), module_relative=False)
    assert outcome.attempted > 30
    assert outcome.failed == 0
