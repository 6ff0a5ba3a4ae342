"""A whole small experiment, made by the steps themselves: two classes of noise, two seeds, trainings of two steps."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heldout.evaluation.inputs import Inputs
from heldout.planning import inputs_json
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.steps import PrepareStep, ScoreStep, SplitStep, TrainStep
from heldout.stages.prepare import prepare
from heldout.stages.score import Sources, score
from heldout.stages.split import split
from heldout.stages.train import train
from heldout.storage.sealed import write_sealed
from tests.conftest import noise

TINY = {"steps": 2, "batch": 4, "width": 4}
EXPERIMENT = {
    "experiment": "trial",
    "datasets": {
        "toys": {"dataset": "image_folder", "folder": "toys", "classes": ["cat", "dog"], "size": 32, "channels": 1}
    },
    "held_out": ["cat"],
    "seeds": [3, 1],
    "models": {
        "wgan": {**TINY, "latent": 2},
        "dcae": TINY,
        "broken": {"model": "dcgan", **TINY, "learning_rate": 1e30},
    },
    "methods": {
        "mean_image": {},
        "adgan": {"starts": 3, "steps": 4},
        "reconstruction": {},
        "failing": {"method": "anogan", "model": "broken", "steps": 1},
    },
    "device": "cpu",
    "figures": ["gallery", "heatmaps", "latent_path"],
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of an experiment that is scored, and where its `inputs.json` lies in it."""
    folder = tmp_path_factory.mktemp("figures")
    for number, name in enumerate(("cat", "dog")):
        (folder / "toys" / name).mkdir(parents=True)
        for index, image in enumerate(noise(50, 1, 32, seed=number)):
            # Dogs are brighter, so that a method may tell them apart, and all are told apart by their pixels.
            pixels = image[0].numpy() // 2 + 100 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "toys" / name / f"{index:02}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plan = Plan(resolve(EXPERIMENT, where="trial.yaml"))
        for step in plan.steps.values():
            path = Path(step.path)
            match step:
                case PrepareStep():
                    prepare(step.spec, Path("toys"), path, Path(step.labels))
                case SplitStep():
                    split(step.spec, Path(step.images.path), Path(step.images.labels), path)
                case TrainStep():
                    train(step.spec, Path(step.images.path), Path(step.split.path), path, "cpu")
                case ScoreStep():
                    sources = Sources(step.checkpoint and Path(step.checkpoint.path))
                    score(step.spec, Path(step.images.path), Path(step.split.path), sources, path, "cpu")
        Path(plan.folder).mkdir()
        write_sealed(Path(plan.inputs), asdict(inputs_json.content(plan)))
    return folder


@pytest.fixture
def inputs(finished, monkeypatch) -> Inputs:
    """The experiment's inputs, read in its folder."""
    monkeypatch.chdir(finished)
    return Inputs.read(Path("results/trial/inputs.json"))
