"""The examples of docstrings and of the search pages run as they are printed."""

import doctest
from pathlib import Path

import pytest

import braincase.gallery.opening
import braincase.search.nearest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("module", [braincase.gallery.opening, braincase.search.nearest])
def test_the_examples_in_docstrings_run(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted > 3
    assert outcome.failed == 0


def test_the_examples_of_the_search_pages_run_one_page_after_the_other():
    runner, names = doctest.DocTestRunner(), {}
    for page in (DOCS / "search-howto.md", DOCS / "search-reference.md"):
        text = page.read_text(encoding="utf-8")
        test = doctest.DocTestParser().get_doctest(text, names, page.name, str(page), 0)
        runner.run(test, clear_globs=False)
        names = test.globs
    assert runner.summarize(verbose=False).failed == 0
    assert runner.tries > 30
