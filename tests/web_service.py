"""A real service for tests: a real gallery and model, a real server on a free loopback port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from braincase.cli.serve import load_for_service
from braincase.cohort.cohort import Cohort
from braincase.models.embed import encoder_of
from braincase.models.model import Model, load_model, save_model
from braincase.models.network import build_network
from braincase.models.open_encoder import encoder_info
from braincase.models.settings import ModelSettings
from braincase.web.app import build_app
from braincase.web.run import PatientServer, open_port, server_config
from braincase.web.service_settings import Limits, ServiceSettings
from braincase.workflows.index_cohort import index_cohort

API = "/api/v1"


def untrained_model(folder: Path, cohort: Cohort) -> Path:
    """A small network with random weights: it embeds as any other does."""
    settings = ModelSettings("untrained", channels=4, epochs=1)
    network = build_network(settings, cohort.grid)
    save_model(folder, Model(network, settings, cohort.grid, cohort.recipe, {}), "untrained")
    return folder


def fill(folder: Path, cohort: Cohort, model: Path) -> Path:
    """A gallery of all scans of a cohort."""
    loaded = load_model(model)
    index_cohort(folder, cohort, encoder_of(loaded))
    return folder


def settings_for(
    gallery: Path, audit: Path, model: Path | None = None, **options: Any
) -> ServiceSettings:
    """Settings without rate limits, unless they are given."""
    free = {"requests": "", "searches": "", "uploads": "", "logins": "", "sign_ins": ""}
    limits = Limits(**{**free, **options.pop("limits", {})})
    if model is not None:
        options["fingerprint"] = encoder_info(model).fingerprint
        options["load"] = partial(load_for_service, model, options["fingerprint"])
    options.setdefault("static", gallery.parent / "not-built")
    return ServiceSettings(gallery=str(gallery), audit=audit, limits=limits, port=0, **options)


@contextmanager
def serving(settings: ServiceSettings, port: int = 0) -> Iterator[httpx.Client]:
    """Run a service, on any free port; yield a client of it that fails on any server error."""
    app = build_app(settings)
    listening = open_port("127.0.0.1", port)
    server = PatientServer(server_config(app, settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    port = listening.getsockname()[1]
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=60, event_hooks={"response": [no_fault]}
        ) as client:
            wait_for(lambda: server.started)
            client.app = app  # type: ignore[attr-defined]
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listening.close()


def no_fault(response: httpx.Response) -> None:
    """No request may ever meet a fault of the service itself."""
    assert response.status_code != 500, response.request.url


def wait_for(ready: Any, seconds: float = 120.0) -> None:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def uploaded(client: httpx.Client, content: bytes, name: str = "scan.nii.gz") -> dict[str, Any]:
    """Upload a scan and wait for the end of its job."""
    started = client.post(f"{API}/uploads", content=content, headers={"X-Filename": name})
    assert started.status_code == 202, started.text
    return ended(client, started.json()["job"])


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    """Wait for the end of a job."""
    told: dict[str, Any] = {}

    def over() -> bool:
        told.update(client.get(f"{API}/jobs/{job}").json())
        return told["state"] in ("done", "failed", "cancelled")

    wait_for(over)
    return told
