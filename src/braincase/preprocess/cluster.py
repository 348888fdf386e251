"""SLURM jobs: run the shards of `prepare_cohort` on a cluster, or as processes of this machine.

Needs the optional package ``submitit``. Without it, the shards can be started by anything that
starts commands (``sbatch --array``, GNU parallel, Kubernetes jobs): ``braincase prepare --shard
i/N`` is all that a job has to run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from braincase.cohort.derivatives import claim_folder
from braincase.errors import BraincaseError, ParameterError, UsageError
from braincase.preprocess.prepare_cohort import (
    Plan,
    Shard,
    Summary,
    conclude,
    prepare_cohort,
    sort_out,
)
from braincase.preprocess.quality.scan_result import FOLDER, read_scan_result
from braincase.progress import progress
from braincase.sources.scan import Scan

#: How often the jobs are looked at. A cluster's controller must not be asked all the time.
POLL_S = {"local": 1.0, "slurm": 5.0}
#: How long after a job's end its result may still appear.
LATE_RESULT_S = 10.0
#: What submitit draws above and below a job's trace.
TRACE_LINE = "-" * 22


@dataclass(frozen=True)
class Jobs:
    """The resources to request of the cluster: jobs, cores, memory, time.

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
    account
        Whom the cluster charges, or None for its default.
    """

    where: Literal["slurm", "local"] = "slurm"
    shards: int = 4
    cores: int = 4
    memory_gb: int = 8
    minutes: int = 240
    partition: str | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no cluster can do."""
        for name in ("shards", "cores", "memory_gb", "minutes"):
            if getattr(self, name) < 1:
                raise UsageError(name, str(getattr(self, name)), "at least 1")


class JobPaths(Protocol):
    """Where submitit puts a job's files."""

    result_pickle: Path


class SubmittedJob(Protocol):
    """What is used of submitit's jobs; submitit has no types here."""

    job_id: str
    paths: JobPaths

    def done(self) -> bool:
        """Return whether the job has ended."""
        ...

    def cancel(self, check: bool = True) -> None:
        """End the job."""
        ...

    def exception(self) -> BaseException | None:
        """Return what the job failed with."""
        ...


def launch(scans: Sequence[Scan], plan: Plan, jobs: Jobs) -> Summary:
    """Prepare scans into a cohort in several jobs, wait for them, and return the summary.

    The jobs' output lies in the cohort's folder ``qc/jobs``.

    Raises
    ------
    UsageError
        If submitit is not installed, the cluster is missing or does not take the jobs, or the
        folder holds something else.
    BraincaseError
        If jobs failed; what was done stays, so the same command goes on from there.
    """
    claim_folder(plan.folder)
    logs = plan.folder / FOLDER / "jobs"
    accepted, refused = sort_out(scans, plan)
    # Workers of a job are its cores; a scan's own steps use one thread each.
    work = partial(prepare_cohort, list(scans), plan, workers=jobs.cores)
    submitted = _submit(logs, jobs, work)
    try:
        _wait(submitted, jobs.where, partial(_left, plan), accepted)
    except KeyboardInterrupt:
        for job in submitted:
            job.cancel(check=False)
        raise
    failed = {job.job_id: reason for job in submitted if (reason := _why_failed(job))}
    if failed:
        first = "; ".join(f"job {name}: {reason}" for name, reason in [*failed.items()][:1])
        found = f"{len(failed)} of {jobs.shards} jobs failed ({first})"
        advice = f"Read their output in {logs}, then run the same command again."
        raise BraincaseError(plan.folder, found, "", advice)
    return conclude(accepted, plan, refused)


def _submit(logs: Path, jobs: Jobs, work: Callable[[Shard], Summary]) -> list[SubmittedJob]:
    """Submit one job a shard to the cluster."""
    if find_spec("submitit") is None:
        advice = "pip install submitit, or start braincase prepare --shard i/N yourself."
        raise ParameterError("launcher", "submitit is not installed", "", advice)
    import submitit
    from submitit.core.utils import FailedJobError

    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=jobs.where)
    except RuntimeError as error:
        raise ParameterError("launcher", str(error), "a SLURM cluster (srun)") from None
    optional = {"partition": jobs.partition, "account": jobs.account}
    executor.update_parameters(
        name="braincase-prepare",
        timeout_min=jobs.minutes,
        cpus_per_task=jobs.cores,
        mem_gb=jobs.memory_gb,
        **{f"slurm_{name}": value for name, value in optional.items() if value},
    )
    try:
        return list(
            executor.map_array(work, [Shard(i + 1, jobs.shards) for i in range(jobs.shards)])
        )
    except FailedJobError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sbatch: error: ")
        raise ParameterError("launcher", reason, "a cluster that takes the jobs") from None


def _left(plan: Plan, scans: Sequence[Scan]) -> list[Scan]:
    """Return the scans that no job has judged yet."""
    results = ((scan, read_scan_result(plan.folder, scan)) for scan in scans)
    return [scan for scan, done in results if not (done and done.is_of(scan, plan.recipe))]


def _wait(
    submitted: Sequence[SubmittedJob],
    where: str,
    left: Callable[[Sequence[Scan]], list[Scan]],
    scans: Sequence[Scan],
) -> None:
    """Wait until all jobs have ended, telling how many scans are done and what the jobs do."""
    todo, last_line = left(scans), ""
    with progress("preparing", len(todo)) as advance:
        while states := _states(submitted, where):
            counts = sorted(Counter(states.values()).items())
            line = ", ".join(f"{n} {state}" for state, n in counts)
            if line != last_line:
                print(f"jobs: {line}", file=sys.stderr, flush=True)
                last_line = line
            time.sleep(POLL_S[where])
            before, todo = len(todo), left(todo)
            advance(before - len(todo))
        advance(len(todo) - len(left(todo)))


def _states(submitted: Sequence[SubmittedJob], where: str) -> dict[str, str]:
    """Return what each job does that has not ended: ``running``, or ``pending`` and why.

    SLURM's queue is asked and not `job.done()`, which needs the accounting database: on a cluster
    without one, or for minutes with one, it takes a job that was killed for running.
    """
    if where == "local":
        return {job.job_id: "running" for job in submitted if not job.done()}
    names = ",".join(sorted({job.job_id.split("_")[0] for job in submitted}))
    command = ["squeue", "--array", "--noheader", "--format=%i %T %r", f"--jobs={names}"]
    queue = subprocess.run(command, capture_output=True, text=True)
    if queue.returncode and "Invalid job id" not in queue.stderr:
        return {job.job_id: "unknown: squeue does not answer" for job in submitted}
    states = {}
    for line in queue.stdout.splitlines():
        name, state, reason = line.split(maxsplit=2)
        states[name] = state.lower() + ("" if reason == "None" else f" ({reason})")
    return states


def _why_failed(job: SubmittedJob) -> str:
    """Return the last line of what went wrong in a job that has ended, or nothing."""
    deadline = time.monotonic() + LATE_RESULT_S
    while not job.paths.result_pickle.exists() and time.monotonic() < deadline:
        time.sleep(1)  # a shared file system may show the result late
    if not job.paths.result_pickle.exists():
        return "it ended without a result: out of time or memory, or cancelled"
    _, _, rest = str(job.exception() or "").partition(TRACE_LINE)
    trace = rest.partition(TRACE_LINE)[0].strip().splitlines()
    return trace[-1] if trace else ""
