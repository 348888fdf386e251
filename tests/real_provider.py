"""A real, certified OpenID provider for tests (npm's oidc-provider), and a walk through it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

FOLDER = Path(__file__).parent / "oidc_provider"
SECRET = "a-secret-of-the-client-that-no-log-may-hold"


def why_no_provider() -> str | None:
    """Return why no provider can be started here, or None."""
    if shutil.which("node") is None:
        return "no program node"
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        return "no package oidc-provider: `make provider` needs npm"
    return None


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def running_provider(redirect_uri: str) -> Iterator[str]:
    """Run the provider; yield its issuer."""
    port = free_port()
    command = ["node", "provider.mjs", str(port), SECRET, redirect_uri]
    with subprocess.Popen(
        command, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as provider:
        assert provider.stdout is not None
        try:
            assert provider.stdout.readline() == b"ready\n"
            yield f"http://127.0.0.1:{port}"
        finally:
            provider.kill()


def walk(browser: httpx.Client, url: str, person: str, until: str) -> httpx.URL:
    """Follow a browser from an address through the provider's pages to another one, unopened."""
    answer = browser.get(url)
    while True:
        if answer.is_redirect:
            following = answer.url.join(answer.headers["location"])
            if str(following).startswith(until):
                return following
            answer = browser.get(following)
            continue
        assert answer.status_code == 200, answer.text
        (action,) = re.findall(r'action="([^"]+)"', answer.text)
        (prompt,) = re.findall(r'name="prompt" value="(\w+)"', answer.text)
        data = {"prompt": prompt, "login": person, "password": "any"}
        answer = browser.post(answer.url.join(action), data=data)
