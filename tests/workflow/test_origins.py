"""One class is scored with the native kernel, and one on a machine without a compiler: the tables say so."""

from dataclasses import replace

import pandas as pd
import pytest

from tests.workflow.conftest import TRIAL

pytestmark = pytest.mark.slow


def test_a_class_scored_with_the_kernel_and_one_without_share_no_runtime(project, compiler):
    models = {"wgan": TRIAL["models"]["wgan"]}
    changes = {"models": models, "methods": {"adgan": {"starts": 2, "steps": 1}}, "figures": []}
    name = project.write("trial.yaml", **changes | {"held_out": [1]})
    project.snakemake("--configfile", name)
    without = replace(project, environment=project.environment | {"CXX": "/nowhere/c++"})
    name = project.write("trial.yaml", **changes | {"held_out": [1, 8]})
    without.snakemake("--configfile", name)
    tables = project.folder / "results" / "trial" / "tables"
    runtime = pd.read_csv(tables / "runtime.csv")
    assert runtime.backend.tolist() == ["native", "torch"] and runtime.runs.tolist() == [1, 1]
    note = "Mixed origins. backend of the joint search: native, but torch for adgan (8)."
    assert all(note in (tables / table).read_text() for table in ("auroc.md", "auprc.md", "runtime.md"))
