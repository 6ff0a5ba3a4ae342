"""Splits: who is trained on, who is tested on, and that nobody can tell a normal test image by its place."""

import json

import numpy as np
import pytest

from heldout.datasets import LabelledImages
from heldout.errors import HeldoutError
from heldout.planning.identity import source_digest
from heldout.planning.split_settings import SplitSettings
from heldout.planning.tasks import normal_classes
from heldout.stages.split import shares, split
from heldout.storage.labels import Labels, write_labels
from heldout.storage.manifests import read_manifest
from heldout.storage.sidecars import LABELS
from heldout.storage.specs import SplitSpec
from tests.conftest import record

CLASSES = ["a", "b", "c"]


def spec_of(protocol="one_class", held_out="b", **changes):
    found = {
        "dataset": "toy",
        "prepared": "p" * 12,
        "classes": CLASSES,
        "normal": normal_classes(protocol, held_out, CLASSES, []),
        **SplitSettings().model_dump(),
        "source": source_digest("split"),
    }
    return SplitSpec(protocol=protocol, held_out=held_out, **found | changes)


def split_in(folder, spec):
    record(folder / "images.npy", files={LABELS: folder / "labels.csv"})
    split(spec, folder / "images.npy", folder / "labels.csv", folder / "split.json")
    return read_manifest(folder / "split.json", spec.digest)


def make(tmp_path, official=True, per_class=20, order=None, **changes):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3 * per_class, 1, 8, 8), dtype=np.uint8)
    labels = np.repeat(np.arange(3), per_class)
    official_test = np.tile(np.arange(per_class) >= per_class // 2, 3) & official
    order = np.arange(len(labels)) if order is None else order
    source = LabelledImages(images[order], labels[order], official_test[order])
    np.save(tmp_path / "images.npy", source.images)
    write_labels(tmp_path / "labels.csv", Labels(np.array(CLASSES)[source.labels], source.official_test))
    spec = spec_of(**changes)
    return split_in(tmp_path, spec), source


def test_one_class_trains_on_the_held_out_class_alone_and_tests_on_everything(tmp_path):
    manifest, source = make(tmp_path)
    assert manifest.normal == ["b"]
    assert manifest.anomalous == ["a", "c"]
    assert manifest.train == np.flatnonzero((source.labels == 1) & ~source.official_test).tolist()
    assert manifest.test == np.flatnonzero(source.official_test).tolist()
    assert manifest.share_of_anomalies == pytest.approx(2 / 3, abs=1e-6)
    assert manifest.counts["test"] == {"a": 10, "b": 10, "c": 10}


def test_leave_one_out_trains_on_all_other_classes_and_says_which_is_which(tmp_path):
    manifest, source = make(tmp_path, protocol="leave_one_out")
    assert manifest.normal == ["a", "c"] and manifest.anomalous == ["b"]
    assert manifest.train == np.flatnonzero((source.labels != 1) & ~source.official_test).tolist()
    assert manifest.share_of_anomalies == pytest.approx(1 / 3, abs=1e-6)
    assert manifest.train_classes == [0 if source.labels[index] == 0 else 1 for index in manifest.train]


def test_labelled_anomalies_come_from_outside_the_test_part_and_change_no_other(tmp_path):
    manifest, source = make(tmp_path, labelled_anomalies=6, calibration=0.2)
    without, _ = make(tmp_path, calibration=0.2)
    labelled = manifest.labelled_anomalies
    assert len(labelled) == 6 and all(source.labels[labelled] != 1) and not source.official_test[labelled].any()
    assert all(manifest.part(part) == without.part(part) for part in ("train", "calibration", "test"))


def test_train_items_limits_what_is_trained_on_and_changes_no_other_part(tmp_path):
    manifest, _ = make(tmp_path, train_items=4, calibration=0.2)
    whole, _ = make(tmp_path, calibration=0.2)
    assert len(manifest.train) == 4 and set(manifest.train) < set(whole.train)
    assert all(manifest.part(part) == whole.part(part) for part in ("calibration", "test"))


def test_items_are_drawn_in_proportion_to_the_classes(tmp_path):
    manifest, _ = make(tmp_path, protocol="leave_one_out", train_items=7, test_items=11, labelled_anomalies=0)
    assert manifest.counts["train"] == {"a": 4, "c": 3}  # 3.5 each: the first name rounds up
    assert manifest.counts["test"] == {"a": 4, "b": 4, "c": 3}
    pooled, _ = make(tmp_path, variant="pooled", test_items=11)  # of 20 a, 4 b and 20 c: 5, 1, 5
    assert pooled.counts["test"] == {"a": 5, "b": 1, "c": 5}


@pytest.mark.parametrize(
    ("counts", "wanted", "expected"),
    [
        ({"a": 6, "b": 3, "c": 1}, 5, {"a": 3, "b": 2, "c": 0}),  # 3, 1.5, 0.5: of equal remainders the first name's
        ({"c": 1, "b": 3, "a": 6}, 5, {"a": 3, "b": 2, "c": 0}),
        ({"a": 7, "b": 7, "c": 86}, 10, {"a": 1, "b": 1, "c": 8}),  # 0.7, 0.7, 8.6: both 0.7 before 8.6
        ({"a": 4, "b": 2}, 6, {"a": 4, "b": 2}),
        ({"a": 4, "b": 2}, 0, {"a": 0, "b": 0}),
        ({}, 0, {}),
    ],
)
def test_largest_remainders_round_up(counts, wanted, expected):
    assert shares(counts, wanted) == expected


def test_without_an_official_test_part_a_fifth_of_each_class_is_set_aside(tmp_path):
    manifest, source = make(tmp_path, official=False)
    assert not manifest.official_test_part
    assert np.bincount(source.labels[manifest.test]).tolist() == [4, 4, 4]
    assert manifest.counts["train"] == {"b": 16}


def test_every_class_is_tested_on_the_same_images(tmp_path):
    tests = [make(tmp_path, official=False, test_items=7, held_out=held_out)[0].test for held_out in "abc"]
    assert tests[0] == tests[1] == tests[2] and len(tests[0]) == 7


def test_parts_are_disjoint_and_calibration_comes_from_training(tmp_path):
    manifest, source = make(tmp_path, calibration=0.3)
    whole, _ = make(tmp_path)
    assert sorted(manifest.train + manifest.calibration) == whole.train
    assert len(manifest.calibration) == 3
    assert not set(manifest.train) & set(manifest.calibration)
    assert manifest.test == whole.test


def test_the_split_seed_draws_other_images_and_file_order_does_not(tmp_path):
    def contents(**changes):
        manifest, source = make(tmp_path, official=False, test_items=8, calibration=0.5, **changes)
        return [{source.images[i].tobytes() for i in manifest.part(part)} for part in ("train", "calibration", "test")]

    assert contents() == contents(order=np.random.default_rng(1).permutation(60))
    assert contents() != contents(split_seed=1)


def test_indices_are_in_the_arrays_order_so_that_place_tells_no_label(tmp_path):
    manifest, _ = make(tmp_path, test_items=20)
    assert manifest.test == sorted(manifest.test)


def test_duplicates_across_training_and_test_are_counted(tmp_path):
    manifest, source = make(tmp_path)
    assert manifest.test_images_also_in_training == 0
    np.save(tmp_path / "images.npy", np.zeros_like(source.images))
    manifest = split_in(tmp_path, spec_of())
    assert manifest.test_images_also_in_training == len(manifest.test)


def test_folders_trains_on_the_classes_called_normal_and_tests_on_every_class(tmp_path):
    manifest, source = make(tmp_path, protocol="folders", held_out="all", normal=["a", "c"])
    assert manifest.normal == ["a", "c"] and manifest.anomalous == ["b"]
    assert manifest.train == np.flatnonzero((source.labels != 1) & ~source.official_test).tolist()
    assert manifest.counts["test"] == {"a": 10, "b": 10, "c": 10}
    with pytest.raises(HeldoutError, match="needs separate folders train and test"):
        make(tmp_path, official=False, protocol="folders", held_out="all", normal=["a"])
    with pytest.raises(HeldoutError, match=r"no image of c among 2 test images; raise test_items"):
        make(tmp_path, protocol="folders", held_out="all", normal=["a"], test_items=2)


def test_items_are_drawn_by_what_images_were_decoded_from(tmp_path):
    """Another version of a decoder gives other pixels, and the same split."""

    def tested(pixels, sources):
        np.save(tmp_path / "images.npy", pixels)
        write_labels(tmp_path / "labels.csv", Labels(np.repeat(CLASSES, 20), np.zeros(60, bool), sources))
        spec = spec_of(test_items=8)
        return split_in(tmp_path, spec).test

    pixels = np.random.default_rng(0).integers(1, 256, (60, 1, 8, 8), dtype=np.uint8)
    files = [f"file {number}" for number in range(60)]
    assert tested(pixels, files) == tested(pixels - 1, files)
    assert tested(pixels, None) != tested(pixels - 1, None)
    assert tested(pixels, files) != tested(pixels, files[::-1])


def test_with_all_anomalies_those_of_the_official_training_part_are_tested_too(tmp_path):
    manifest, source = make(tmp_path, variant="all_anomalies")
    official, _ = make(tmp_path)
    assert manifest.train == official.train
    assert manifest.test == np.flatnonzero(source.official_test | (source.labels != 1)).tolist()


def test_pooled_trains_on_four_fifths_of_all_normal_images_and_tests_on_the_rest(tmp_path):
    manifest, source = make(tmp_path, variant="pooled", protocol="leave_one_out")
    normal, anomalous = np.flatnonzero(source.labels != 1), np.flatnonzero(source.labels == 1)
    assert len(manifest.train) == 32 and len(manifest.test) == 8 + 20
    assert sorted(manifest.train + manifest.test) == sorted([*normal, *anomalous])
    assert set(anomalous) < set(manifest.test)
    assert source.official_test[manifest.train].any() and not source.official_test[manifest.test].all()


@pytest.mark.parametrize("variant", ["official", "all_anomalies", "pooled"])
def test_contamination_replaces_training_images_by_anomalies_that_are_not_tested(tmp_path, variant):
    manifest, source = make(tmp_path, per_class=40, variant=variant, contamination=0.2)
    clean, _ = make(tmp_path, per_class=40, variant=variant)
    train = manifest.train
    anomalies = [index for index in train if source.labels[index] != 1]
    assert len(train) == len(clean.train) and len(anomalies) == round(0.2 * len(train))
    assert set(train) - set(anomalies) < set(clean.train)
    assert not source.official_test[anomalies].any()
    assert set(manifest.test) == set(clean.test) - set(anomalies)
    assert train == sorted(train)  # place does not tell either


def test_where_every_anomaly_is_in_the_test_part_contaminating_ones_leave_it(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    labels, official_test = np.repeat(np.arange(3), 20), np.arange(60) >= 15  # train: 15 images of class a
    np.save(tmp_path / "images.npy", images)
    write_labels(tmp_path / "labels.csv", Labels(np.array(CLASSES)[labels], official_test))
    spec = spec_of(protocol="folders", held_out="all", normal=["a"], contamination=0.2)
    manifest = split_in(tmp_path, spec)
    taken = [index for index in manifest.train if labels[index] > 0]
    assert len(manifest.train) == 15 and len(taken) == 3
    assert manifest.test == [index for index in range(15, 60) if index not in taken]


def test_more_contamination_adds_anomalies_to_the_same_ones(tmp_path):
    few, many = (
        {index for index in manifest.train if source.labels[index] != 1}
        for manifest, source in (make(tmp_path, per_class=40, contamination=share) for share in (0.1, 0.2))
    )
    assert few < many


def test_a_conditional_model_is_told_a_normal_class_of_every_contaminating_image(tmp_path):
    manifest, source = make(tmp_path, per_class=100, contamination=0.2, protocol="leave_one_out")
    told = dict(zip(manifest.train, manifest.train_classes, strict=True))
    contaminating = [index for index in told if source.labels[index] == 1]
    assert {told[index] for index in contaminating} == {0, 1}
    assert all(told[index] == (source.labels[index] == 2) for index in told if index not in contaminating)


def test_duplicates_of_training_images_can_be_left_out_of_testing(tmp_path):
    _, source = make(tmp_path)
    images = source.images.copy()
    train, test = 20, 30  # the first image of class b in either part
    images[test] = images[train]
    np.save(tmp_path / "images.npy", images)

    def manifest(**changes):
        return split_in(tmp_path, spec_of(**changes))

    images[test + 1] = images[0]  # of class a, in the training part: known where its label is told
    np.save(tmp_path / "images.npy", images)
    told = manifest(labelled_anomalies=20)
    assert told.test_images_also_in_training == 2
    told = manifest(labelled_anomalies=20, drop_duplicates=True)
    assert (told.test_images_also_in_training, told.dropped_duplicates) == (0, 2)

    kept, dropped = manifest(), manifest(drop_duplicates=True)
    assert kept.test_images_also_in_training == 1 and kept.dropped_duplicates == 0
    assert dropped.test_images_also_in_training == 0 and dropped.dropped_duplicates == 1
    assert dropped.test == [index for index in kept.test if index != test]
    assert dropped.train == kept.train


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"contamination": 0.5, "variant": "pooled", "protocol": "leave_one_out"},
            "16 anomalies among 32 training images requested, but toy has 10 anomalous images outside the test part",
        ),
        ({"contamination": 0.01}, "contamination: 0.01 of 10 training images is 0; raise it"),
        ({"train_items": 11}, "train_items: 11 requested, but toy has 10 normal training images; lower it"),
        ({"labelled_anomalies": 21}, "20 anomalous images outside the test part; lower it"),
        ({"calibration": 0.1}, "1 calibration images, but at least 2 are needed; raise calibration, or set it to 0"),
        ({"test_items": 1000}, "test_items: 1000 requested, but toy has 30 test images; lower it"),
        ({"per_class": 2}, "toy, held_out b: 1 training images, but at least 2 are needed"),
        ({"test_items": 1}, "image among 1 test images; raise test_items"),
    ],
)
def test_too_few_images_are_one_line(tmp_path, changes, line):
    with pytest.raises(HeldoutError) as error:
        make(tmp_path, **changes)
    assert line in str(error.value) and not (tmp_path / "split.json").exists()


def test_an_altered_manifest_is_refused(tmp_path):
    make(tmp_path)
    path = tmp_path / "split.json"
    manifest = json.loads(path.read_text())
    digest = manifest["digest"]
    with pytest.raises(HeldoutError, match=f"is split {digest}, but eeeeeeeeeeee was planned"):
        read_manifest(path, "e" * 12)
    path.write_text(json.dumps(manifest | {"train": manifest["train"][1:]}))
    with pytest.raises(HeldoutError, match="was altered"):
        read_manifest(path, digest)
    path.write_text(path.read_text()[:100])
    with pytest.raises(HeldoutError, match="is not a split manifest"):
        read_manifest(path, digest)
