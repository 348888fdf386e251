"""Fixtures that all tests share."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from braincase.cohort.cohort import Cohort
from milvus_server import Server, running_server, why_not
from simulated import clinic_cohort, tiny_cohort
from web_service import fill, untrained_model

#: Files of tests that take longest, longest first: begun last, one would keep a core busy alone.
LONGEST = (
    "pacs", "prepare", "web_page", "tutorial", "cli", "pipeline", "web_uploads", "quality",
    "simulate_raw", "calibration", "left_right", "train", "web_security", "register",
    "gallery_milvus", "encoder_file", "cli_search", "web_attacks", "web_confinement", "environment",
    "volume_norms", "view", "raw_indexing", "bench", "campaign", "sight", "web_cli", "stored_image",
    "gallery_contract", "bias", "evaluate", "simulate", "web_api", "local_code", "cli_gallery",
    "head", "demo",
)  # fmt: skip
BESIDE = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the longest files to the front; workers take them in this order."""
    rank = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


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


@contextmanager
def made_once(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """Yield a folder that all workers of this run share; one of them at a time fills it."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """A simulated cohort of 26 people, 34 scans, at 4 mm; do not write into its folder."""
    with made_once(tmp_path_factory, "tiny") as place:
        return tiny_cohort(place / "cohort")


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
    with made_once(tmp_path_factory, "clinic") as place:
        return clinic_cohort(place / "cohort")


@pytest.fixture(scope="session")
def web_model(tiny: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model on the tiny cohort's grid."""
    return untrained_model(tmp_path_factory.mktemp("web") / "model", tiny)


@pytest.fixture(scope="session")
def web_gallery(tiny: Cohort, web_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the tiny cohort; tests that change it copy it first."""
    return fill(tmp_path_factory.mktemp("web") / "gallery", tiny, web_model)


@pytest.fixture(scope="session")
def clinic_gallery(clinic: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery with controls and patients enough to say what is normal; do not change it."""
    folder = tmp_path_factory.mktemp("clinic")
    return fill(folder / "gallery", clinic, untrained_model(folder / "model", clinic))
