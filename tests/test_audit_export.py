"""An audit log leaves in the words of IHE ATNA; API tokens end when their days are over."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from braincase.cli.main import app
from braincase.errors import BraincaseError, ParameterError
from braincase.web.security.audit import AuditLog
from braincase.web.security.users import add_token, add_user, read_users, user_of_token


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A day of two users, written by the log itself."""
    audit = AuditLog(tmp_path / "audit.jsonl")
    audit.write("ada", "login", client="10.0.0.7")
    audit.write("mallory", "login refused", client="10.0.0.9", reason="wrong")
    audit.write("ada", "search", case="sub-01", k=5, where="age > 60", version=3)
    audit.write("ada", "view case", scan_id="sub-02", kind="slices")
    audit.write("rita", "view case", scan_id="=cmd|'x'!A1", kind="volume")
    with audit.recorded("ada", "remove", scan_id="sub-02") as result:
        result["version"] = 4
    with pytest.raises(OSError), audit.recorded("ada", "add", scan_id="sub-03"):  # noqa: PT011
        raise OSError
    audit.write("root", "erase", scan_ids=["sub-04", "sub-05"], gallery="g")
    audit.close()
    with audit.path.open("ab") as file:
        file.write(b'{"at": "20')  # broken off by a full disk
    return audit.path


def run(*words: object) -> int:
    """Run a command in this process and return its exit code."""
    try:
        app([str(word) for word in words], standalone_mode=False)
    except BraincaseError as error:
        return error.exit_code
    return 0


def exported(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run("audit", "export", *options) == 0
    return capsys.readouterr().out


def test_it_says_who_saw_which_image_and_when(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = json.loads(exported(capsys, str(log), "--scan", "sub-02"))
    assert [(e["UserID"], e["EventTypeCode"], e["EventID"]) for e in events] == [
        ("ada", "view case", "110103"),
        ("ada", "remove", "110110"),
    ]
    assert events[0]["EventActionCode"] == "R"
    assert json.loads(events[0]["EventDetail"]) == {"kind": "slices"}
    assert events[0]["EventDateTime"].startswith("20")


def test_every_event_leaves_once_with_its_outcome(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(capsys, str(log), "--format", "csv"))))
    told = [
        (r["EventTypeCode"], r["EventOutcomeIndicator"], r["NetworkAccessPointID"]) for r in rows
    ]
    assert told == [
        ("login", "0", "10.0.0.7"),
        ("login refused", "4", "10.0.0.9"),
        ("search", "0", ""),
        ("view case", "0", ""),
        ("view case", "0", ""),
        ("remove", "0", ""),
        ("add", "8", ""),
        ("erase", "0", ""),
        ("erase", "0", ""),
    ]
    assert rows[4]["ParticipantObjectID"].startswith("'=")
    assert [r["ParticipantObjectID"] for r in rows[-2:]] == ["sub-04", "sub-05"]
    assert "previous" not in rows[0]["EventDetail"]


def test_it_is_cut_to_a_user_and_a_time(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(json.loads(exported(capsys, str(log), "--user", "rita"))) == 1
    assert json.loads(exported(capsys, str(log), "--since", "2999-01-01")) == []
    for wrong in (["--format", "xml"], ["--since", "yesterday"]):
        assert run("audit", "export", log, *wrong) == 2
    assert run("audit", "export", log.parent / "none") == 2


def test_a_token_ends_with_its_days(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users = tmp_path / "users.json"
    add_user(users, "ada", "blue tractor melts quietly", "reader")
    over, lasting, endless = (add_token(users, "ada", days=days) for days in (1e-9, 1, None))
    found = read_users(users)
    assert user_of_token(found, over) is None
    assert user_of_token(found, lasting)
    assert user_of_token(found, endless)
    assert run("user", "token", "list", "--users", users) == 0
    ends = [line.split("\t")[-1] for line in capsys.readouterr().out.splitlines()]
    assert [end[:5] for end in ends] == ["ended", ends[1][:5], "never"]
    for days in (0, -1, 1e9, float("nan")):
        with pytest.raises(ParameterError, match="at most"):
            add_token(users, "ada", days=days)


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on this machine")
def test_a_new_audit_log_and_its_name_are_on_the_disk(tmp_path: Path) -> None:
    """A power cut after the first line must not take the file's name: its folder is synced."""
    code = (
        "import sys; from pathlib import Path; from braincase.web.security.audit import AuditLog;"
        "AuditLog(Path(sys.argv[1])).write('ada', 'search')"
    )
    trace = tmp_path / "trace"
    command = ["strace", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace), sys.executable]
    subprocess.run([*command, "-c", code, str(tmp_path / "log" / "audit.jsonl")], check=True)
    synced = re.findall(r"sync\(\d+<([^>]*)>\)", trace.read_text())
    assert {str(tmp_path / "log"), str(tmp_path / "log" / "audit.jsonl")} <= set(synced)
