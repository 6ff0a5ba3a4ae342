"""The memory (MiB) and run time (minutes) that a job requests from a cluster, estimated from its spec.

    memory   = libraries + images + weights with their gradients + the feature maps of a batch or block
    run time = start-up + (updates, or images x steps of a search) x time of one

Sizes and rates were measured and rounded up, so that a core several times slower suffices. If a request is too low, the
job fails and is repeated with twice as much. No result depends on these estimates. The number of threads affects the
last bits of a result, so the experiment sets it.
"""

import math
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from heldout.errors import HeldoutError
from heldout.networks.shape import ImageShape
from heldout.planning import schema
from heldout.planning.plan import Plan
from heldout.planning.steps import PrepareStep, ScoreStep, SplitStep, Step, TrainStep
from heldout.planning.tasks import OWN_TEST_SHARE
from heldout.planning.work import network, of_scoring, of_training
from heldout.storage.class_folders import TESTS
from heldout.storage.folders import files_in
from heldout.storage.specs import TrainSpec

# MiB, and minutes.
LOADED = 1200  # Python, PyTorch, scikit-learn; the smallest networks held 720 to 910
STARTING = 10  # imports from a shared file system, beside other jobs that do the same

# Bytes.
OF_A_MAP = 50  # per channel and pixel of the layer next to the image: maps of four networks, forward and backward
OF_A_WEIGHT = 64  # of the generator: four such networks, with a gradient and Adam's two moments
OF_A_PRIVATE_WEIGHT = 28  # of one start: the weight, two moments, and copies of a layer during its update
OF_A_PIXEL = 6  # an image as stored, and in floating point
OF_A_FITTED_PIXEL = 32  # copies in double precision
OF_A_RESAMPLED_IMAGE = 32
MOST_MEMORY = 64 << 40  # more than one machine has
OF_A_CURVE = 2000  # of one resample, in memory until the tables are written

# Seconds.
PER_MULTIPLICATION = 5e-10  # of the generator; covers all networks of an update or a search step
PER_MOVED_WEIGHT = 15e-9  # gradient and Adam step on a start's private weights
PER_UPDATE = 0.01  # independent of the size
PER_PAIR = 2e-7  # of images that a detector compares
PER_FEATURES = 0.1  # of an image, by a published network
PER_READ_IMAGE = 0.02  # to decode and scale it
PER_RESAMPLED_IMAGE = 2e-7
PER_FILE = 0.3

COMPARED_AGAIN = 10  # comparisons of each pair of training images while a detector chooses its parameters
SEARCHED_AGAIN = 16  # images of each run and method that figures process again
SIDE_UNKNOWN = 32  # of a dataset that registers no shape
SIZE_UNKNOWN = 10_000  # images of a missing folder


class Needs(NamedTuple):
    """Memory in MiB, and run time in minutes."""

    mem_mb: int
    runtime: int


class Size(NamedTuple):
    """A generator's number of weights, and of multiplications in the forward pass of one image."""

    weights: int
    multiplications: int


def of_step(step: Step) -> Needs:
    """Return the needs of a preparation, split, training or scoring."""
    match step:
        case PrepareStep():
            return _to_prepare(step)
        case SplitStep():
            return _to_split(step)
        case TrainStep():
            return _to_train(step)
        case ScoreStep():
            return _to_score(step)
    raise TypeError(step)


def of_evaluation(plan: Plan) -> Needs:
    """Return the needs of `evaluate`, which resamples every score file and keeps the curves."""
    resamples, scores = plan.settings.bootstrap, sum(len(run.scorings) for run in plan.runs)
    images = max(_images(run.split)[1] for run in plan.runs)
    memory = OF_A_RESAMPLED_IMAGE * resamples * images + OF_A_CURVE * resamples * scores
    return _needs(memory, PER_RESAMPLED_IMAGE * resamples * images * scores)


def of_files(plan: Plan) -> Needs:
    """Return the needs of a job that reads every file behind the results, such as `tables` or `manifest`."""
    return _needs(0, PER_FILE * len(plan.trained_and_scored))


@cache
def of_figures(plan: Plan, kind: str) -> Needs:
    """Return the needs of drawing one kind of figure; some kinds run methods again on a few images."""
    needs = [of_files(plan)]
    facts = schema.plugins("figure")[kind]
    if "checkpoints" in facts["reads"]:
        needs += [of_step(step) for run in plan.runs for step in run.trainings.values()]
    shown = plan.experiment.figures[kind] if facts["shows"] else []
    again = [_to_score(run.scorings[name], SEARCHED_AGAIN) for run in plan.runs for name in shown]
    minutes = needs[0].runtime + sum(each.runtime - STARTING for each in again)
    return Needs(max(each.mem_mb for each in (*needs, *again)), minutes)


def require_possible(plan: Plan) -> None:
    """Raise HeldoutError if a model's networks need more memory than any machine has, whatever the number of images."""
    for run in {run.dataset.name: run for run in plan.runs}.values():
        image = image_shape(run.prepared)
        for name, training in run.trainings.items():
            needed = _of_networks(*_largest(training.spec, image), image, of_training(training.spec).batch)
            _require(needed, f"{plan.settings.experiment}, models.{name}", "width, latent or batch")
        for name, scoring in run.scorings.items():
            if scoring.checkpoint:
                needed = _of_networks(*_largest(scoring.checkpoint.spec, image), image, scoring.spec.params["block"])
                _require(needed, f"{plan.settings.experiment}, methods.{name}", "block")


def _require(needed: float, where: str, lower: str) -> None:
    if needed > MOST_MEMORY:
        raise HeldoutError(
            f"{where}: its networks need about {needed / 2**40:.3g} TiB of memory, and more than "
            f"{MOST_MEMORY >> 40} TiB are refused; lower {lower}"
        )


def image_shape(prepared: PrepareStep) -> ImageShape:
    """Return the shape of prepared images."""
    options = prepared.spec.options
    shape = schema.plugins("dataset")[prepared.spec.dataset]["shape"]
    channels, side = shape or (options.get("channels", 3), SIDE_UNKNOWN)
    # As `pixels.padded_side` computes it; that module imports PyTorch.
    return ImageShape(channels, options["size"] or 1 << (side - 1).bit_length())


def images_of_parts(split: SplitStep) -> tuple[int, int] | None:
    """Return the approximate numbers of training images and of scored images of a split, for classes of equal size.

    None if the size of the dataset is unknown.
    """
    spec, counts = split.spec, _official(split.images)
    if counts is None:
        return None
    train, test = map(float, counts)
    if not test:
        train, test = train * (1 - OWN_TEST_SHARE), train * OWN_TEST_SHARE
    normal = len(spec.normal) / len(spec.classes)
    normals = {"official": test, "all_anomalies": test, "pooled": OWN_TEST_SHARE * (train + test)}[spec.variant]
    anomalies = test if spec.variant == "official" else train + test
    tested = normals * normal + anomalies * (1 - normal)
    calibration = spec.calibration * (train + test - normals) * normal
    trained = (train + test - normals) * normal - calibration
    scored = min(tested, spec.test_items or tested) + calibration
    return round(min(trained, spec.train_items or trained)), round(scored) + spec.labelled_anomalies


@cache
def generator_size(width: int, latent: int, image: ImageShape) -> Size:
    """Return the size of DCGAN's generator (`networks/dcgan.py`); a model's other networks are about as large."""
    levels = image.side.bit_length() - 3  # from 4x4 to the image
    widths = [width << level for level in reversed(range(levels))]
    linear = latent * widths[0] * 16
    kernels = [16 * before * after for before, after in pairwise([*widths, image.channels])]
    passed_over = [16 << 2 * level for level in range(levels)]  # pixels of each layer's input
    multiplications = linear + sum(kernel * pixels for kernel, pixels in zip(kernels, passed_over, strict=True))
    return Size(linear + sum(kernels) + 2 * sum(widths), multiplications)


def _to_prepare(step: PrepareStep) -> Needs:
    counts = _official(step)
    images = sum(counts) if counts else SIZE_UNKNOWN
    return _needs(OF_A_PIXEL * images * _pixels(step), PER_READ_IMAGE * images)


def _to_split(step: SplitStep) -> Needs:
    images, prepared = sum(_images(step)), step.images
    return _needs(OF_A_PIXEL * images * _pixels(prepared), 0)


def _to_train(step: TrainStep) -> Needs:
    work, image = of_training(step.spec), image_shape(step.images)
    size, width = _largest(step.spec, image)
    images, _ = _images(step.split)
    memory = OF_A_PIXEL * images * _pixels(step.images) + _of_networks(size, width, image, work.batch)
    each = PER_UPDATE + work.batch * PER_MULTIPLICATION * size.multiplications
    return _needs(memory, work.updates * work.networks * each)


def _to_score(step: ScoreStep, images: int | None = None) -> Needs:
    """Return the needs of scoring a number of images; None: all scored images of the split."""
    trained_on, scored = _images(step.split)
    scored = images or scored
    if step.joined:
        return _needs(0, 0)
    work = of_scoring(step.spec, len(step.split.spec.normal), trained_on)
    if step.checkpoint is None:
        uses_network = schema.facts("method", step.spec.method, step.spec.params)["network"]
        features = PER_FEATURES * (trained_on + scored) if uses_network else 0.0
        pairs = work.compared * (COMPARED_AGAIN * trained_on + scored)
        return _needs(OF_A_FITTED_PIXEL * (trained_on + scored) * _pixels(step.images), PER_PAIR * pairs + features)
    image, block = image_shape(step.images), step.spec.params["block"]
    size, width = _largest(step.checkpoint.spec, image)
    memory = OF_A_PIXEL * scored * _pixels(step.images) + _of_networks(size, width, image, block)
    per_pass = PER_MULTIPLICATION * size.multiplications
    if work.moves_weights:
        memory += OF_A_PRIVATE_WEIGHT * size.weights * block
        per_pass += PER_MOVED_WEIGHT * size.weights
    return _needs(memory, scored * work.passes * per_pass)


def _needs(memory: float, seconds: float) -> Needs:
    """Return the needs of a process, given its bytes and seconds beyond libraries and start-up."""
    return Needs(LOADED + math.ceil(memory / 2**20), STARTING + math.ceil(seconds / 60))


def _of_networks(size: Size, width: int, image: ImageShape, at_a_time: float) -> float:
    """Return the bytes of the networks and of the feature maps of the images that pass through them at a time."""
    return OF_A_WEIGHT * size.weights + OF_A_MAP * width * image.side**2 * at_a_time


def _largest(training: TrainSpec, image: ImageShape) -> tuple[Size, int]:
    """Return the size and width of a model's networks, or of its parent's if those are larger."""
    networks = [network(training), *([network(training.parent)] if training.parent else [])]
    return max((generator_size(width, latent, image), width) for width, latent in networks)


def _images(split: SplitStep) -> tuple[int, int]:
    spec = split.spec
    unknown = spec.train_items or SIZE_UNKNOWN, spec.test_items or SIZE_UNKNOWN
    return images_of_parts(split) or unknown


def _pixels(prepared: PrepareStep) -> int:
    image = image_shape(prepared)
    return image.channels * image.side**2


def _official(prepared: PrepareStep) -> tuple[int, int] | None:
    """Return the numbers of images in the official training and test part; for an image folder, of its files."""
    spec, options = prepared.spec, prepared.spec.options
    counts = schema.plugins("dataset")[spec.dataset]["counts"]
    if counts is None:
        return _in_folder(prepared.raw.path)
    train, test = counts
    return train + options.get("train_images", 0) * len(options.get("train") or []), test


@cache
def _in_folder(name: str) -> tuple[int, int] | None:
    if not Path(name).is_dir():
        return None
    tested = [path.parts[0] in TESTS for path in files_in(Path(name))]
    return tested.count(False), tested.count(True)
