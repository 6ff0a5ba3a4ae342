"""The captions of tables: the metric, the protocol, the test images and the training images."""

import numpy as np
import pandas as pd

from heldout.evaluation import intervals
from heldout.evaluation.evaluate import MEAN
from heldout.evaluation.inputs import Inputs
from heldout.evaluation.origins import note
from heldout.planning.tasks import OWN_TEST_SHARE

METRICS = {
    "auroc": "AUROC: higher is better, 0.5 is chance",
    "auprc": "AUPRC as average precision, with anomalies as the positive class: higher is better, random scores have "
    "the share of `anomalies`. The area by trapezoids, which EGBAD's code reports, is in metrics.csv",
}
PROTOCOLS = {
    "one_class": "`held out` is the normal class (protocol `one_class`): models are trained on it alone, and every "
    "other class is anomalous.",
    "leave_one_out": "`held out` is the anomalous class (protocol `leave_one_out`): models are trained on all other "
    "classes.",
    "folders": "`held out` is a group of anomalies (protocol `folders`), tested against all normal images; `overall` "
    "is all groups together. Models are trained on the classes that the dataset calls normal.",
}
VARIANTS = {
    "official": "{part}",
    "all_anomalies": "the normal images of {part} and every anomalous image (variant all_anomalies)",
    "pooled": "a random fifth of all normal images and every anomalous image, with all parts joined (variant pooled)",
}
RUNTIME = (
    "Means over classes and seeds, without failed runs; `seed sd` is the standard deviation over seeds of the mean "
    "over classes. Runs on another processor, GPU or backend have a row of their own; `runs` is their number. "
    "Training: on `train device`, or else on `device`; images per s counts real training images. Scoring: after a "
    "warm-up, without loading the model; `fit s` is for methods that are fitted while scoring. Peak memory is that of "
    "the process or, on a GPU, of the GPU."
)


def caption(inputs: Inputs, metrics: pd.DataFrame, table: str) -> list[str]:
    """Return the lines below a table, `auroc` or `auprc`."""
    seeds = metrics.seeds.max()
    about = "over test images and seeds" if seeds >= intervals.SEEDS else "over test images"
    lines = [f"{METRICS[table]}; in brackets the 95 % interval {about}. {PROTOCOLS[inputs.runs[0].protocol]}"]
    if unreliable := _of_few_images(metrics):
        lines.append(
            f"Intervals of fewer than {intervals.FEWEST} normal or anomalous test images are unreliable: "
            f"{', '.join(unreliable)}."
        )
    if supervised := [f"`{name}`" for name, entry in inputs.methods.items() if entry.supervision]:
        lines.append(
            f"{', '.join(supervised)}: fitted with the labels of some anomalies, none of them in the test part."
        )
    if floors := [name for name, entry in inputs.methods.items() if entry.method == "mean_image"]:
        lines.append(f"The floor is `{floors[0]}`, the squared distance to the mean training image.")
    alone = "" if seeds > 1 else " One training per class: the spread over seeds is unknown."
    lines.append(f"Seeds: {seeds}.{alone}")
    return [*lines, *(_images(inputs, dataset) for dataset in metrics.dataset.unique()), *note(inputs)]


def _of_few_images(metrics: pd.DataFrame) -> list[str]:
    """Return the rows, without means, that have few normal or few anomalous test images."""
    anomalous = (metrics.test_images * metrics.share_of_anomalies).round()
    few = np.minimum(anomalous, metrics.test_images - anomalous) < intervals.FEWEST
    return list(dict.fromkeys(metrics.held_out[few & (metrics.held_out != MEAN)]))


def _images(inputs: Inputs, dataset: str) -> str:
    """Describe the test and training images of a dataset."""
    runs = [run for run in inputs.runs if run.dataset == dataset]
    manifest = inputs.manifests[runs[0].split]
    part = "its official test part"
    if not manifest.official_test_part:
        part = f"a stratified {OWN_TEST_SHARE:.0%} of each class, set aside since it has no official test part"
    part = VARIANTS[manifest.variant or "official"].format(part=part)
    chosen = f"{len(manifest.test)} random images (stratified by class) of" if manifest.test_items else "all of"
    sentences = [f"{dataset}: tested on {chosen} {part}; split_seed {manifest.split_seed}."]
    if manifest.train_items:
        sentences.append(f"Trained on {len(manifest.train)} random images, stratified by class.")
    if manifest.contamination:
        share = manifest.anomalies_trained_on / len(manifest.train)
        sentences.append(f"{share:.1%} of the training images are unlabelled anomalies.")
    splits = [inputs.manifests[split] for split in {run.split for run in runs}]
    most = "At most " if len(splits) > 1 else ""
    known = "pixel-identical to a training, calibration or labelled image"
    if identical := max(split.test_images_also_in_training for split in splits):
        sentences.append(f"{most}{identical} test images are {known}.")
    if dropped := max(split.dropped_duplicates for split in splits):
        sentences.append(f"{most}{dropped} test images were left out because they are {known}.")
    return " ".join(sentences)
