"""Specs travel as JSON and come back the same; a wrong one is refused in one line."""

import json
from dataclasses import replace

import pytest

from heldout.errors import HeldoutError
from heldout.storage.hashing import digest
from heldout.storage.specs import Join, ScoreSpec, TrainSpec
from tests.conftest import score_spec, train_spec

SPECS = [
    train_spec("izi_encoder"),
    train_spec("cgan"),
    replace(score_spec("adgan"), joins=(Join(digest="a", column="b"),)),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.step}-{spec.digest}")
def test_a_spec_comes_back_from_its_text_with_the_same_digest(spec):
    again = type(spec).parse(spec.canonical)
    assert again == spec and again.digest == spec.digest == digest(json.loads(spec.canonical))


def test_a_changed_spec_has_another_digest():
    spec = train_spec("dcgan")
    assert spec.digest != replace(spec, seed=1).digest


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seeds": 1}, "TrainSpec, seeds: Unexpected keyword argument"),
        ({"seed": "one"}, "TrainSpec, seed: Input should be a valid integer"),
        ({"parent": {"model": "dcgan"}}, "TrainSpec, parent.digest: Field required"),
        ({"step": "score"}, "TrainSpec, step: Input should be 'train'"),
    ],
)
def test_a_wrong_spec_is_one_line_with_the_place(changes, line):
    text = json.dumps(train_spec("dcgan").content | changes)
    with pytest.raises(HeldoutError) as error:
        TrainSpec.parse(text)
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


def test_a_missing_key_and_text_that_is_no_json_are_one_line():
    content = score_spec("adgan").content
    del content["threads"]
    for text, line in ((json.dumps(content), "ScoreSpec, threads: Field required"), ("{", "ScoreSpec: Invalid JSON")):
        with pytest.raises(HeldoutError, match=line):
            ScoreSpec.parse(text)
