"""The pinned versions: complete, and the same for pip and conda."""

import re
import tomllib
from itertools import chain

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests.conftest import REPOSITORY

CONDA = sorted((REPOSITORY / "envs").glob("*.yaml"))


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def pinned() -> dict[str, str]:
    """The version of each package where no marker says otherwise."""
    lines = (REPOSITORY / "envs" / "constraints.txt").read_text().splitlines()
    pins = [line.split(" ; ")[0].split("==") for line in lines if "==" in line and '== "aarch64"' not in line]
    return {name_of(name): version for name, version in pins}


def test_every_requirement_is_pinned_exactly():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    required = chain(project["dependencies"], *project["optional-dependencies"].values())
    own = {project["name"]}  # an extra may contain another one
    assert {name_of(requirement) for requirement in required} - own <= pinned().keys()


@pytest.mark.parametrize("path", CONDA, ids=lambda path: path.stem)
def test_conda_files_have_the_same_versions(path):
    packages = yaml.safe_load(path.read_text())["dependencies"][-1]["pip"]
    versions = dict(package.split("==") for package in packages)
    assert versions == {name: pinned()[name_of(name)] for name in versions}
    assert path.with_name(f"{path.stem}.post-deploy.sh").is_file()


def test_every_rule_has_a_conda_file_that_is_there():
    used = set()
    for rules in (REPOSITORY / "workflow" / "rules").glob("*.smk"):
        used |= set(re.findall(r'"../../envs/(\w+)\.yaml"', rules.read_text()))
    assert used == {path.stem for path in CONDA}


def test_readme_names_the_pinned_versions_of_pytorch():
    named = re.findall(r"(torch(?:vision)?)==([\d.]+)", (REPOSITORY / "README.md").read_text(encoding="utf-8"))
    assert {name for name, _ in named} == {"torch", "torchvision"}
    versions = {name: pin.partition(" ")[0] for name, pin in pinned().items()}
    assert all(versions[name] == version for name, version in named)


def test_the_lock_has_the_packages_of_the_constraints_each_with_hashes():
    platform = default_environment() | {"sys_platform": "linux", "platform_machine": "x86_64", "python_version": "3.11"}
    constraints = (REPOSITORY / "envs" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in constraints if not line.startswith("#")]
    expected = {
        name_of(pin.name): str(pin.specifier) for pin in pins if not pin.marker or pin.marker.evaluate(platform)
    }
    lock = (REPOSITORY / "envs" / "lock.txt").read_text(encoding="utf-8")
    packages = re.findall(r"^([\w.-]+)(==[\w.+!-]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", lock, re.MULTILINE)
    assert {name_of(name): version for name, version, _ in packages} == expected
    comments = "".join(line for line in lock.splitlines(keepends=True) if line.startswith("#"))
    assert lock == comments + "".join("".join(package) + "\n" for package in packages)  # no other line: no address
