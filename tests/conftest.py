"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from braincase.cohort.cohort import Cohort
from milvus_server import Server, running_server, why_not
from simulated import clinic_cohort, tiny_cohort
from web_service import fill, untrained_model

BESIDE = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of openly licensed real images; see its README."""
    folder = Path(os.environ.get("BRAINCASE_DATA", BESIDE))
    if not folder.is_dir():
        pytest.skip(f"no real images: neither BRAINCASE_DATA nor {BESIDE}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Erasing writes an audit log: not that of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A simulated cohort of 26 people, 34 scans, at 4 mm; do not write into its folder."""
    return tiny_cohort(tmp_path_factory.mktemp("tiny") / "cohort")


@pytest.fixture(scope="session")
def milvus_server() -> Iterator[Server]:
    """A real Milvus in a network namespace, one for each worker whose files need it."""
    if reason := why_not():
        pytest.skip(f"no Milvus server: {reason}")
    with running_server() as server:
        yield server


@pytest.fixture
def milvus(milvus_server: Server) -> Iterator[str]:
    """``host:port`` of a real Milvus that this test, and what it starts, can reach."""
    with milvus_server.reachable() as address:
        yield address


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A simulated cohort of 56 people, enough to learn what is normal; do not write into it."""
    return clinic_cohort(tmp_path_factory.mktemp("clinic") / "cohort")


@pytest.fixture(scope="session")
def web_model(tiny: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model on the tiny cohort's grid."""
    return untrained_model(tmp_path_factory.mktemp("web") / "model", tiny)


@pytest.fixture(scope="session")
def web_gallery(tiny: Cohort, web_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the tiny cohort; tests that change it copy it first."""
    return fill(tmp_path_factory.mktemp("web") / "gallery", tiny, web_model)
