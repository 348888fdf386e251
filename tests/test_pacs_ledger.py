"""The ledger of the node beside a PACS: whose turn it is after a kill and after a wrong clock."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra 'pacs' is not installed")
pytest.importorskip("highdicom", reason="the extra 'pacs' is not installed")

from braincase.pacs.ledger import COMPLETE, KILLED, RECEIVED, REFUSED, SENT, Instance, Ledger
from braincase.pacs.settings import NodeLimits, NodeSettings, PacsSettings
from braincase.pacs.spool import Spool
from braincase.pacs.steps import Workshop, work_on

IMAGE = Instance("i", "d", 10, True)
YEARS = 9 * 365 * 86400.0
#: A node that is killed in a step of the study that is due.
KILLED_NODE = """
import os, sys
from pathlib import Path
from braincase.pacs.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
with ledger.working_on(ledger.due().study):
    os._exit(9)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path)) as opened:
        yield opened


def kill_at_work(spool: Path) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED_NODE, spool]).returncode == 9


def workshop(ledger: Ledger, folder: Path, tries: int) -> Workshop:
    """A workshop for the first step, which needs neither gallery nor worker."""
    settings = PacsSettings(NodeSettings(folder), limits=NodeLimits(tries=tries))
    spool = Spool(settings.node, settings.limits, b"k" * 32, ledger)
    nothing: Any = None
    return Workshop(settings, spool, ledger, nothing, nothing, b"k" * 32)


def test_a_study_that_kills_the_node_lets_others_go_first_and_ends_after_its_tries(
    tmp_path: Path,
) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        ledger.add_instance("deadly", "a", IMAGE, 0.0)
        ledger.add_instance("other", "b", IMAGE, 0.0)
    kill_at_work(tmp_path)
    with closing(Ledger(tmp_path)) as ledger:
        deadly = ledger.get("deadly")
        assert deadly is not None
        assert (deadly.attempts, deadly.problem) == (1, KILLED)
        due = ledger.due()
        assert due is not None
        assert due.study == "other"
        ledger.forget("other")
    kill_at_work(tmp_path)
    with closing(Ledger(tmp_path)) as ledger:
        due = ledger.due()
        assert due is not None
        work_on(workshop(ledger, tmp_path, tries=2), due)
        ended = ledger.get("deadly")
        assert ended is not None
        assert (ended.state, ended.problem) == (REFUSED, f"{KILLED} (2 tries)")


def test_a_node_that_is_killed_between_steps_counts_no_try(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        ledger.add_instance("study", "a", IMAGE, 0.0)
        (study,) = ledger.studies()
        work_on(workshop(ledger, tmp_path, tries=1), study)
    with closing(Ledger(tmp_path)) as ledger:
        (study,) = ledger.studies()
        assert (study.state, study.attempts, study.problem) == (COMPLETE, 0, "")


def test_a_study_of_a_clock_that_ran_ahead_goes_on_and_its_images_go(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: now() + YEARS)
        for name in ("waiting", "failed", "ended"):
            ledger.add_instance(name, "a", IMAGE, 60.0)
        _, failed, ended = ledger.studies()
        ledger.advance(failed, COMPLETE)
        failed = ledger.get("failed") or failed
        ledger.postpone(failed, "no archive", 900.0)
        ledger.advance(ended, SENT)
        ledger.ask_commitment("failed", "1.2")
    ledger.cap_times(60.0, 900.0)
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: now() + 61.0)
        due = ledger.due()
        assert due is not None
        assert due.study == "waiting"
        assert ledger.advance(due, COMPLETE)
        later.setattr(time, "time", lambda: now() + 901.0)
        assert {study.study for study in ledger.studies() if study.next_try <= time.time()} == (
            {"waiting", "failed", "ended"}
        )
        assert ledger.to_purge(time.time() - 800.0) == ["ended"]
        asked = ledger.commitment("failed")
        assert asked is not None
        assert time.time() - asked[0] > 800.0


def test_times_that_are_right_stay(ledger: Ledger) -> None:
    ledger.add_instance("study", "a", IMAGE, 60.0)
    before = ledger.studies()
    assert before[0].state == RECEIVED
    ledger.cap_times(60.0, 900.0)
    assert ledger.studies() == before
