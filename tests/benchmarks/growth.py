"""How ADGAN's time grows with its settings, and its memory with the number of test images.

One of the settings moves at a time, the others stay at the paper's: 64 starts, 5 joint steps, width 64, 32 pixels.
"""

import json
import subprocess
import sys
import tempfile
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.search.native import joint_search
from heldout.stages.split import split
from heldout.storage.labels import Labels, write_labels
from heldout.storage.sidecars import TIMING, sidecar, write_spec
from tests.benchmarks._measuring import Growth, in_turn
from tests.benchmarks._networks import built, images
from tests.benchmarks.joint_search import SETTINGS

PAPERS = {"starts": SETTINGS.starts, "steps": SETTINGS.steps, "width": 64, "side": 32}
SIZES = {"starts": (8, 16, 32, 64, 128), "steps": (1, 2, 5, 10, 20), "width": (16, 32, 64, 128), "side": (16, 32, 64)}
UNITS = {"starts": "starting points", "steps": "steps", "width": "width, channels", "side": "side, pixels"}
SCORED = (500, 1500, 5000)


def measure(rounds: int) -> list[Growth]:
    found = []
    for name, sizes in SIZES.items():
        calls = {size: _search(**PAPERS | {name: size}) for size in sizes}
        seconds = in_turn({str(size): (call, 1) for size, call in calls.items()}, rounds)
        pairs = [(size, sorted(seconds[str(size)])[rounds // 2]) for size in sizes]
        found.append(Growth("seconds an image", UNITS[name], {"ADGAN": pairs}))
    memory = [(count, _peak_memory(count)) for count in SCORED]
    return [*found, Growth("peak memory, MiB", "test images, 64 starts", {"ADGAN": memory}, goal=2048)]


def _search(starts: int, steps: int, width: int, side: int) -> Any:
    image = ImageShape(1, side)
    generator, given = built("dcgan", image, width=width).generator, images(1, image)
    at = randomness.starting_points(randomness.image_keys(0, [0]), starts, generator.latent)
    settings = replace(SETTINGS, starts=starts, steps=steps)
    return lambda: joint_search.search(generator, given, at, settings, False)


def _peak_memory(count: int) -> float:
    """Score so many images of noise by the command, in a process of its own; return what its timing file says.

    With one step of the search: the others need the same memory again.
    """
    experiment = {
        "experiment": "memory",
        "datasets": {"mnist5k": {}},
        "held_out": [0],
        "variant": "all_anomalies",
        "test_items": count,
        "models": {"dcgan": {"steps": 1, "batch": 2}},
        "methods": {"adgan": {"model": "dcgan", "steps": 1}},
        "threads": torch.get_num_threads(),
    }
    (run,) = Plan(resolve(experiment, where="the benchmark")).runs
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        prepared, training, scoring = run.prepared, run.trainings["dcgan"], run.scorings["adgan"]
        for step in (prepared, run.split, training, scoring):
            Path(step.path).parent.mkdir(parents=True, exist_ok=True)
        numbers = np.arange(count + count // 5)  # a class of ten is normal, and four fifths of it are trained on
        noise = np.random.default_rng(0).integers(0, 256, (len(numbers), 1, 32, 32), dtype=np.uint8)
        np.save(prepared.path, noise)
        labels = Labels((numbers % 10).astype(str), np.zeros(len(numbers), bool))
        write_labels(Path(prepared.labels), labels)
        write_spec(Path(prepared.path), Path(prepared.path), prepared.spec)
        split(run.split.spec, prepared.path, prepared.labels, run.split.path)
        read = ["--images", prepared.path, "--split", run.split.path]
        _command("train", "--spec", training.spec.canonical, *read, "--checkpoint", training.path)
        written = ["--checkpoint", training.path, "--scores", scoring.path]
        _command("score", "--spec", scoring.spec.canonical, *read, *written)
        return json.loads(sidecar(scoring.path, TIMING).read_text(encoding="utf-8"))["peak_memory_mib"]


def _command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "heldout", *words], check=True)
