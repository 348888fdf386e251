"""Run the shards of `prepare_cohort` as jobs: on a SLURM cluster, or as processes of this machine.

Needs the optional package ``submitit``. Without it, the shards can be started by anything that
starts commands (``sbatch --array``, GNU parallel, Kubernetes jobs): ``braincase prepare --shard
i/N`` is all that a job has to run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from braincase.errors import BraincaseError, UsageError
from braincase.preprocess.outcome import FOLDER
from braincase.preprocess.prepare import Plan, Shard, Summary, conclude, prepare_cohort, sort_out
from braincase.progress import progress
from braincase.sources.scan import Scan

POLL_S = 1.0


@dataclass(frozen=True)
class Jobs:
    """What to ask of the cluster.

    Parameters
    ----------
    where
        ``slurm``, or ``local`` for processes of this machine.
    shards
        Number of jobs.
    cores
        Cores of each job; as many scans are prepared at a time.
    memory_gb
        Memory of each job; a scan takes up to about 1.5 GB.
    minutes
        Time limit of each job. A job that is cut off loses nothing but the scans in its hands.
    partition
        The cluster's partition, or None for its default.
    """

    where: Literal["slurm", "local"] = "slurm"
    shards: int = 4
    cores: int = 4
    memory_gb: int = 8
    minutes: int = 240
    partition: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no cluster can do."""
        for name in ("shards", "cores", "memory_gb", "minutes"):
            if getattr(self, name) < 1:
                raise UsageError(name, str(getattr(self, name)), "at least 1")


def launch(scans: Sequence[Scan], plan: Plan, jobs: Jobs) -> Summary:
    """Prepare scans into a cohort in several jobs, wait for them, and return the summary.

    The jobs' output lies in the cohort's folder ``qc/jobs``.

    Raises
    ------
    UsageError
        If submitit is not installed or the cluster's commands are missing.
    BraincaseError
        If jobs failed; what was done is kept, so the same command goes on from there.
    """
    logs = plan.folder / FOLDER / "jobs"
    executor = _executor(logs, jobs)
    shards = [Shard(i + 1, jobs.shards) for i in range(jobs.shards)]
    # Workers of a job are its cores; a scan's own steps use one thread each.
    work = partial(prepare_cohort, list(scans), plan, workers=jobs.cores)
    running = executor.map_array(work, shards)
    _wait(running)
    failed = [job for job in running if job.exception() is not None]
    if failed:
        found = f"{len(failed)} of {jobs.shards} jobs failed (job {failed[0].job_id})"
        advice = f"Read its output in {logs}, then run the same command again."
        raise BraincaseError(plan.folder, found, "", advice)
    kept, refused = sort_out(scans, plan)
    return conclude(kept, plan, refused)


def _executor(logs: Path, jobs: Jobs) -> Any:
    if find_spec("submitit") is None:
        advice = "pip install submitit, or start braincase prepare --shard i/N yourself."
        raise UsageError("--launcher", "submitit is not installed", "", advice)
    import submitit

    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=jobs.where)
    except RuntimeError as error:
        raise UsageError("--launcher", str(error), "a SLURM cluster (srun)") from None
    executor.update_parameters(
        name="braincase-prepare",
        timeout_min=jobs.minutes,
        cpus_per_task=jobs.cores,
        mem_gb=jobs.memory_gb,
        **({"slurm_partition": jobs.partition} if jobs.partition else {}),
    )
    return executor


def _wait(running: Sequence[Any]) -> None:
    """Wait for all jobs, telling how many are done."""
    with progress("jobs", len(running)) as advance:
        done = 0
        while done < len(running):
            time.sleep(POLL_S)
            now = sum(job.done() for job in running)
            advance(now - done)
            done = now
