"""Leftovers in an experiment's folder: a later run removes its own, and does not replace those of another file."""

import json

import pytest

from tests.workflow.test_bad_input import complaint

pytestmark = pytest.mark.slow

SMALL = {"models": {}, "methods": {"mean_image": {}}, "figures": ["roc"], "test_items": 60}


def test_figures_of_classes_that_are_gone_are_removed_and_nothing_else(project):
    folder = project.folder / "results" / "trial"
    project.write("trial.yaml", **SMALL | {"held_out": [2, 5]})
    printed = project.snakemake("--configfile", "trial.yaml")
    assert "heldout: Results to open: results/trial/tables/auroc.md, results/trial/figures/roc-all.svg\n" in printed
    (folder / "figures" / "roc-mine.svg").touch()
    (folder / "figures" / "roc-5.png").write_bytes(b"edited by hand")
    project.write("trial.yaml", **SMALL | {"held_out": [3]})
    project.snakemake("-n", "--configfile", "trial.yaml")
    assert (folder / "figures" / "roc-2.svg").is_file()  # a dry run removes nothing
    printed = project.snakemake("--configfile", "trial.yaml")
    assert "heldout: Removed from results/trial: figures/roc-2.png, figures/roc-2.svg, figures/roc-5.svg\n" in printed
    assert "Changed since an earlier run made it, so kept in results/trial: figures/roc-5.png\n" in printed
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {f"roc-{of}.{form}" for of in ("3", "all") for form in ("svg", "png")} | {
        "roc-mine.svg",
        "roc-5.png",
    }
    assert not [path for path in json.loads((folder / "manifest.json").read_text())["results"] if "roc-2" in path]
    assert "Nothing to be done" in project.snakemake("--configfile", "trial.yaml")


def test_a_second_file_with_the_same_name_is_refused_until_the_first_gives_it_up(project):
    project.write("first.yaml", **SMALL | {"held_out": [2]})
    project.snakemake("--until", "inputs", "--configfile", "first.yaml")
    project.write("second.yaml", **SMALL | {"held_out": [3]})
    line = complaint(project.snakemake("-n", "--configfile", "second.yaml", ok=False))
    assert "second.yaml: `experiment: trial` is also the name of first.yaml" in line and "results/trial" in line
    project.snakemake("-n", "--configfile", "first.yaml", "--config", "held_out=[4]")  # still the same file
    project.snakemake("-n", "--configfile", "results/trial/experiment.yaml")
    (project.folder / "first.yaml").rename(project.folder / "renamed.yaml")
    project.snakemake("-n", "--configfile", "renamed.yaml")
    project.write("renamed.yaml", **SMALL | {"experiment": "other"})
    project.snakemake("-n", "--configfile", "second.yaml")
