"""Results that are no longer of the files that are there: planning makes them again, whatever the clock says."""

import json
from pathlib import Path

import pytest

from heldout.errors import HeldoutError
from heldout.planning import inputs_json
from heldout.project.inventory import named_digests
from heldout.storage.sealed import sealed
from heldout.storage.sidecars import SPEC, sidecar


def test_tables_are_stale_once_another_checkpoint_is_there(finished):
    before = inputs_json.write(finished.plan).records
    beside = sidecar(finished.run.trainings["dcgan"].path, SPEC)
    content = json.loads(beside.read_text(encoding="utf-8")) | {"sha256": "0" * 64}
    beside.write_text(json.dumps(sealed(content)), encoding="utf-8")
    after = inputs_json.write(finished.plan).records
    assert {step for step in before if before[step] != after[step]} >= {"evaluate"}
    assert before["inputs"] == after["inputs"]


@pytest.mark.parametrize("name", ["inputs.json", "manifest.json"])
def test_a_damaged_list_of_what_an_experiment_needs_is_refused(finished, name):
    path = Path(finished.plan.folder) / name
    assert finished.run.trainings["dcgan"].digest in named_digests([])
    path.write_text(path.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(HeldoutError, match="is damaged"):
        named_digests([])
