"""What CONTRIBUTING.md promises: a copy of a template is an entry, and no other file has to be edited."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from heldout import registry
from tests.conftest import REPOSITORY
from tests.workflow.conftest import Project

# How an experiment names a copy of each kind's template; `both` and `loss` read other entries.
CONTRIBUTED = {
    "dataset": {"datasets": {"my_dataset": {}}},
    "model": {"models": {"my_model": {"steps": 2, "batch": 8, "latent": 8, "width": 4}}},
    "method": {"methods": {"my_method": {}, "loss": {"method": "reconstruction", "model": "my_model"}}},
    "combination": {
        "methods": {"both": {"method": "combine", "by": "my_combination", "of": ["mean_image", "my_method"]}}
    },
    "figure": {"figures": ["roc", "my_figure"]},
}
TEMPLATES = sorted(path.parent.name.removesuffix("s") for path in registry.PACKAGE.glob("*/_template.py"))
SCHEMA = "workflow/heldout/planning/schema.json"
RUNS = ("results", "data", ".snakemake")  # what a run writes


def files_of(folder: Path) -> dict[str, str]:
    """Return the hash of each file that is no result of a run."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        name.as_posix(): hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in found
        if name.parts[0] not in RUNS and "__pycache__" not in name.parts
    }


def copy_template(folder: Path, kind: str) -> str:
    """Do what CONTRIBUTING.md says; return the name of the new file."""
    template = Path("workflow/heldout", f"{kind}s", "_template.py")
    copy = template.with_name(f"my_{kind}.py")
    (folder / copy).write_text((folder / template).read_text(encoding="utf-8"), encoding="utf-8")
    return copy.as_posix()


def test_every_kind_of_plugin_has_a_template_and_a_row_in_contributing():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for kind in {*registry.KINDS} - {"weight"}:  # weights are files of a paper, asked for by a method
        assert kind in TEMPLATES
        assert f"| {kind} | `workflow/heldout/{kind}s/_template.py` |" in text


@pytest.mark.slow
def test_one_of_each_kind_runs_to_tables_and_figures_with_nothing_else_edited(project: Project):
    project = replace(project, environment=project.environment | {"PYTHONPATH": str(project.folder / "workflow")})
    before = files_of(project.folder)
    new = {copy_template(project.folder, kind) for kind in TEMPLATES}
    experiment = {"experiment": "contributed", "held_out": ["china"], "calibration": 0.2, "test_items": 60}
    methods = {"mean_image": {}}
    for kind in TEMPLATES:
        experiment |= CONTRIBUTED[kind]
        methods |= CONTRIBUTED[kind].get("methods", {})
    file = project.write("contributed.yaml", **experiment | {"methods": methods})
    project.snakemake("--configfile", file)

    results = project.folder / "results" / "contributed"
    table = pd.read_csv(results / "tables" / "metrics.csv").set_index(["held_out", "method"]).loc["china"]
    assert set(table.index) == set(methods) and table.failed.isna().all()
    assert table.auroc.between(0, 1).all()
    for form in ("svg", "png"):
        assert (results / "figures" / f"my_figure-china.{form}").stat().st_size > 1000

    after = files_of(project.folder)
    assert {name for name in after if after[name] != before.get(name)} == new | {file}

    project.run("heldout", "schema")  # what is generated from the plug-ins' files
    renewed = files_of(project.folder)
    assert {name for name in renewed if renewed[name] != after.get(name)} == {SCHEMA, "docs/methods.md"}
