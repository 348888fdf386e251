"""Errors judged by what they say was found; the path of a test's folder holds the test's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from braincase.errors import BraincaseError


@contextmanager
def refused(kind: type[BraincaseError], words: str) -> Iterator[pytest.ExceptionInfo]:
    """Expect an error of this kind whose `found` matches the words."""
    with pytest.raises(kind) as caught:
        yield caught
    assert re.search(words, caught.value.found), caught.value.found
