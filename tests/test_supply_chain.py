"""What ships is pinned, with hashes, and can be listed."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def shipped() -> ModuleType:
    spec = importlib.util.spec_from_file_location("shipped", ROOT / "release" / "shipped.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(shipped: ModuleType, name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {shipped.plain_name(package): version for package, version in PIN.findall(text)}


def test_every_package_that_an_installation_needs_is_pinned(shipped: ModuleType) -> None:
    names = shipped.shipped_names(sys.executable)
    assert {"numpy", "torch", "fastapi", "tifffile"} <= set(names)
    assert not {"pytest", "mypy", "milvus"} & set(names)
    assert not set(names) - pins(shipped, "constraints.txt").keys()


def test_every_pin_but_that_of_torch_has_hashes(shipped: ModuleType) -> None:
    text = (ROOT / "requirements-hashed.txt").read_text(encoding="utf-8")
    locked = pins(shipped, "requirements-hashed.txt")
    blocks = [block for block in re.split(r"\n(?=\S)", text) if "==" in block]
    assert all("--hash=sha256:" in block for block in blocks)
    assert set(shipped.shipped_names(sys.executable)) - locked.keys() <= {"torch"}
    pinned = pins(shipped, "constraints.txt")
    assert {name: pinned[name] for name in locked} == locked, "run `make lock`"


def test_the_list_of_software_holds_what_ships_and_nothing_else(shipped: ModuleType) -> None:
    names = ["numpy", "nilearn", "pytest"]
    sbom = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [{"name": name, "bom-ref": name} for name in names],
        "dependencies": [{"ref": "root", "dependsOn": names}, {"ref": "pytest"}],
    }
    kept = shipped.prune(sbom, ["numpy", "nilearn"])
    found = [component["name"] for component in kept["components"]]
    assert "pytest" not in found
    assert {"numpy", "nilearn", "ICBM 152 2009a nonlinear symmetric"} <= set(found)
    assert kept["dependencies"] == [{"ref": "root", "dependsOn": ["nilearn", "numpy"]}]
    bundled = (shipped.LICENCES).exists()
    assert ("@niivue/niivue" in found) is bundled


def test_nothing_ships_under_a_licence_that_binds_the_whole(shipped: ModuleType) -> None:
    from importlib.metadata import metadata

    for name in shipped.shipped_names(sys.executable):
        about = metadata(name)
        classifiers = [c for c in about.get_all("Classifier") or () if c.startswith("License")]
        words = " ".join([about.get("License-Expression") or "", *classifiers])
        assert not re.search(r"\bA?GPL|Affero", words.replace("LGPL", "")), (name, words)
