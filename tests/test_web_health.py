"""Health, readiness and the metrics of gallery and disk; with a worker in test_web_uploads.py."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from braincase.errors import ModelError
from braincase.files import read_json
from braincase.web import health
from web_service import API, serving, settings_for, wait_for


def test_health_sees_gallery_disk_and_audit_log_and_names_no_path(
    web_gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = shutil.copytree(web_gallery, tmp_path / "g")
    with serving(settings_for(gallery, tmp_path / "a")) as client:
        told = client.get(f"{API}/health")
        parts = {"gallery": "ok", "worker": "none", "disk": "ok", "audit": "ok"}
        assert (told.status_code, told.json()) == (200, {**told.json(), **parts, "status": "ok"})
        assert client.get(f"{API}/ready").status_code == 200  # no worker to wait for
        metrics = client.get("/metrics").text
        for line in ("gallery_cases 34.0", "gallery_bytes ", 'disk_free_bytes{folder="audit"} '):
            assert f"braincase_{line}" in metrics
        with monkeypatch.context() as less:
            less.setattr(health, "LEAST_FREE_BYTES", 2**60)
            full = client.get(f"{API}/health")
        assert (full.status_code, full.json()["error"]) == (503, "failing")
        assert "disk almost full." in full.json()["message"]
        (gallery / "gallery.sqlite3").write_bytes(b"no database at all" * 1000)
        broken = client.get(f"{API}/health")
        assert (broken.status_code, "gallery failing" in broken.text) == (503, True)
        assert str(tmp_path) not in json.dumps(broken.json())
        assert "braincase_requests_total" in client.get("/metrics").text


def test_a_model_that_cannot_be_loaded_is_seen(web_gallery: Path, tmp_path: Path) -> None:
    load = partial(read_json, tmp_path / "no model", ModelError)
    with serving(settings_for(web_gallery, tmp_path / "a", load=load)) as client:
        assert client.get(f"{API}/ready").status_code == 503  # starting
        wait_for(lambda: "worker failing" in client.get(f"{API}/health").text)
        for path in ("health", "ready"):
            assert client.get(f"{API}/{path}").status_code == 503
