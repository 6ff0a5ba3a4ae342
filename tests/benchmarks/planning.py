"""How long `snakemake -n` takes, and how much memory, from a small experiment to thousands of jobs.

20 classes, 5 seeds and 20 methods, 2,000 scorings with as many trainings and what lies around them, are to be planned
in 20 seconds and 1 GB.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from tests.benchmarks._measuring import Growth

EVERY_METHOD = Path("workflow/experiments/all-methods-small.yaml")
# Datasets of ten classes, seeds, methods.
SIZES = ((["mnist"], 1, 3), (["mnist"], 1, 20), (["mnist"], 3, 20), (["mnist", "fashion_mnist"], 5, 20))
LARGEST = (["mnist", "fashion_mnist"], 9, 31)
# By a process between, since a process begins with the peak of the one that starts it.
MEASURED = """
import resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL, check=True)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def measure(rounds: int) -> list[Growth]:
    seconds, memory = [], []
    for datasets, seeds, methods in (*SIZES, LARGEST):
        jobs, taken, peak = sorted(_planned(datasets, seeds, methods) for _ in range(rounds))[rounds // 2]
        seconds.append((jobs, taken))
        memory.append((jobs, peak))
    along = "jobs"
    return [
        Growth("snakemake -n, seconds", along, {"planning": seconds}, goal=20),
        Growth("snakemake -n, peak memory in MiB", along, {"planning": memory}, goal=1000),
    ]


def _planned(datasets: list[str], seeds: int, methods: int) -> tuple[int, float, float]:
    """Return jobs, seconds and MiB of one planning."""
    every = yaml.safe_load(EVERY_METHOD.read_text(encoding="utf-8"))
    experiment = {
        "experiment": "planning",
        "datasets": {name: {} for name in datasets},
        "seeds": list(range(seeds)),
        "calibration": 0.1,
        "labelled_anomalies": 50,
        "models": every["models"],
        "methods": dict(list(every["methods"].items())[:methods]),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planning.yaml"
        path.write_text(yaml.safe_dump(experiment), encoding="utf-8")
        planning = ["snakemake", "-n", "--configfile", path]
        done = subprocess.run([sys.executable, "-c", MEASURED, *planning], capture_output=True, text=True, check=True)
    *output, measures = done.stdout.splitlines()
    taken, peak = map(float, measures.split())
    (jobs,) = {line.split()[1] for line in output if line.startswith("total")}
    return int(jobs), taken, peak
