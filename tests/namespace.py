"""A network namespace of its own, for servers that listen on all interfaces."""

from __future__ import annotations

import shutil
import subprocess


def why_no_namespace() -> str | None:
    """Return why no network namespace can be made here, or None."""
    for program in ("unshare", "ip"):
        if shutil.which(program) is None:
            return f"no program {program}"
    tried = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return f"no network namespace: {tried.stderr.strip()}" if tried.returncode else None


def loopback_up() -> None:
    """Give this namespace a loopback and an address that is no loopback, which servers look for."""
    for command in (
        "ip link set lo up",
        "ip link add d0 type dummy || ip link add d0 type bridge || ip link add d0 type veth",
        "ip addr add 10.9.9.1/24 dev d0",
        "ip link set d0 up",
    ):
        subprocess.run(command, shell=True, check=True, stderr=subprocess.DEVNULL)
