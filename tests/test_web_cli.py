"""`braincase serve` and `braincase user` as whole programs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from braincase.errors import UsageError
from braincase.web.run import open_port
from braincase.web.security.users import read_users
from web_service import API

PROGRAM = [sys.executable, "-m", "braincase"]


def run(*words: object, said: str = "") -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, words)]
    return subprocess.run(
        command, input=said, capture_output=True, text=True, check=False, timeout=120
    )


def test_users_are_added_listed_and_removed(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    added = run("user", "add", "ada", "--users", users, "--role", "admin", said="a long one!!\n")
    assert (added.returncode, added.stdout) == (0, f"{users}: ada, admin\n")
    assert read_users(users)["ada"].role == "admin"
    assert "ada\tadmin" in run("user", "list", "--users", users).stdout
    weak = run("user", "add", "bob", "--users", users, said="short\n")
    assert weak.returncode == 2
    assert weak.stderr == "braincase: password: 5 characters; expected at least 12\n"
    assert run("user", "remove", "ada", "--users", users).returncode == 0
    assert read_users(users) == {}


def test_the_service_starts_answers_and_leaves_nothing_behind(
    web_gallery: Path, web_model: Path, tmp_path: Path
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    environment = {**os.environ, "TMPDIR": str(place), "XDG_STATE_HOME": str(tmp_path)}
    command = [*PROGRAM, "serve", web_gallery, "--model", web_model, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as service:
        assert service.stdout is not None
        url = service.stdout.readline().split()[1]
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}api/v1/health").json()["status"] == "ok"
        told = httpx.get(f"{url}{API[1:]}/gallery").json()
        assert told["can_upload"] is True
        assert list(place.glob("braincase-web-*"))
        service.send_signal(signal.SIGINT)
        _, errors = service.communicate(timeout=60)
    assert service.returncode == 0
    assert "Traceback" not in errors
    assert not list(place.glob("braincase-web-*"))
    assert (tmp_path / "braincase" / "audit.jsonl").exists()


def test_what_cannot_be_served_is_told_in_one_line(web_gallery: Path, tmp_path: Path) -> None:
    none = run("serve", tmp_path / "nothing")
    assert none.returncode == 1
    assert "no gallery here" in none.stderr
    assert none.stderr.count("\n") == 1
    model = run("serve", web_gallery, "--model", tmp_path)
    assert model.returncode == 1
    assert "no model.json" in model.stderr
    provider = run("serve", web_gallery, "--oidc", tmp_path / "none.toml")
    assert provider.returncode == 2
    assert "none.toml: cannot be read" in provider.stderr
    assert provider.stderr.count("\n") == 1
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="Choose another with --port"):
            open_port("127.0.0.1", port)
