"""How long `snakemake -n` takes, and how much memory, from a small experiment to thousands of jobs.

20 classes, 5 seeds and 20 methods, 2,000 scorings with as many trainings and what lies around them, are to be planned
in 20 seconds and 1 GB. Of Snakemake's own time for as many jobs of one rule, the quickstart is to take at most 1.4
times, and these at most twice. `snakemake -n` has one thread; all times are of the processor.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks._measuring import Growth, Row, in_turn, processor_time_of_children

EVERY_METHOD = Path("workflow/experiments/all-methods-small.yaml")
# Datasets of ten classes, seeds, methods.
SIZES = ((["mnist"], 1, 3), (["mnist"], 1, 20), (["mnist"], 3, 20), (["mnist", "fashion_mnist"], 5, 20))
LARGEST = (["mnist", "fashion_mnist"], 9, 31)
# By a process between, since a process begins with the peak of the one that starts it.
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL, check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
"""


ONE_RULE = """
rule all:
    input: expand("made/{{number}}", number=range({jobs} - 1))
rule one:
    output: "made/{{number}}"
    shell: "touch {{output}}"
"""


def measure(rounds: int) -> list[Growth | Row]:
    seconds, memory = [], []
    for datasets, seeds, methods in (*SIZES, LARGEST):
        jobs, taken, peak = sorted(_planned(datasets, seeds, methods) for _ in range(rounds))[rounds // 2]
        seconds.append((jobs, taken))
        memory.append((jobs, peak))
    along = "jobs"
    return [
        Growth("snakemake -n, processor seconds", along, {"planning": seconds}, goal=20),
        Growth("snakemake -n, peak memory in MiB", along, {"planning": memory}, goal=1000),
        _against_one_rule("the quickstart", Path("config.yaml"), rounds, goal=0.71),
        _against_one_rule("thousands of jobs", _experiment(*SIZES[-1]), rounds, goal=0.5),
    ]


def _against_one_rule(what: str, experiment: Path | dict[str, Any], rounds: int, goal: float) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(experiment, dict):
            content, experiment = experiment, Path(folder) / "planning.yaml"
            experiment.write_text(yaml.safe_dump(content), encoding="utf-8")
        ours = ["snakemake", "-n", "--configfile", experiment]
        jobs = _jobs(subprocess.run(ours, capture_output=True, text=True, check=True).stdout)
        (Path(folder) / "Snakefile").write_text(ONE_RULE.format(jobs=jobs), encoding="utf-8")
        quietly = {"capture_output": True, "check": True}
        contenders = {
            "one rule": (lambda: subprocess.run(["snakemake", "-n"], cwd=folder, **quietly), 1),
            "heldout": (lambda: subprocess.run(ours, **quietly), 1),
        }
        seconds = in_turn(contenders, rounds, processor_time_of_children)
        return Row(f"snakemake -n, {what}, {jobs} jobs", *contenders, "plan", goal, seconds)


def _experiment(datasets: list[str], seeds: int, methods: int) -> dict[str, Any]:
    every = yaml.safe_load(EVERY_METHOD.read_text(encoding="utf-8"))
    return {
        "experiment": "planning",
        "datasets": {name: {} for name in datasets},
        "seeds": list(range(seeds)),
        "calibration": 0.1,
        "labelled_anomalies": 50,
        "models": every["models"],
        "methods": dict(list(every["methods"].items())[:methods]),
    }


def _planned(datasets: list[str], seeds: int, methods: int) -> tuple[int, float, float]:
    """Return jobs, seconds and MiB of one planning."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planning.yaml"
        path.write_text(yaml.safe_dump(_experiment(datasets, seeds, methods)), encoding="utf-8")
        planning = ["snakemake", "-n", "--configfile", path]
        done = subprocess.run([sys.executable, "-c", MEASURED, *planning], capture_output=True, text=True, check=True)
    taken, peak = map(float, done.stdout.splitlines()[-1].split())
    return _jobs(done.stdout), taken, peak


def _jobs(output: str) -> int:
    (jobs,) = {line.split()[1] for line in output.splitlines() if line.startswith("total")}
    return int(jobs)
