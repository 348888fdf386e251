"""The real Milvus server of the PyPI wheel ``milvus``, alone in a network namespace.

The server listens on all interfaces, so it gets a namespace of its own: loopback and one dummy
interface, nothing outside. Run as a program it starts the server and waits until it is told to end:

    unshare --net python tests/milvus_server.py FOLDER PORT
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from namespace import loopback_up, why_no_namespace

PORT = 29531
CLONE_NEWNET = 0x40000000
READY_S = 120


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and the process whose namespace it is in."""

    address: str
    pid: int

    @contextmanager
    def reachable(self) -> Iterator[str]:
        """Take this thread, and what it starts, into the server's namespace; yield the address."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as home, open(f"/proc/{self.pid}/ns/net") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield self.address
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)


def why_not() -> str | None:
    """Return why no server can run here, or None."""
    for package in ("pymilvus", "milvus"):
        if importlib.util.find_spec(package) is None:
            return f"no package {package}: pip install 'braincase[distributed-test]' (Linux x86-64)"
    return why_no_namespace()


@contextmanager
def running_server() -> Iterator[Server]:
    """Start the server, 3 to 10 seconds, and end it afterwards; its files (450 MB) are removed."""
    folder = tempfile.mkdtemp(prefix="braincase-milvus-")
    command = ["unshare", "--net", sys.executable, __file__, folder, str(PORT)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("ready"):
            raise RuntimeError(f"Milvus did not start: {line or process.wait()}")
        yield Server(f"127.0.0.1:{PORT}", process.pid)
    finally:
        process.communicate()  # closes its input, which ends it
        shutil.rmtree(folder, ignore_errors=True)


def configured(folder: Path, port: int) -> Path:
    """Unpack the server and bind what can be bound to loopback; return its home."""
    import milvus
    from milvus import MilvusServerConfig

    config = MilvusServerConfig(data_dir=str(folder), proxy_port=port)
    config.resolve()
    milvus._initialize_data_files(config.base_data_dir)
    settings = folder / "configs" / "milvus.yaml"
    text = settings.read_text()
    settings.write_text(re.sub(r"^(\s+)ip:.*$", r"\1ip: 127.0.0.1", text, flags=re.MULTILINE))
    return folder


def start_standalone(home: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the server and wait until it is healthy."""
    environment = {
        **os.environ,
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(port + 1000),
        "MILVUS_RUN_DIR": str(home / "run"),
        "LD_LIBRARY_PATH": str(home / "bin"),
    }
    with open(home / "server.log", "wb") as log:
        server = subprocess.Popen(
            [home / "bin" / "milvus", "run", "standalone"],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    begun = time.monotonic()
    while time.monotonic() - begun < READY_S and server.poll() is None:
        if healthy(port + 1000):
            return server
        time.sleep(0.2)
    server.kill()
    sys.exit(f"not healthy: {(home / 'server.log').read_text()[-500:]}")


def healthy(port: int) -> bool:
    """Return whether a Milvus process answers so on its metrics port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    loopback_up()
    server = start_standalone(configured(folder, port), port)
    print("ready", flush=True)
    sys.stdin.read()  # until the test run ends, in whatever way
    server.kill()
    server.wait()


if __name__ == "__main__":
    main()
