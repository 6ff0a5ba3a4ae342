"""An earlier run's results are known by its manifest, and only as it made them."""

import json
from pathlib import Path

import pytest

from heldout.storage.hashing import file_sha256
from heldout.storage.leftovers import leftovers, remove


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An experiment's folder with three results, by the manifest, and a file of the user."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results/trial")
    (folder / "figures").mkdir(parents=True)
    made = [folder / "figures" / name for name in ("roc-1.svg", "roc-2.svg", "roc-3.svg")]
    for path in (*made, folder / "figures" / "mine.svg"):
        path.write_text(path.name)
    listed = {str(path): file_sha256(path) for path in made}
    (folder / "manifest.json").write_text(json.dumps({"results": listed}))
    return folder


def test_only_what_is_not_planned_is_removed_and_only_unchanged(folder):
    (folder / "figures" / "roc-2.svg").write_text("edited")
    found = leftovers(folder, ["results/trial/figures/roc-1.svg"])
    assert [path.name for path in found] == ["roc-2.svg", "roc-3.svg"]
    remove(found)
    assert {path.name for path in (folder / "figures").iterdir()} == {"roc-1.svg", "roc-2.svg", "mine.svg"}


def test_a_renamed_folder_leaves_the_files_of_its_former_name_alone(folder):
    other = folder.with_name("other")
    other.mkdir()
    (other / "manifest.json").write_bytes((folder / "manifest.json").read_bytes())
    assert leftovers(other, []) == {}


def test_links_and_paths_that_lead_elsewhere_are_left_alone(folder):
    outside = Path("precious.svg").absolute()
    outside.touch()
    (folder / "figures" / "roc-2.svg").unlink()
    (folder / "figures" / "roc-2.svg").symlink_to(outside)
    listed = dict.fromkeys(("results/trial/figures/roc-2.svg", "results/trial/../../precious.svg", str(outside)), "")
    (folder / "manifest.json").write_text(json.dumps({"results": listed}))
    assert leftovers(folder, []) == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"results": 3}', '{"results": ["a"]}', "null"])
def test_a_damaged_manifest_names_nothing(folder, text):
    (folder / "manifest.json").write_text(text)
    assert leftovers(folder, []) == {}
