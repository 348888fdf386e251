"""The start of the worker process: it confines itself before it reads or loads anything.

Imports nothing that starts threads, so that every thread of the worker is confined. The worker has
no network from its first line on. While the model loads it may read what the service may; before
the first upload that ends too: it reads programs, libraries and the uploads, nothing else.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from braincase.sources.pseudonym import KEY_FILE, local_key
from braincase.sources.sandbox import (
    SYSTEM,
    ProcessLimits,
    confine,
    die_with_parent,
    python_places,
    say_missing,
)
from braincase.sources.scratch import use_temporary

#: What libraries ask of the system when they count cores and memory.
MACHINE = ("/proc", "/sys/devices/system", "/sys/fs/cgroup", "/etc/passwd", "/etc/mime.types")


@dataclass(frozen=True)
class Confinement:
    """How the worker is confined.

    Parameters
    ----------
    parent
        The process of the service: the worker dies with it.
    folder
        The folder of uploads, the only one it may write to; it lies in another private one.
    memory_bytes
        Memory beside the model's.
    file_bytes
        Size of each file it writes.
    """

    parent: int
    folder: Path
    memory_bytes: int
    file_bytes: int


def start(confinement: Confinement, load: bytes, end: socket.socket) -> None:
    """Confine this process, then load the model and work.

    Parameters
    ----------
    confinement
        How.
    load
        The pickled function that loads the model: reading it imports libraries. It comes from the
        service; nothing pickled goes the other way.
    end
        Of the socket to the service.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the service's to handle
    os.setpgid(0, 0)  # with all that it starts it is killed as one
    die_with_parent(confinement.parent)
    os.umask(0o077)
    folder = str(confinement.folder)
    use_temporary(confinement.folder)
    # Names of people that come out of an upload are never kept: any key will do, and not the real.
    os.environ[KEY_FILE] = str(key := confinement.folder.parent / "key")
    local_key()
    os.environ["JOBLIB_MULTIPROCESSING"] = "0"  # it would ask for shared memory, and warn
    limits = ProcessLimits(file_bytes=confinement.file_bytes, may_fork=True, files=1024)
    say_missing(confine(limits, ["/"], [folder]))

    from braincase.web.intake.channel import Channel
    from braincase.web.intake.worker import work

    def shut_in() -> None:
        memory = confinement.memory_bytes + _address_space()
        limits = ProcessLimits(memory, confinement.file_bytes, may_fork=True, files=1024)
        confine(limits, [*SYSTEM, *python_places(), *MACHINE, str(key)], [folder])

    work(pickle.loads(load), Channel(end), shut_in)


def _address_space() -> int:
    """Return how much memory is mapped now, in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # no Linux: what a model takes at most
        return 8 << 30
    return pages * resource.getpagesize()
