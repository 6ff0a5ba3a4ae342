"""Jobs that Slurm holds: Snakemake waits for them, and says nothing."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

EVERY_S = 30
# Reasons that pass by themselves: the job waits for its turn, or is about to start.
PASSING = ("None", "Priority", "Resources", "Dependency", "BeginTime", "Prolog", "Cleaning", "JobArrayTaskLimit")
REMEDIES = {"PartitionTimeLimit": "set `slurm_partition`, or a shorter `runtime`, under `set-resources` in the profile"}


def held() -> dict[str, str]:
    """Return a line for each pending job of this folder that does not only wait for its turn, by job.

    Empty if there is no Slurm, or if it does not answer.
    """
    if not shutil.which("squeue"):
        return {}
    command = ["squeue", "--me", "--noheader", "--states=PENDING", "--format=%i|%r|%l|%P|%Z"]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return {}
    jobs = [line.split("|", 4) for line in answer.splitlines() if line.count("|") >= 4]
    return {
        job: f"Slurm holds job {job} ({reason}): it requests {time} on partition {partition}; "
        + REMEDIES.get(reason, f"see: scontrol show job {job}")
        for job, reason, time, partition, folder in jobs
        if Path(folder) == Path.cwd() and reason not in PASSING
    }


def watch() -> None:
    """Print the line of each job that Slurm holds, once, while this process runs."""
    if shutil.which("squeue"):
        threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    told: set[str] = set()
    while True:
        for job, line in held().items():
            if job not in told:
                print(f"heldout: {line}", file=sys.stderr, flush=True)
                told.add(job)
        threading.Event().wait(EVERY_S)
