"""From a spec to a checkpoint and from there to scores: what is written, what is refused, what is recorded."""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import safetensors.torch
import torch

from heldout import registry
from heldout.errors import HeldoutError, NumericalFailure
from heldout.methods import _features
from heldout.models import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics import training_steps
from heldout.numerics.pixels import to_unit_range
from heldout.stages.train import train
from heldout.storage import checkpoints
from heldout.storage.hashing import file_sha256
from heldout.storage.sidecars import HISTORY, SPEC, TIMING, sidecar
from heldout.storage.timings import ScoreTiming, TrainTiming
from tests.conftest import record, respecify


def test_a_training_leaves_a_checkpoint_with_its_spec_history_and_timing(task):
    assert task.train() is None
    assert checkpoints.load(task.checkpoint, task.training.digest).spec == task.training.spec
    beside = json.loads(sidecar(task.checkpoint, SPEC).read_text())
    assert beside["digest"] == task.training.digest and beside["manifest"] == task.split.sha256
    assert beside["ran"]["versions"]["torch"] == torch.__version__.partition("+")[0]
    recorded = TrainTiming.beside(task.checkpoint)
    assert recorded.processor == recorded.machine == beside["ran"]["processor"]
    assert recorded.processor.endswith(torch.backends.cpu.get_cpu_capability())
    lines = sidecar(task.checkpoint, HISTORY).read_text().splitlines()
    columns = "epoch,step,steps,images,discriminator,generator,generator_gradient,discriminator_gradient,diversity"
    assert lines[0] == columns
    timing = json.loads(sidecar(task.checkpoint, TIMING).read_text())
    assert timing["steps"] == 6 and timing["images_per_s"] == pytest.approx(6 * 4 / timing["wall_s"], rel=0.1)
    assert timing["peak_memory_mib"] > 100


def test_history_has_the_mean_loss_of_every_epoch(task):
    # 6 normal training images, batches of 4: epochs begin at images 0, 6, 12, 18, so steps fall 2, 1, 2, 1 into them.
    task.train()
    rows = np.genfromtxt(sidecar(task.checkpoint, HISTORY), delimiter=",", names=True)
    assert len(task.split.train) == 6
    assert rows["epoch"].tolist() == [1, 2, 3, 4]
    assert rows["steps"].tolist() == [2, 1, 2, 1] and rows["step"].tolist() == [2, 3, 5, 6]


def test_history_has_the_norm_of_each_parts_gradient(task):
    task.train()
    rows = np.genfromtxt(sidecar(task.checkpoint, HISTORY), delimiter=",", names=True)
    images = torch.from_numpy(np.load(task.run.prepared.path)[task.split.train])
    again = training_steps.build(task.training.spec, ImageShape(1, 16))
    norms = []
    for _ in training_steps.Training(lambda: again, images, task.training.spec):
        norms.append(sum(weight.grad.square().sum() for weight in again.generator.parameters()).sqrt().item())
    # Steps 1 and 2 begin in the first epoch, step 3 in the second.
    assert rows["generator_gradient"][:2] == pytest.approx([np.mean(norms[:2]), norms[2]], rel=1e-5)


@pytest.mark.parametrize(("drawn", "diversity"), [("one image", 0), ("the training images", 1)])
def test_diversity_is_that_of_samples_as_a_share_of_the_training_images(task, monkeypatch, drawn, diversity):
    images = to_unit_range(torch.from_numpy(np.load(task.run.prepared.path)[task.split.train]))
    made = images[:1].expand(6, -1, -1, -1) if drawn == "one image" else images
    monkeypatch.setattr("heldout.stages.history.sample", lambda *_: made)
    task.train()
    rows = np.genfromtxt(sidecar(task.checkpoint, HISTORY), delimiter=",", names=True)
    assert rows["diversity"] == pytest.approx([diversity] * 4, abs=1e-6)


def test_the_same_spec_gives_the_same_bytes(task):
    task.train()
    first = task.checkpoint.read_bytes()
    task.checkpoint.unlink()
    torch.manual_seed(123)
    task.train()
    assert task.checkpoint.read_bytes() == first


def test_scores_are_of_calibration_and_test_images_and_carry_no_label(task):
    task.train()
    for name, components in (("adgan", []), ("anogan", ["residual", "feature"]), ("mean_image", [])):
        failed, scores = task.score(name)
        assert failed is None
        assert list(scores.columns) == ["index", "part", "score", *components]
        rows = list(zip(scores.columns["index"], scores.columns["part"], strict=True))
        parts = ("calibration", "labelled_anomalies", "test")
        assert rows == [(index, part) for part in parts for index in task.split.part(part)]
        assert np.isfinite(scores.columns["score"]).all()


@pytest.mark.parametrize("name", ["adgan", "prior", "mean_image"])
def test_the_backend_of_a_joint_search_is_on_record(task, name, compiler):
    task.train()
    task.score(name)
    beside = json.loads(sidecar(task.run.scorings[name].path, SPEC).read_text())
    backends = {} if name == "mean_image" else {"joint search": "native"}
    assert beside["ran"]["backends"] == ScoreTiming.beside(task.run.scorings[name].path).backends == backends


def test_a_timing_of_an_earlier_version_is_read(task):
    task.train()
    path = sidecar(task.checkpoint, TIMING)
    earlier = json.loads(path.read_text())
    del earlier["processor"]
    timing = TrainTiming.of(earlier)
    assert timing.processor is None and timing.machine == timing.device == f"cpu ({platform.machine()})"


def test_scoring_twice_gives_the_same_bytes(task):
    task.train()
    path = task.checkpoint.parents[6] / task.run.scorings["adgan"].path
    contents = set()
    for _ in range(2):
        task.score("adgan")
        contents.add(path.read_bytes())
    assert len(contents) == 1


def everything_written(task, tmp_path) -> list[bytes]:
    """Train and score anew with every method, and return what was written."""
    shutil.rmtree(tmp_path / "results", ignore_errors=True)
    task.train()
    task.train(name="izi_encoder")
    for name in task.run.scorings:
        task.score(name)
    return [(tmp_path / step.path).read_bytes() for step in (task.training, *task.run.scorings.values())]


def test_labels_cannot_reach_training_or_scoring(task, tmp_path):
    """Without the labels' file, the same bytes come out: what is trained and scored on are pixels and places alone."""
    before = everything_written(task, tmp_path)
    (tmp_path / task.run.prepared.labels).unlink()
    assert everything_written(task, tmp_path) == before
    for step in task.run.scorings.values():
        assert "class" not in pyarrow.parquet.read_schema(tmp_path / step.path).names


def test_training_sees_no_image_of_another_part(task):
    task.train()
    before = task.checkpoint.read_bytes()
    images = np.load(task.run.prepared.path)
    images[task.split.test] = 0
    images[task.split.calibration] = 0
    np.save(task.run.prepared.path, images)
    task.train()
    assert task.checkpoint.read_bytes() == before


def test_what_is_there_is_complete(task, monkeypatch):
    """The checkpoint and the scores are renamed into place after everything beside them."""
    renamed = []
    rename = os.replace

    def recorded(source, target):
        renamed.append(str(target).partition(".")[2])
        rename(source, target)

    monkeypatch.setattr(os, "replace", recorded)
    task.train()
    assert renamed.pop() == "safetensors" and set(renamed) == {"spec.json", "timing.json", "history.csv"}
    renamed.clear()
    task.score("adgan")
    assert renamed.pop() == "parquet" and set(renamed) == {"spec.json", "timing.json"}


def test_the_runs_seed_draws_the_starts(task):
    task.train()
    first = task.score("adgan")[1].columns["score"]
    respecify(task.run.scorings, "adgan", seed=1)
    assert task.score("adgan")[1].columns["score"] != first


def test_a_loss_that_is_not_finite_is_a_recorded_failure(task, monkeypatch):
    monkeypatch.setattr(dcgan.DCGAN, "generator_loss", lambda self, fake: fake.sum() * float("nan"))
    reason = task.train()
    assert reason == "the generator loss is nan at step 1"
    checkpoint = checkpoints.load(task.checkpoint, task.training.digest)
    assert checkpoint.failed == reason and not checkpoint.weights
    assert sidecar(task.checkpoint, TIMING).is_file() and sidecar(task.checkpoint, HISTORY).is_file()
    failed, scores = task.score("adgan")
    assert failed == scores.failed == f"dcgan: {reason}"
    assert scores.columns["score"] == []


def test_a_score_that_is_not_finite_is_a_recorded_failure(task, monkeypatch):
    plugin = registry.load("method", "mean_image").plugin
    monkeypatch.setattr(plugin, "score", lambda self, model, images, keys: {"score": images.sum(dim=(1, 2, 3)) / 0})
    failed, scores = task.score("mean_image")
    assert failed.startswith("the score of image") and scores.columns["score"] == []


def test_a_training_that_is_interrupted_leaves_nothing(task, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dcgan.DCGAN, "generator_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        task.train()
    assert not task.checkpoint.parent.exists() or not list(task.checkpoint.parent.iterdir())


def test_isolation_forest_and_floor_are_what_scikit_learn_and_numpy_say(task):
    from sklearn.ensemble import IsolationForest

    images = np.load(task.run.prepared.path).reshape(100, -1) / 127.5 - 1
    train_images, test_images = images[task.split.train], images[task.split.test]
    forest = IsolationForest(random_state=0).fit(train_images)
    found = np.array(task.score("isolation_forest")[1].columns["score"])[-len(test_images) :]
    np.testing.assert_allclose(found, -forest.score_samples(test_images), rtol=1e-6)
    found = np.array(task.score("mean_image")[1].columns["score"])[-len(test_images) :]
    np.testing.assert_allclose(found, ((test_images - train_images.mean(axis=0)) ** 2).sum(axis=1), rtol=1e-5)


def test_a_checkpoint_of_another_training_is_refused(task, tmp_path):
    task.train()
    other = tmp_path / "other.safetensors"
    weights = safetensors.torch.load_file(task.checkpoint)
    checkpoints.write(other, replace(task.training.spec, seed=7), weights)
    record(other, task.training.spec.content, manifest=task.split.sha256)
    with pytest.raises(HeldoutError, match=f"but {task.training.digest} was planned"):
        task.score("adgan", checkpoint=other)


def test_a_checkpoint_of_another_manifest_is_refused(task):
    task.train()
    record(task.checkpoint, task.training.spec.content, manifest="0" * 64)
    with pytest.raises(HeldoutError, match="was made from another split manifest"):
        task.score("adgan")


def test_a_checkpoint_that_its_sidecar_does_not_describe_is_refused(task):
    task.train()
    task.checkpoint.write_bytes(task.checkpoint.read_bytes() + b"0")
    with pytest.raises(HeldoutError, match=r"is damaged: .*spec.json describes another file; delete .* and run again"):
        task.score("adgan")


def test_prepared_images_that_changed_are_refused(task):
    images = np.load(task.run.prepared.path)
    images[task.split.train[0]] ^= 1
    np.save(task.run.prepared.path, images)
    with pytest.raises(HeldoutError, match="no longer holds the train images of the split"):
        task.train()


def test_a_gpu_that_is_not_there_is_one_line(task, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HeldoutError, match="device: cuda:1 asks for a GPU, but PyTorch sees 0"):
        task.train(device="cuda:1")


def test_code_that_changed_after_planning_is_noticed(task):
    respecify(task.run.trainings, "dcgan", source="0" * 12)
    with pytest.raises(HeldoutError, match="the code of dcgan has changed since this job was planned"):
        task.train()


def test_mixed_precision_trains(task):
    task.train()
    full = safetensors.torch.load_file(task.checkpoint)
    respecify(task.run.trainings, "dcgan", precision="bfloat16")
    assert task.train() is None
    mixed = safetensors.torch.load_file(task.checkpoint)
    assert all(weight.dtype != torch.bfloat16 and weight.isfinite().all() for weight in mixed.values())
    assert not torch.equal(mixed["generator.blocks.0.weight"], full["generator.blocks.0.weight"])


def test_an_encoder_is_trained_on_its_parents_weights_and_scored_by_itself(task):
    task.train()
    assert task.train(name="izi_encoder") is None
    step = task.run.trainings["izi_encoder"]
    parent = safetensors.torch.load_file(task.checkpoint)
    own = safetensors.torch.load_file(step.path)
    assert step.spec.parent.digest == task.training.digest
    assert all(torch.equal(own[f"parent.{name}"], weight) for name, weight in parent.items())
    assert any(name.startswith("encoder.") for name in own)
    task.checkpoint.unlink()  # so scoring reads the encoder's own file alone
    failed, scores = task.score("fanogan")
    assert failed is None and len(scores.columns["latent"]) == len(scores.columns["score"]) > 0


def test_another_parent_is_refused_and_a_failed_one_is_a_failure(task):
    task.train()

    def exchange(spec, failed):
        checkpoints.write(task.checkpoint, spec, {}, failed)
        record(task.checkpoint, spec.content, manifest=task.split.sha256)

    exchange(replace(task.training.spec, seed=1), None)
    with pytest.raises(HeldoutError, match=f"holds training \\w+, but {task.training.digest} was planned"):
        task.train(name="izi_encoder")
    checkpoints.write(task.checkpoint, task.training.spec, {})
    with pytest.raises(HeldoutError, match=r"is damaged: .*spec.json describes another file"):
        task.train(name="izi_encoder")
    exchange(task.training.spec, "the generator loss is nan at step 3")
    assert task.train(name="izi_encoder") == "dcgan: the generator loss is nan at step 3"
    failed, scores = task.score("fanogan")
    assert failed == "izi_encoder: dcgan: the generator loss is nan at step 3" and scores.columns["score"] == []


def test_what_a_training_and_a_joining_read_is_on_record(task):
    task.train()
    task.train(name="izi_encoder")
    beside = json.loads(sidecar(task.run.trainings["izi_encoder"].path, SPEC).read_text())
    assert beside["parent_sha256"] == file_sha256(task.checkpoint)
    with pytest.raises(HeldoutError, match="the spec names a parent, dcgan; give its checkpoint: --parent FILE"):
        step = task.run.trainings["izi_encoder"]
        train(step.spec, task.run.prepared.path, task.run.split.path, step.path, "cpu")
    for name in ("discriminator", "mean_image", "both"):
        task.score(name)
    beside = json.loads(sidecar(task.run.scorings["both"].path, SPEC).read_text())
    parts = [task.run.scorings[name].path for name in ("discriminator", "mean_image")]
    assert beside["joined_sha256"] == {path.rpartition("/")[2]: file_sha256(path) for path in parts}


def test_joined_scores_are_of_the_same_images_and_scaled_by_calibration_images(task):
    task.train()
    parts = [task.score(name)[1] for name in ("discriminator", "mean_image")]
    failed, joined = task.score("both")
    assert failed is None
    assert (joined.columns["index"], joined.columns["part"]) == (parts[0].columns["index"], parts[0].columns["part"])
    rows = np.array([part.columns["score"] for part in parts]).T
    calibration = rows[np.array(joined.columns["part"]) == "calibration"]
    z = (rows - calibration.mean(0)) / calibration.std(0, ddof=1)
    assert joined.columns["score"] == pytest.approx(z.mean(1))


def test_a_failed_part_fails_what_joins_it_and_a_component_that_is_not_there_is_named(task):
    task.train()
    checkpoints.write(task.checkpoint, task.training.spec, {}, "the loss is nan")
    record(task.checkpoint, task.training.spec.content, manifest=task.split.sha256)
    for name in ("discriminator", "mean_image"):
        task.score(name)
    failed, joined = task.score("both")
    assert failed == "discriminator: dcgan: the loss is nan" and joined.columns["score"] == []
    first, second = task.run.scorings["both"].spec.joins
    respecify(task.run.scorings, "both", joins=(replace(second, column="residual"), first))
    with pytest.raises(HeldoutError, match="no component 'residual'"):
        task.score("both")


def test_a_component_that_says_nothing_is_a_failure(task, monkeypatch):
    task.train()
    alike = {"score": torch.ones(8)}
    monkeypatch.setattr("heldout.methods.mean_image.MeanImage.score", lambda method, mean, images, keys: alike)
    for name in ("discriminator", "mean_image"):
        task.score(name)
    failed, combined = task.score("both")
    assert failed == "a component is the same for all calibration images" and combined.columns["score"] == []


def test_labels_of_anomalies_reach_only_what_is_called_supervised(task, monkeypatch):
    seen = {}

    def fit(method, known):
        seen[type(method).__name__] = known.holdout
        raise NumericalFailure("enough")

    monkeypatch.setattr(_features.Detector, "fit", fit)
    for name in ("isolation_forest", "kde-oracle"):
        task.score(name)
    assert seen["IsolationForest"] is None
    assert [len(part) for part in seen["KDE"]] == [2, 9]


# What takes a second or more to import, and neither a training nor a scoring by a network needs.
LATE = {"torchvision", "pandas", "matplotlib", "sklearn", "scipy"}
REPORTING = """
import json, os, sys
from heldout.cli import main
try:
    main()
finally:
    print(json.dumps([sorted(sys.modules), os.environ["THP_MEM_ALLOC_ENABLE"]]))
"""


def in_a_process(*arguments: object, **environment: str) -> tuple[set[str], str]:
    """Run the command; return the modules that it has imported at its end, and its setting for huge pages."""
    clean = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"} | environment
    command = [sys.executable, "-c", REPORTING, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=clean)
    modules, huge_pages = json.loads(result.stdout)
    return set(modules), huge_pages


def inputs_of(task, step):
    return ["--spec", step.spec.canonical, "--images", task.run.prepared.path, "--split", task.run.split.path]


@pytest.mark.parametrize("name", ["dcgan", "izi_encoder"])
def test_a_training_imports_nothing_heavy_but_torch(task, name):
    step, parent = task.run.trainings[name], []
    if name == "izi_encoder":
        task.train()
        parent = ["--parent", task.checkpoint]
    modules, _ = in_a_process("train", *inputs_of(task, step), "--checkpoint", step.path, "--device", "cpu", *parent)
    assert Path(step.path).exists() and "torch" in modules and not modules & LATE


@pytest.mark.parametrize("name", ["mean_image", "discriminator", "anogan", "adgan", "both"])  # one per class of cost
def test_a_scoring_imports_nothing_heavy_but_torch(task, name):
    step, read = task.run.scorings[name], []
    task.train()
    if step.spec.checkpoint:
        read = ["--checkpoint", task.checkpoint]
    if name == "both":
        for other in ("discriminator", "mean_image"):
            task.score(other)
            read += ["--joined", task.run.scorings[other].path]
    modules, _ = in_a_process("score", *inputs_of(task, step), "--scores", step.path, "--device", "cpu", *read)
    assert Path(step.path).exists() and "torch" in modules and not modules & LATE


def test_a_training_takes_huge_pages_unless_the_user_says_no(task):
    arguments = ["train", *inputs_of(task, task.training), "--checkpoint", task.checkpoint, "--device", "cpu"]
    assert in_a_process(*arguments)[1] == "1"
    asked = task.checkpoint.read_bytes()
    assert in_a_process(*arguments, THP_MEM_ALLOC_ENABLE="0")[1] == "0"
    assert task.checkpoint.read_bytes() == asked  # where tensors lie changes no bit


POOLS = """
import json
from heldout.cli import main
try:
    main()
finally:
    from threadpoolctl import threadpool_info
    print(json.dumps([[pool["user_api"], pool["num_threads"]] for pool in threadpool_info()]))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_blas_and_openmp_keep_to_the_planned_threads_whatever_the_environment_says(task, threads):
    respecify(task.run.scorings, "isolation_forest", threads=threads)  # scikit-learn is loaded on the way
    step = task.run.scorings["isolation_forest"]
    other = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(3 - threads))
    command = [sys.executable, "-c", POOLS, "score", *inputs_of(task, step), "--scores", step.path, "--device", "cpu"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, env=os.environ | other)
    pools = json.loads(result.stdout)
    few = min(threads, os.cpu_count() or 1)  # OpenBLAS starts no more than there are cores
    assert len(pools) > 2 and {tuple(pool) for pool in pools} == {("blas", few), ("openmp", threads)}
