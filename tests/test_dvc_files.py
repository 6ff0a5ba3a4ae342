"""What DVC reads: outputs as the package knows them, remotes and templates that are well-formed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from heldout.cli import app
from heldout.figures import _style
from heldout.project.save import NUMBERS
from heldout.storage.files import VERSIONED
from heldout.storage.folders import IGNORED
from tests.conftest import REPOSITORY

PIPELINE = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
EXAMPLE = re.compile(r"^# (\['|    )", re.MULTILINE)


def test_every_output_persists_and_is_one_that_the_package_saves():
    (stage,) = PIPELINE["stages"].values()
    assert [next(iter(out)) for out in stage["outs"]] == list(VERSIONED)
    assert all(options == {"persist": True} for out in stage["outs"] for options in out.values())
    assert stage["cmd"] == "snakemake --cores all"


def test_what_dvc_compares_is_what_save_gives_to_git():
    compared = [
        *PIPELINE["metrics"],
        *(file for plot in PIPELINE["plots"] for facts in plot.values() for file in facts["y"]),
    ]
    assert {file.removeprefix("results/${experiment}/") for file in compared} == set(NUMBERS)


def test_every_plot_has_its_template():
    for plot in PIPELINE["plots"]:
        for facts in plot.values():
            template = json.loads((REPOSITORY / ".dvc" / "plots" / f"{facts['template']}.json").read_text())
            assert template["data"] == {"values": "<DVC_METRIC_DATA>"}


@pytest.mark.parametrize("path", sorted((REPOSITORY / ".dvc" / "plots").glob("*.json")), ids=lambda path: path.stem)
def test_plots_have_the_palette_of_the_figures(path):
    def color_scales(part) -> list:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
        found = [scale for value in inner for scale in color_scales(value)]
        return found + ([part["color"].get("scale")] if isinstance(part, dict) and "color" in part else [])

    neighbours_of_other_hues = [color for shades in zip(*_style.SHADES.values(), strict=True) for color in shades]
    scales = color_scales(json.loads(path.read_text()))
    assert scales and all(scale == {"range": neighbours_of_other_hues} for scale in scales)


def test_the_remotes_given_as_examples_are_well_formed(tmp_path):
    config = (REPOSITORY / ".dvc" / "config").read_text()
    uncommented = EXAMPLE.sub(lambda found: found[1], config)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(uncommented)
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "config", "--list"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert {"remote.storage.url", "remote.s3.url", "remote.ssh.url", "remote.gcs.url"} <= {
        line.partition("=")[0] for line in listed.splitlines()
    }
    assert "core.analytics=false" in listed and "core.check_update=false" in listed


def test_image_folders_are_hashed_without_what_dvc_ignores():
    lines = (REPOSITORY / ".dvcignore").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == list(IGNORED)


def test_the_default_remote_is_a_folder_beside_the_clone():
    assert "remote = storage" in (REPOSITORY / ".dvc" / "config").read_text()
    assert "url = ../../heldout-storage" in (REPOSITORY / ".dvc" / "config").read_text()


without_git = pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="an export of the code, without git")


@without_git
def test_git_holds_no_data_and_nothing_large():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    files = [name for name in listed.stdout.split("\0") if name]
    allowed = (".dvc", ".gitignore", "data/README.md")
    assert [name for name in files if name.startswith("data/") and not name.endswith(allowed)] == []
    sizes = {name: (REPOSITORY / name).stat().st_size for name in files if (REPOSITORY / name).is_file()}
    assert [name for name, size in sizes.items() if size > 1_000_000] == []


@without_git
@pytest.mark.parametrize("folder", ["data", "results"])
def test_git_holds_the_readme_of_what_runs_produce_and_nothing_else(folder):
    def is_ignored(name: str) -> bool:
        return not subprocess.run(
            ["git", "check-ignore", "-q", f"{folder}/{name}"], cwd=REPOSITORY, check=False
        ).returncode

    readme = (REPOSITORY / folder / "README.md").read_text(encoding="utf-8")
    assert not is_ignored("README.md")
    for versioned in (Path(path) for path in VERSIONED):
        if versioned.parts[0] == folder:
            assert f"`{versioned.name}/" in readme and is_ignored(f"{versioned.name}/file")
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert set(re.findall(r"heldout (\w+)", readme)) <= verbs
    assert is_ignored(".resume/file")
