"""The stored schema equals the code, and is documentation: what differs from it is described from its own code."""

import difflib
import json
import shutil
import subprocess
import sys
import zipfile

import jsonschema
import pytest
import yaml

from heldout import registry
from heldout.planning import schema, schema_from_code
from tests.conftest import REPOSITORY


def test_the_stored_schema_is_todays():
    stored = schema.PATH.read_text(encoding="utf-8")
    today = schema_from_code.text()
    difference = difflib.unified_diff(stored.splitlines(), today.splitlines(), "stored", "today", lineterm="")
    assert stored == today, "\n".join([*difference, f"renew it with: {schema.RENEW}"])


def test_config_yaml_fits_the_schema_for_editors():
    stored = json.loads(schema.PATH.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(stored)
    experiment = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    validator.validate(experiment)
    variant = {"method": "adgan", "steps": 1}
    validator.validate(experiment | {"methods": {"adgan-k1": variant}})
    for wrong in ({"methods": {"x": variant | {"stepz": 1}}}, {"methods": {"adgan": {"steps": -1}}}, {"sedes": [0]}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(experiment | wrong)


@pytest.fixture
def copy(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(registry.PACKAGE, tmp_path / "heldout", ignore=ignored)


def planned(copy, **experiment):
    """Return the parameters of what an experiment names, read by the package at `copy`; what was told and imported."""
    experiment = {"experiment": "toy", "datasets": {"mnist5k": {}}, "models": {"dcgan": {}}, **experiment}
    code = f"""
import json, sys
from heldout.planning.resolve import resolve
found = resolve({experiment!r}, "toy.yaml")
entries = {{name: entry.params for name, entry in [*found.methods.items(), *found.datasets.items()]}}
print(json.dumps([entries, "torch" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=copy.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.splitlines()[-1], None, None
    entries, has_imported = json.loads(done.stdout)
    return entries, done.stderr, has_imported


FOLDER = {"image_folder": {"folder": "none", "classes": ["a", "b"]}}


@pytest.mark.parametrize(
    ("file", "old", "new", "named", "parameter", "default"),
    [
        ("methods/anogan.py", "Field(500", "Field(7", {"methods": {"anogan": {}}}, "steps", 7),
        # What several plug-ins share, in a file of its own.
        ("methods/_search.py", "Field(0.0, ge=0", "Field(7.0, ge=0", {"methods": {"anogan": {}}}, "penalty", 7.0),
        (
            "datasets/_photographs.py",
            "None, pattern=",
            f"{'a' * 32!r}, pattern=",
            {"datasets": FOLDER},
            "md5",
            "a" * 32,
        ),
    ],
)
def test_a_changed_default_is_used_at_once_and_told_in_one_line(copy, file, old, new, named, parameter, default):
    path = copy / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    entries, told, _ = planned(copy, **{"methods": {"mean_image": {}}, **named})
    (name,) = (*named.values(),)[0]
    assert entries[name][parameter] == default
    (line,) = told.splitlines()
    assert f"{name}.py" in line and line.endswith("renew with: heldout schema")
    # An experiment that does not name it imports nothing and hears nothing.
    entries, told, has_imported = planned(copy, methods={"mean_image": {}, "kde": {}})
    assert entries["kde"] and (told, has_imported) == ("", False)


def test_a_new_plug_in_needs_no_schema(copy):
    text = (copy / "methods" / "anogan.py").read_text(encoding="utf-8").replace('"anogan"', '"newest"')
    (copy / "methods" / "newest.py").write_text(text, encoding="utf-8")
    entries, told, _ = planned(copy, methods={"newest": {"steps": 3}})
    assert entries["newest"]["steps"] == 3 and told.startswith("methods/newest.py")


def test_a_deleted_plug_in_is_missed_by_those_alone_that_name_it(copy):
    (copy / "methods" / "prior.py").unlink()
    assert planned(copy, methods={"anogan": {}})[1] == ""
    assert "no method 'prior'" in planned(copy, methods={"prior": {}})[0]


def test_without_the_file_everything_is_described_from_the_code(copy):
    (copy / "planning" / "schema.json").unlink()
    entries, told, _ = planned(copy, methods={"anogan": {}})
    assert entries["anogan"]["steps"] == 500
    assert [line.partition(".py")[0] for line in told.splitlines()] == [
        "datasets/mnist5k",
        "models/dcgan",
        "methods/anogan",
        "figures/roc",
        "figures/scores",
        "figures/samples",
    ]


def test_a_wheel_holds_what_is_not_python(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(registry.PACKAGE, tmp_path / "workflow" / "heldout", ignore=ignored)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", "."]
    subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)
    (wheel,) = (tmp_path / "wheels").iterdir()
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("heldout/")}
    files = {path for path in registry.PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert packed == {f"heldout/{path.relative_to(registry.PACKAGE).as_posix()}" for path in files}
