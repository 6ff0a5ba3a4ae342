"""Every profile plans the workflow and keeps what profiles/default is there for; on Slurm steps share jobs."""

import importlib.util
import re

import pytest
import yaml

from tests.conftest import REPOSITORY

PROFILES = {path.parent.name: yaml.safe_load(path.read_text()) for path in REPOSITORY.glob("profiles/*/config.yaml")}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_runs_again_by_modification_times_alone(name):
    """A profile replaces profiles/default, so it has to repeat this."""
    assert PROFILES[name]["rerun-triggers"] == ["mtime"]


def test_every_rule_with_a_name_of_its_own_shares_a_slurm_job_or_runs_where_snakemake_does():
    rules = "".join(path.read_text() for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"))
    local = re.search(r"^localrules:\n((?: +\w+,\n)+)", (REPOSITORY / "Snakefile").read_text(), re.MULTILINE)[1]
    by_name = set(re.findall(r"^rule (\w+):", rules, re.MULTILINE)) - set(re.findall(r"\w+", local))
    own = set(re.findall(r"^rule (\w+):\n(?:    .*\n)*?    group:", rules, re.MULTILINE))  # by run time
    assert own == {"train", "score"} and PROFILES["slurm"]["groups"].keys() == by_name - own


@pytest.mark.slow
@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_plans_as_much_as_none(project, name):
    if name == "slurm" and not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("Snakemake's plugin is not installed: pip install -c envs/constraints.txt -e '.[slurm]'")
    project.write("trial.yaml")
    assert project.planned("--configfile", "trial.yaml", "--workflow-profile", f"profiles/{name}")["train"] == 4


@pytest.mark.slow
def test_figures_are_in_the_group_of_evaluate_and_in_none_without(project):
    """Snakemake refuses a group of `evaluate` and `manifest` without the figures between them."""
    project.write("trial.yaml")
    groups = [f"{rule}={group}" for rule, group in PROFILES["slurm"]["groups"].items() if group == "report"]
    planning = ("-n", "--configfile", "trial.yaml")
    assert "Group job report" in project.snakemake(*planning, "--groups", *groups)
    assert "Group job" not in project.snakemake(*planning)
