"""A whole small experiment, made by the steps themselves: two classes of noise, two seeds, trainings of two steps."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from heldout.evaluation.inputs import Inputs
from heldout.planning import experiment
from heldout.planning.plan import Plan, labels_of
from heldout.stages.prepare import prepare
from heldout.stages.score import Sources, score
from heldout.stages.split import split
from heldout.stages.train import train
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
        plan = Plan(experiment.read(EXPERIMENT, where="trial.yaml"))
        for step in {step.digest: step for run in plan.runs for step in (run.prepared, run.split)}.values():
            images = step.inputs["images"].path if "images" in step.inputs else step.path
            if step.spec.step == "prepare":
                prepare(step.spec, Path("toys"), Path(images), Path(labels_of(images)))
            else:
                split(step.spec, Path(images), Path(labels_of(images)), Path(step.path))
        for step in plan.trained_and_scored:
            reads = {name: Path(read.path) for name, read in step.inputs.items()}
            if step.spec.step == "train":
                train(step.spec, reads["images"], reads["split"], Path(step.path), "cpu")
            else:
                sources = Sources(reads.get("checkpoint"))
                score(step.spec, reads["images"], reads["split"], sources, Path(step.path), "cpu")
        Path(plan.folder).mkdir()
        Path(plan.inputs).write_text(json.dumps(plan._inputs()), encoding="utf-8")
    return folder


@pytest.fixture
def inputs(finished, monkeypatch) -> Inputs:
    """The experiment's inputs, read in its folder."""
    monkeypatch.chdir(finished)
    return Inputs.read(Path("results/trial/inputs.json"))
