"""A tiny finished experiment on own images, made in this process by the steps themselves, and how to repeat each."""

import json
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from heldout.cli import app
from heldout.planning import inputs_json
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.steps import PrepareStep, ScoreStep, SplitStep, Step, TrainStep
from heldout.storage.files import write_text

TINY = {"steps": 2, "batch": 4, "width": 4}
IMAGES = {"size": 32, "channels": 1}
EXPERIMENT = {
    "experiment": "trial",
    "datasets": {
        "toys": {"dataset": "image_folder", "folder": "toys", "classes": ["cat", "dog"], "size": 32, "channels": 1}
    },
    "held_out": ["cat"],
    "calibration": 0.25,
    "models": {"dcgan": {**TINY, "latent": 4}, "izi_encoder": {"parent": "dcgan", **TINY}},
    "methods": {
        "mean_image": {},
        "discriminator": {"model": "dcgan"},
        "fanogan": {},
        "both": {"method": "combine", "of": ["discriminator", "mean_image"]},
    },
    "bootstrap": 100,
    "device": "cpu",
    "figures": ["roc", "scores", "samples", "gallery"],
}
COUNT = 24  # images of each class


class Finished:
    """An experiment in the present folder: its plan, and the command line of each of its steps."""

    def __init__(self) -> None:
        content = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
        self.plan = Plan(resolve(content, where="config.yaml"))
        self.run = self.plan.runs[0]
        self.inputs = Path(self.plan.inputs)

    def command(self, step: Step) -> list[str]:
        """The command that makes a step's file, as the rules have it."""
        words = ["--spec", step.spec.canonical]
        match step:
            case PrepareStep():
                return ["prepare", *words, "--raw", "toys", "--images", step.path, "--labels", step.labels]
            case SplitStep():
                read = ["--images", step.images.path, "--labels", step.images.labels]
                return ["split", *words, *read, "--manifest", step.path]
            case TrainStep():
                parent = ["--parent", step.parent.path] if step.parent else []
                read = ["--images", step.images.path, "--split", step.split.path, *parent]
                return ["train", *words, *read, "--checkpoint", step.path, "--device", "cpu"]
            case ScoreStep():
                sources = ["--checkpoint", step.checkpoint.path] if step.checkpoint else []
                sources += [word for other in step.joined for word in ("--joined", other.path)]
                read = ["--images", step.images.path, "--split", step.split.path, *sources]
                return ["score", *words, *read, "--scores", step.path, "--device", "cpu"]
        raise AssertionError(step)

    def report(self, step: str) -> list[str]:
        """The command of a step that writes results."""
        verb, _, kind = step.partition("_")
        return [verb, *([kind] if kind else []), "--inputs", str(self.inputs)]


def typed(words: list[str]) -> None:
    """Run a command of `heldout` in this process; a mistake is an exception."""
    app(words, standalone_mode=False)


def make(folder: Path) -> None:
    """Run the whole experiment in a new folder."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog")):
        (folder / "toys" / name).mkdir(parents=True)
        for index in range(COUNT):
            pixels = rng.integers(100 * number, 100 * number + 120, (32, 32), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "toys" / name / f"{index:02}.png")
    (folder / "config.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False), encoding="utf-8")
    with chdir(folder):
        finished = Finished()
        for step in finished.plan.steps.values():
            typed(finished.command(step))
        report = inputs_json.write(finished.plan)
        for source, target in ((report.inputs, finished.plan.inputs), (report.record, report.records["inputs"])):
            write_text(Path(target), Path(source).read_text(encoding="utf-8"))  # as the rule `inputs` does
        for step in ("evaluate", "tables", *(f"figure_{kind}" for kind in finished.plan.figures), "manifest"):
            typed(finished.report(step))


def flipped(content: bytes, at: int, mask: int = 1) -> bytes:
    at %= len(content)
    return content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :]


def rewritten(path: Path, change: Callable[[dict], object]) -> None:
    """Change the content of a JSON file, but no hash in it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed), encoding="utf-8")
