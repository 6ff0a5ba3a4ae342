"""A checkpoint is whole, is the planned one, or is refused in one line."""

import json
import struct
from dataclasses import replace

import pytest
import torch

from heldout.errors import HeldoutError
from heldout.storage import checkpoints
from tests.conftest import record, train_spec

SPEC = train_spec("wgan", learning_rate=5e-5)
WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.int64)}


def written(tmp_path, **changes):
    path = tmp_path / "toy.safetensors"
    checkpoints.write(path, SPEC, WEIGHTS, **changes)
    record(path, SPEC.content)
    return path


def test_what_is_written_is_read(tmp_path):
    checkpoint = checkpoints.load(written(tmp_path), SPEC.digest)
    assert checkpoint.spec == SPEC and checkpoint.failed is None
    torch.testing.assert_close(checkpoint.weights, WEIGHTS, rtol=0, atol=0)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    assert len({written(tmp_path).read_bytes() for _ in range(20)}) == 1


def test_the_metadata_holds_the_identity_alone(tmp_path):
    content = written(tmp_path).read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert json.loads(header["__metadata__"]["heldout"]) == {"spec": SPEC.content, "failed": None}
    assert len(header["__metadata__"]) == 1


def test_a_recorded_failure_has_no_tensors(tmp_path):
    path = tmp_path / "toy.safetensors"
    checkpoints.write(path, SPEC, {}, failed="the loss is nan at step 3")
    record(path, SPEC.content)
    checkpoint = checkpoints.load(path, SPEC.digest)
    assert checkpoint.failed == "the loss is nan at step 3" and checkpoint.weights == {}


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, keep):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(HeldoutError, match=r"toy.safetensors is damaged: toy.spec.json describes another file; delete"):
        checkpoints.load(path, SPEC.digest)
    record(path, SPEC.content)
    with pytest.raises(HeldoutError, match=r"toy.safetensors is damaged or no checkpoint .*; delete .*toy.\* and run"):
        checkpoints.load(path, SPEC.digest)


def test_another_trainings_file_is_refused(tmp_path):
    other = replace(SPEC, seed=1).digest
    with pytest.raises(HeldoutError, match=f"holds training {SPEC.digest}, but {other} was planned"):
        checkpoints.load(written(tmp_path), other)


def test_tensors_of_another_shape_are_refused(tmp_path):
    model = torch.nn.Linear(2, 3)
    checkpoint = checkpoints.Checkpoint(SPEC, {"weight": torch.zeros(3, 3), "bias": torch.zeros(3)}, None)
    with pytest.raises(HeldoutError, match=r"weight is \(3, 3\), the model has \(3, 2\); delete the file"):
        checkpoints.restore(model, checkpoint, tmp_path / "toy.safetensors")
