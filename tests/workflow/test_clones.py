"""With one environment and several copies of the project, each copy runs its own package, and edits there take effect.

The environment's installed package is that of `first`: PYTHONPATH names it, as an editable install names its folder.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import ENVIRONMENT, Project
from tests.workflow.test_bad_input import complaint

pytestmark = pytest.mark.slow

FLOOR = {"held_out": [1], "models": {}, "methods": {"mean_image": {}}, "figures": []}
EDITED = "mean_image.py"
BEFORE, AFTER = 'return {"score": (images', 'return {"score": -(images'
NAMES = {f"GIT_{person}_{key}": "first@example.org" for person in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


@pytest.fixture(scope="module")
def first(project_folder, tmp_path_factory) -> Project:
    """A repository in which the experiment has run; its package is the installed one."""
    folder = Path(shutil.copytree(project_folder, tmp_path_factory.mktemp("clones") / "first"))
    first = Project(folder, ENVIRONMENT | NAMES | {"PYTHONPATH": str(folder / "workflow")})
    first.write("trial.yaml", **FLOOR)
    for command in ("init -q -b main", "add -f .", "commit -q -m Start"):
        first.run("git", *command.split())
    first.snakemake("--until", "score", "--configfile", "trial.yaml")
    return first


def copied(first: Project, folder: Path) -> None:
    left_out = shutil.ignore_patterns(".git", "results", ".snakemake")
    shutil.copytree(first.folder, folder, ignore=left_out)


def cloned(first: Project, folder: Path) -> None:
    first.run("git", "clone", "-q", str(first.folder), str(folder))


def worktree(first: Project, folder: Path) -> None:
    first.run("git", "worktree", "add", "-q", str(folder))


def edited(first: Project, make: Callable[[Project, Path], None], folder: Path) -> Project:
    """Return another copy of the project, where the floor's sign is flipped."""
    make(first, folder)
    path = folder / "workflow" / "heldout" / "methods" / EDITED
    text = path.read_text(encoding="utf-8")
    assert text.count(BEFORE) == 1
    path.write_text(text.replace(BEFORE, AFTER).replace("Squared distance", "Flipped distance"), encoding="utf-8")
    return Project(folder, first.environment)


def scored(project: Project) -> Path:
    (path,) = (project.folder / "results" / "scores").rglob("mean_image-*.parquet")
    return path


def package(scores: Path) -> str:
    """The package that made a score file, as recorded beside it."""
    return json.loads(scores.with_suffix(".spec.json").read_text())["ran"]["package"]


@pytest.mark.parametrize("make", [cloned, worktree, copied])
def test_an_edit_in_another_copy_takes_effect_there(first, tmp_path, make):
    second = edited(first, make, tmp_path / "second")
    second.snakemake("--until", "score", "--configfile", "trial.yaml")
    mine, other = scored(second), scored(first)
    assert mine.name != other.name and package(mine) == package(other) == "workflow/heldout"
    assert (pd.read_parquet(mine).score == -pd.read_parquet(other).score).all()
    assert "Flipped distance" in second.run("heldout", "methods", "mean_image")
    assert "Squared distance" in first.run("heldout", "methods", "mean_image")


def test_a_snakefile_that_is_named_from_another_clone_runs_its_own_package(first, tmp_path):
    second, here = edited(first, copied, tmp_path / "second"), Project(tmp_path / "here", first.environment)
    copied(first, here.folder)
    here.snakemake("-s", str(second.folder / "Snakefile"), "--configfile", "trial.yaml", "--until", "score")
    assert scored(here).name != scored(first).name
    assert package(scored(here)) == str(second.folder / "workflow" / "heldout")


def test_a_process_that_has_imported_another_package_plans_with_the_one_beside_the_snakefile(first, tmp_path):
    second = edited(first, copied, tmp_path / "second")
    run = "import sys, heldout; from snakemake.cli import main; main(sys.argv[1:])"
    planned = second.run(sys.executable, "-c", run, "-n", "--configfile", "trial.yaml")
    assert scored(first).stem in first.snakemake("-n", "-F", "--configfile", "trial.yaml")
    assert "mean_image-" in planned and scored(first).stem not in planned
    # Without a profile nothing makes room for it, and both folders are named.
    without = ("--workflow-profile", "none")
    line = complaint(second.run(sys.executable, "-c", run, "-n", *without, "--configfile", "trial.yaml", ok=False))
    assert str(first.folder / "workflow") in line and str(second.folder / "workflow") in line


def test_a_command_that_cannot_switch_is_refused_with_both_folders(first, tmp_path):
    """As where a node of a cluster does not see the folder of the clone."""
    away = Project(first.folder, first.environment | {"HELDOUT_WORKFLOW": str(tmp_path / "away")})
    line = complaint(away.run("heldout", "methods", ok=False))
    assert str(first.folder / "workflow") in line and str(tmp_path / "away") in line


def test_a_snakefile_without_a_package_beside_it_takes_the_installed_one_and_says_so(first, tmp_path):
    bare = Project(tmp_path / "bare", first.environment)
    copied(first, bare.folder)
    shutil.rmtree(bare.folder / "workflow" / "heldout")
    elsewhere = Project(tmp_path / "elsewhere", first.environment)
    shutil.copytree(bare.folder / "data", elsewhere.folder / "data")
    shutil.copy(bare.folder / "trial.yaml", elsewhere.folder)
    (elsewhere.folder / "Snakefile").write_text(
        f'configfile: "trial.yaml"\nmodule images:\n    snakefile: "{bare.folder}/Snakefile"\n    config: config\n'
        "use rule * from images\n"
    )
    elsewhere.snakemake("--until", "score")
    assert package(scored(elsewhere)) == str(first.folder / "workflow" / "heldout")
    assert scored(elsewhere).name == scored(first).name
