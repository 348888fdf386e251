"""A sandbox for processes that read foreign files: Landlock, seccomp and resource limits (Linux).

`confine` shuts in the process that calls it; `run_confined` runs a program shut in. A confined
process opens no socket, reads and writes only the folders that it is given, gains no rights and
stays within limits of memory, time, file size and processes. It needs no root, no user namespace
and no tool, so it works inside containers too. What the system does not offer is said in the log.

This file uses the standard library alone: `run_confined` starts it as a program of its own
(``python -I -S sandbox.py``) that confines itself and then becomes the program asked for.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import json
import logging
import os
import platform
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

#: Folders of a system's programs and libraries; nothing of users.
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/zero", "/dev/urandom"),
)
#: The exit code of a launcher that could not start the program.
NOT_STARTED = 126

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
#: Landlock: system calls (the same on all machines), flags, and access rights by ABI version.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _DEVICE_CONTROL = 1 << 14, 1 << 15
_ALL_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_CONTROL
#: seccomp: numbers of the system calls that no reader of images needs, by machine. In order:
#: socket; ptrace, process_vm_readv, process_vm_writev, pidfd_getfd; mount, umount2, pivot_root,
#: chroot, open_tree, move_mount, fsopen, fsmount, open_by_handle_at; unshare, setns; bpf,
#: perf_event_open, userfaultfd; add_key, request_key, keyctl; io_uring_setup, _enter, _register;
#: init_module, finit_module, delete_module, kexec_load, kexec_file_load, reboot, swapon.
_DENIED: dict[str, tuple[int, tuple[int, ...]]] = {
    "x86_64": (
        0xC000003E,
        (
            *(41, 101, 310, 311, 438, 165, 166, 155, 161, 428, 429, 430, 432, 304, 272, 308, 321),
            *(298, 323, 248, 249, 250, 425, 426, 427, 175, 313, 176, 246, 320, 169, 167),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (
            *(198, 117, 270, 271, 438, 40, 39, 41, 51, 428, 429, 430, 432, 265, 97, 268, 280),
            *(241, 282, 217, 218, 219, 425, 426, 427, 105, 273, 106, 104, 294, 142, 224),
        ),
    ),
}
#: clone, fork, vfork, clone3: denied too where no further process is allowed.
_FORKS = {"x86_64": (56, 57, 58, 435), "aarch64": (220, 435)}


@dataclass(frozen=True)
class ProcessLimits:
    """What a confined process may use; None means no limit.

    Parameters
    ----------
    memory_bytes
        Address space.
    file_bytes
        Size of each file it writes.
    cpu_s
        Processor time.
    may_fork
        Whether it may start processes and threads.
    files
        Open files at once.
    """

    memory_bytes: int | None = None
    file_bytes: int | None = None
    cpu_s: int | None = None
    may_fork: bool = False
    files: int = 256


def confine(
    limits: ProcessLimits, readable: Sequence[str], writable: Sequence[str]
) -> tuple[str, ...]:
    """Confine this process for good, and return what the system does not offer, in words.

    Parameters
    ----------
    limits
        Resource limits.
    readable
        Files and folders it may read, run and list from now on.
    writable
        Folders it may also write.
    """
    set_limits(limits)
    if sys.platform != "linux":
        return ("no sandbox on this system, only limits of memory, time and files",)
    missing = []
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if not _restrict_files(libc, readable, writable):
        missing.append("Landlock (Linux 5.13): it could read this user's other files")
    if not _filter_calls(libc, limits.may_fork):
        missing.append("seccomp on x86_64 or aarch64: it could use the network")
    return tuple(missing)


def set_limits(limits: ProcessLimits) -> None:
    """Set the resource limits of this process; none is ever raised."""
    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_NPROC: None if limits.may_fork else 0,
        resource.RLIMIT_NOFILE: limits.files,
        resource.RLIMIT_CORE: 0,
    }
    for what, most in wanted.items():
        if most is not None:
            _, hard = resource.getrlimit(what)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            with contextlib.suppress(ValueError, OSError):  # macOS has no limit of address space
                resource.setrlimit(what, (most, most))


def die_with_parent(parent: int) -> None:
    """Have this process killed when the one that started it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it has ended already
            os._exit(NOT_STARTED)


def python_places() -> tuple[str, ...]:
    """Return where this Python and its packages lie."""
    found = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(sys.executable)]
    found += [os.path.dirname(os.path.realpath(sys.executable)), os.path.dirname(__file__)]
    # `python -m` puts the working folder there too, where people keep their data.
    found += [place for place in sys.path if place and os.path.abspath(place) != os.getcwd()]
    return tuple(dict.fromkeys(os.path.abspath(place) for place in found))


def run_confined(
    command: Sequence[str],
    limits: ProcessLimits,
    readable: Sequence[str],
    writable: Sequence[str],
    timeout_s: float,
) -> subprocess.CompletedProcess[str]:
    """Run a program confined, without this process's environment, and return how it ended.

    It is killed with this process, and when the time is over.

    Parameters
    ----------
    command
        The program's file and its arguments.
    limits, readable, writable
        See `confine`; the system's libraries may always be read.
    timeout_s
        Seconds it may run.

    Raises
    ------
    OSError, subprocess.TimeoutExpired
        If it does not start, or end.
    """
    told = {
        "parent": os.getpid(),
        "limits": dataclasses.asdict(limits),
        "readable": [*SYSTEM, os.path.dirname(command[0]), *readable],
        "writable": [*writable],
    }
    launcher = [sys.executable, "-I", "-S", __file__, json.dumps(told), *command]
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TMPDIR": writable[0] if writable else "/"}
    done = subprocess.run(
        launcher,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    first, _, rest = done.stderr.partition("\n")
    if done.returncode == NOT_STARTED or not first.startswith("sandbox:"):
        raise OSError(errno.EACCES, rest.strip() or first or "it did not start in the sandbox")
    say_missing(tuple(json.loads(first.removeprefix("sandbox:"))))
    return subprocess.CompletedProcess(command, done.returncode, done.stdout, rest)


@cache
def say_missing(missing: tuple[str, ...]) -> None:
    """Say in the log, once, what the system does not offer."""
    if missing:
        text = "Foreign files are read without %s."
        logging.getLogger("braincase").warning(text, "; without ".join(missing))


def _restrict_files(libc: ctypes.CDLL, readable: Sequence[str], writable: Sequence[str]) -> bool:
    """Let only some places be read or written (Landlock); False if the system cannot."""
    abi = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return False
    rights = max(mask for version, mask in _ALL_RIGHTS.items() if version <= abi)
    # Files; TCP, none of which is allowed; signals and abstract sockets to others.
    attributes = struct.pack("QQQ", rights, 3, 3)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    read = _EXECUTE | _READ_FILE | _READ_DIR
    write = rights & ~_DEVICE_CONTROL
    rules = [*((place, read) for place in readable), *((place, write) for place in writable)]
    rules.append(("/dev/null", _READ_FILE | _WRITE_FILE))
    for place, allowed in rules:
        with contextlib.suppress(OSError):  # what is not there need not be allowed
            _allow(libc, ruleset, place, allowed & rights)
    done = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return bool(done)


def _allow(libc: ctypes.CDLL, ruleset: int, place: str, allowed: int) -> None:
    descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
    try:
        allowed = allowed if os.path.isdir(place) else allowed & _FILE_RIGHTS
        libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed, descriptor), 0)
    finally:
        os.close(descriptor)


def _filter_calls(libc: ctypes.CDLL, may_fork: bool) -> bool:
    """Deny dangerous system calls in all threads (seccomp-BPF); False if the system cannot."""
    machine = platform.machine()
    if machine not in _DENIED or sys.maxsize < 2**32:
        return False
    architecture, denied = _DENIED[machine]
    denied += () if may_fork else _FORKS[machine]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    refuse, allow, kill = 0x00050000 | errno.EACCES, 0x7FFF0000, 0x80000000
    count = len(denied)  # a jump counts from the next line: to the last one, past "allow"
    program = [
        (load, 0, 0, 4),  # the machine of the call
        (equal, 1, 0, architecture),
        (give, 0, 0, kill),
        (load, 0, 0, 0),  # its number
        (at_least, count + 1, 0, 0x40000000),  # x32, whose numbers are others
        *((equal, count - i, 0, number) for i, number in enumerate(denied)),
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    ]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    packed = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    synchronise, set_filter = 1, 1
    number = {"x86_64": 317, "aarch64": 277}[machine]
    return bool(libc.syscall(number, set_filter, synchronise, packed) == 0)


def _launch(told: str, command: list[str]) -> None:
    """Confine this process and become another program."""
    asked = json.loads(told)
    die_with_parent(asked["parent"])
    missing = confine(ProcessLimits(**asked["limits"]), asked["readable"], asked["writable"])
    print("sandbox:" + json.dumps(missing), file=sys.stderr, flush=True)
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
    os._exit(NOT_STARTED)


if __name__ == "__main__":
    _launch(sys.argv[1], sys.argv[2:])
