"""What bfloat16 changes: searches in it, and models trained in it, on three digits and two seeds.

Two experiments, `half-precision-float32` and `half-precision-bfloat16`, which differ in the precision of their
trainings; in each, every search runs in both. They leave their files in results/, as any experiment does.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.stats import spearmanr

from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.storage.score_files import read_scores
from tests.benchmarks._measuring import Table

SEARCHES = {
    "anogan": {"method": "anogan", "steps": 100, "z_lr": 0.05},
    "adgan, z alone": {"method": "adgan", "model": "dcgan", "theta_lr": 0, "starts": 8, "block": 64},
}
TRAINED = ("anogan", "adgan", "discriminator", "ganomaly")  # methods whose AUROC by precision of training is shown
PRECISIONS = ("float32", "bfloat16")


def measure(rounds: int) -> list[Table]:
    """Run both experiments once, whatever `rounds`: what they show is no time."""
    plans = {precision: Plan(resolve(_experiment(precision), where="the benchmark")) for precision in PRECISIONS}
    auroc = {}
    for precision in PRECISIONS:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            yaml.safe_dump(_experiment(precision), file)
            file.flush()
            subprocess.run(["snakemake", "--cores", "all", "--quiet", "all", "--configfile", file.name], check=True)
        table = pd.read_csv(Path("results", f"half-precision-{precision}", "tables", "metrics.csv"))
        auroc[precision] = table[table.held_out == "mean"].set_index("method")
    return [_of_searches(plans["float32"], auroc["float32"]), _of_trainings(auroc)]


def _experiment(precision: str) -> dict:
    searches = {
        _slug(name, steps): params | {"precision": steps} for name, params in SEARCHES.items() for steps in PRECISIONS
    }
    return {
        "experiment": f"half-precision-{precision}",
        "datasets": {"mnist5k": {}},
        "held_out": [2, 5, 8],
        "seeds": [0, 1],
        "test_items": 300,
        "models": {
            "dcgan": {"steps": 400, "width": 32, "generator_z": "reused"},
            "ganomaly": {"steps": 300, "batch": 32, "width": 24},
        },
        "methods": searches
        | {"adgan": {"model": "dcgan", "starts": 8}, "discriminator": {"model": "dcgan"}, "ganomaly": {}},
        "precision": precision,
        "figures": ["roc"],
        "bootstrap": 100,
    }


def _slug(name: str, precision: str) -> str:
    return f"{name.replace(', ', '-').replace(' ', '-')}-{precision}"


def _of_searches(plan: Plan, auroc: pd.DataFrame) -> Table:
    rows = []
    for name in SEARCHES:
        correlations, changes = [], []
        for run in plan.runs:
            full, half = (
                np.array(read_scores(Path(run.scorings[_slug(name, precision)].path)).columns["score"])
                for precision in PRECISIONS
            )
            correlations.append(spearmanr(full, half).statistic)
            changes.append(np.abs(half / full - 1).max())
        means = [f"{auroc.auroc[_slug(name, precision)]:.3f}" for precision in PRECISIONS]
        lowest, highest = min(correlations), max(changes)
        rows.append([name, *means, f"{np.mean(correlations):.4f} ({lowest:.4f})", f"{100 * highest:.2g} %"])
    header = ["steps of the search in", *PRECISIONS, "rank correlation, mean (lowest)", "largest change of a score"]
    return Table("AUROC, mean over three digits and two seeds, of models trained in float32", header, rows)


def _of_trainings(auroc: dict[str, pd.DataFrame]) -> Table:
    rows = []
    for method in TRAINED:
        name = _slug(method, "float32") if method in SEARCHES else method
        cells = [f"{auroc[each].auroc[name]:.3f} ± {auroc[each].auroc_seed_sd[name]:.3f}" for each in PRECISIONS]
        rows.append([method, *cells])
    return Table("AUROC, mean over three digits, ± between seeds", ["models trained in", *PRECISIONS], rows)
