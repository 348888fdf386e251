"""A real SLURM cluster of one node, alone in a network namespace, for as long as a command runs.

    unshare --net python tests/slurm_node.py FOLDER COMMAND...

Needs root and Debian's packages slurmctld, slurmd, slurm-client and munge. There is no accounting
database, as on many small clusters.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from namespace import loopback_up, why_no_namespace

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
READY_S = 30
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=16000 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def why_not() -> str | None:
    """Return why no cluster can run here, or None."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}: apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid():
        return "only root can start a SLURM node"
    return why_no_namespace()


def on_cluster(folder: Path, command: list[str], **options) -> subprocess.CompletedProcess[str]:
    """Run a command on a cluster of its own, and return what became of it."""
    start = ["unshare", "--net", sys.executable, __file__, str(folder), *command]
    return subprocess.run(start, capture_output=True, text=True, **options)


def main() -> int:
    """Start the daemons, run the command, stop the daemons."""
    folder, command = Path(sys.argv[1]).resolve(), sys.argv[2:]
    loopback_up()
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munged insists that nobody else can write there
    key, cores = folder / "munge.key", os.cpu_count()
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    host = socket.gethostname().split(".")[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder, cores=cores))
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    own = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "log", "pid", "seed")]
    daemons = (
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *own],
        ["slurmctld", "-D", "-c", "-f", str(configuration)],
        ["slurmd", "-D", "-f", str(configuration)],
    )
    with ExitStack() as stack, open(folder / "daemons.log", "w") as log:
        for daemon in daemons:
            process = subprocess.Popen(daemon, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            time.sleep(1)
        _wait_until_idle(environment)
        return subprocess.run(command, env=environment).returncode


def _wait_until_idle(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        asked = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True)
        if asked.stdout.strip() == b"idle":
            return
        time.sleep(0.5)
    raise SystemExit("the SLURM node did not become idle")


if __name__ == "__main__":
    sys.exit(main())
