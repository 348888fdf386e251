"""The public door: what `import braincase` offers, for people and for type checkers."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import braincase

STUB = Path(braincase.__file__).with_suffix(".pyi")


def stub_imports() -> dict[str, str]:
    """The module of each name that the stub gives to type checkers."""
    modules = {}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        assert isinstance(node, ast.ImportFrom), f"line {node.lineno}: only re-exports stand there"
        for alias in node.names:
            assert alias.asname == alias.name, f"{alias.name}: without 'as' it is no re-export"
            modules[alias.name] = str(node.module)
    return modules


def test_the_stub_the_list_and_the_homes_name_the_same_things() -> None:
    homes = {name: f"braincase.{module}" for name, module in braincase._HOME.items()}
    assert stub_imports() == {**homes, "__version__": "braincase.version"}
    assert list(homes) == braincase.__all__
    assert set(homes) <= set(dir(braincase))


@pytest.mark.parametrize("name", braincase.__all__)
def test_a_name_of_the_door_is_what_its_module_has_and_is_documented(name: str) -> None:
    value = getattr(braincase, name)
    assert value is getattr(import_module(f"braincase.{braincase._HOME[name]}"), name)
    text = inspect.getdoc(value)
    assert text, f"{name} has no docstring"
    assert text.splitlines()[0].endswith("."), f"{name}: the first line is no sentence"
    if inspect.isfunction(value):
        documented = set(re.findall(r"^(\w+(?:, \w+)*)$", text, re.MULTILINE))
        documented = {parameter for line in documented for parameter in line.split(", ")}
        missing = [p for p in inspect.signature(value).parameters if p not in documented]
        assert not missing, f"{name}: {missing} are not documented"


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        braincase.serach  # noqa: B018
