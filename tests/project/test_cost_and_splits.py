"""What an experiment will take, and what its splits are."""

import json
from pathlib import Path

import pytest
import yaml

from heldout.errors import HeldoutError
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.project import inventory, splits, trials
from heldout.project.cost import cost
from heldout.project.estimates import images_scored
from heldout.storage.manifests import manifest_sha256
from tests.project.conftest import EXPERIMENT, make, planned, retime
from tests.stages.test_split import make as make_split


def test_cost_counts_what_there_is_and_estimates_what_is_missing_from_what_ran(folder):
    run = planned().runs[0]
    make(run.trainings["wgan"], wall_s=1800)
    make(run.scorings["adgan"], ms_per_image=360)
    lines = cost(inventory.experiment(Path("config.yaml"))).splitlines()
    assert lines[0] == "quickstart (config.yaml): 2 trainings, 4 scorings"
    cells = [line.split() for line in lines[2:5]]
    assert cells == [
        ["train", "wgan", "2", "1", "1", "~30:00", "~30:00"],
        ["score", "mean_image", "2", "0", "2", "?", "?"],
        ["score", "adgan", "2", "1", "1", "~00:36", "~00:36"],
    ]
    # 1800 s of training, and 100 images of 360 ms
    assert lines[5].startswith(
        "to do: about 0.51 CPU hours with one job at a time, estimated from earlier timings on cpu (toy); "
        "2 to do without an estimate"
    )


def test_cost_counts_a_step_that_entries_share_once(folder):
    methods = EXPERIMENT["methods"] | {"again": {"method": "adgan", "starts": 2}}
    Path("config.yaml").write_text(yaml.safe_dump(EXPERIMENT | {"methods": methods}))
    assert "2 trainings, 4 scorings" in cost(inventory.experiment(Path("config.yaml")))


def test_cost_of_what_is_all_here_is_nothing(folder):
    for step in planned().trained_and_scored:
        make(step)
    assert cost(inventory.experiment(Path("config.yaml"))).endswith("nothing to do")


def test_cost_counts_the_fit_once_and_every_image(folder):
    run = planned(methods={"kde": {}}).runs[0]
    make(run.scorings["kde"], ms_per_image=10)
    retime(run.scorings["kde"], fit_s=100.0)

    def estimated(**changes):
        Path("other.yaml").write_text(yaml.safe_dump(EXPERIMENT | {"methods": {"kde": {}}, "models": {}} | changes))
        return cost(inventory.experiment(Path("other.yaml"))).splitlines()[-2].split()[-1]

    assert estimated(test_items=500, held_out=[1]) == "~01:45"  # 100 s, and 500 times 10 ms
    assert estimated(test_items=None, held_out=[1]) == "~01:50"  # a fifth of 5,000 images
    retime(run.scorings["kde"], fit_s=None, device="a GPU")
    assert estimated(test_items=500, held_out=[1]) == "?"  # and a fit is not tried


def test_cost_tries_what_has_not_run_once_for_all_that_are_alike(folder, capsys, monkeypatch):
    monkeypatch.setattr(trials, "ENOUGH_S", 0.2)
    models = {"wgan": {"steps": 7200, "width": 4, "batch": 4, "latent": 8, "critic_steps": 1}}
    models["bigan"] = {"steps": 7200, "width": 4, "batch": 4, "latent": 8, "refit": 0.1}
    methods = {"adgan": {"starts": 2, "steps": 2000}, "discriminator": {}, "mean_image": {}}
    content = EXPERIMENT | {"models": models, "methods": methods}
    Path("config.yaml").write_text(yaml.safe_dump(content))
    *rows, summary = cost(inventory.experiment(Path("config.yaml"))).splitlines()
    cells = {tuple(line.split()[:2]): line.split()[5:] for line in rows[2:]}
    seconds = {
        name: sum(60**i * int(part) for i, part in enumerate(reversed(each[1:].split(":"))))
        for name, (each, _) in cells.items()
        if each != "?"
    }
    assert cells["score", "mean_image"] == ["?", "?"] and len(seconds) == 4
    assert 5 < seconds["train", "wgan"] < 3600  # an update takes between 1 and 500 ms
    assert seconds["score", "adgan"] > 10 * max(1, seconds["score", "discriminator"])
    assert " CPU hours with one job at a time, estimated from a trial of a few steps on cpu (" in summary
    tried = capsys.readouterr().err.splitlines()
    assert sorted(tried) == [
        "timing a few images by adgan on wgan",
        "timing a few images by discriminator on wgan",
        "timing a few steps of bigan",
        "timing a few steps of wgan",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"datasets": {"mnist": {}}}, 10_000),
        ({"datasets": {"mnist": {}}, "test_items": 300, "calibration": 0.1}, 300 + 600),
        ({"datasets": {"mnist5k": {}}, "calibration": 0.1}, 1000 + 40),
        ({"datasets": {"cifar10": {}}, "protocol": "leave_one_out", "variant": "pooled"}, 10_800 + 6_000),
        ({"datasets": {"cifar10": {}}, "protocol": "leave_one_out", "variant": "all_anomalies"}, 9_000 + 6_000),
        ({"datasets": {"lsun": {"folder": "nowhere"}}, "labelled_anomalies": 5}, 3_005),
        ({"datasets": {"own": {"dataset": "image_folder", "folder": "here", "classes": ["a", "b"]}}}, 2),
        ({"datasets": {"own": {"dataset": "image_folder", "folder": "away", "classes": ["a", "b"]}}}, None),
    ],
)
def test_how_many_images_are_scored_is_known_before_the_split(folder, changes, expected):
    for part in ("train/a/1.png", "train/b/1.png", "train/a/2.png", "test/a/1.png", "test/b/1.png"):
        (folder / "here" / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / "here" / part).touch()
    changes = {"held_out": "all", "test_items": None} | changes
    plan = Plan(resolve(EXPERIMENT | changes, where="config.yaml"), without_folders=True)
    assert images_scored(plan.runs[0].scorings["adgan"]) == expected


def test_cost_needs_no_image_folder(folder):
    shoes = {"dataset": "image_folder", "folder": "data/shoes", "classes": ["old", "new"]}
    changed = EXPERIMENT | {"datasets": {"shoes": shoes}, "held_out": ["old"]}
    Path("config.yaml").write_text(yaml.safe_dump(changed))
    assert "1 trainings, 2 scorings" in cost(inventory.experiment(Path("config.yaml")))


def written(tmp_path, name, **changes):
    """A manifest under the name that its digest gives it."""
    folder = tmp_path / name
    folder.mkdir()
    make_split(folder, **changes)
    return (folder / "split.json").rename(folder / f"seed0-{'d' * 12}.json")


def test_splits_are_a_row_each(tmp_path):
    path = written(tmp_path, "one", per_class=40, contamination=0.1, calibration=0.2)
    (header, row) = (line.split("  ") for line in splits.table(splits.manifests([path])).splitlines())
    cells = dict(
        zip((cell.strip() for cell in header if cell), (cell.strip() for cell in row if cell.strip()), strict=True)
    )
    assert cells == {
        "dataset": "toy",
        "protocol": "one_class",
        "variant": "official",
        "held_out": "b",
        "split_seed": "0",
        "normal": "b",
        "train": "16",
        "contaminating": "2",
        "calibration": "4",
        "labelled_anomalies": "0",
        "test": "60",
        "anomalies": "66.7%",
        "also in train": "0",
        "file": str(path),
    }


def test_two_splits_are_compared_by_what_they_say_and_share(tmp_path):
    one = written(tmp_path, "one", per_class=40)
    other = written(tmp_path, "other", per_class=40, contamination=0.1)
    third = written(tmp_path, "third", per_class=40, prepared="q" * 12, held_out="a")
    found = list(splits.manifests([one, other, third]).values())
    assert splits.comparison(found[0], found[0]) == "the same split"
    lines = [line.split() for line in splits.comparison(found[0], found[1]).splitlines()]
    assert ["contamination", "0.0", "0.1"] in lines
    assert ["train", "20", "20", "18"] in lines
    assert ["test", "60", "60", "all,", "the", "same", "pixels"] in lines
    text = splits.comparison(found[0], found[2])
    assert ["train", "20", "20", "?"] in [line.split() for line in text.splitlines()]
    assert "different prepared images" in text


def test_an_older_manifest_and_one_under_another_name_are_shown_as_far_as_they_say(tmp_path):
    path = written(tmp_path, "one").rename(tmp_path / "theirs.json")
    manifest = json.loads(path.read_text())
    del manifest["sha256"], manifest["variant"], manifest["prepared"]
    path.write_text(json.dumps(manifest | {"sha256": manifest_sha256(manifest)}))
    found = splits.manifests([path, path])
    assert " ? " in splits.table(found)
    other = splits.manifests([written(tmp_path, "two", held_out="a")])
    assert "variant" in splits.comparison(*found.values(), *other.values())


def test_a_damaged_manifest_and_none_at_all_are_one_line(tmp_path, monkeypatch):
    path = written(tmp_path, "one")
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"test": manifest["test"][1:]}))
    with pytest.raises(HeldoutError, match="was altered"):
        splits.manifests([path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeldoutError, match="no split in data/splits yet"):
        splits.manifests([])
