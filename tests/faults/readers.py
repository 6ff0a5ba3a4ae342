"""The readers of small files."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from heldout.evaluation.inputs import Inputs
from heldout.storage import checkpoints, report_records
from heldout.storage.labels import check_labels, read_labels
from heldout.storage.manifests import read_manifest
from heldout.storage.score_files import read_scores
from heldout.storage.sidecars import HISTORY, LABELS, SPEC, TIMING, check_own, read_beside, sidecar
from heldout.storage.timings import ScoreTiming, TrainTiming
from tests.conftest import record
from tests.faults.finished import Finished

NAMES = (
    *("spec of a checkpoint", "spec of a score", "spec of images", "timing of a training", "timing of a scoring"),
    *("history", "score file", "failed checkpoint", "split", "labels after the split", "labels before the split"),
    *("inputs.json", "record of a step", "metrics.csv", "histograms.csv", "manifest.json", "auroc.md"),
)


def of_small_files(finished: Finished) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Return each small file of the finished experiment in this folder, and what reads it."""
    run, plan = finished.run, finished.plan
    training, scoring = run.trainings["dcgan"], run.scorings["discriminator"]
    manifest = read_manifest(Path(run.split.path), run.split.digest)
    folder, images, labels = Path(plan.folder), Path(run.prepared.path), Path(run.prepared.labels)

    def table(name: str) -> Callable[[], object]:
        return lambda: Inputs.read(finished.inputs).table(name).to_csv()

    def checked_labels() -> list[str]:
        check_labels(manifest, labels)
        return read_labels(labels).classes.tolist()

    failed = Path("failed.safetensors")
    checkpoints.write(failed, training.spec, {}, "the loss is nan")
    record(failed, training.spec.content)
    (evaluated,) = report_records.paths(folder, "evaluate")
    return {
        "spec of a checkpoint": (sidecar(training.path, SPEC), lambda: asdict(check_own(Path(training.path)))),
        "spec of a score": (sidecar(scoring.path, SPEC), lambda: asdict(check_own(Path(scoring.path)))),
        "spec of images": (sidecar(images, SPEC), lambda: asdict(check_own(images))),
        "timing of a training": (sidecar(training.path, TIMING), lambda: TrainTiming.beside(training.path)),
        "timing of a scoring": (sidecar(scoring.path, TIMING), lambda: ScoreTiming.beside(scoring.path)),
        "history": (sidecar(training.path, HISTORY), lambda: read_beside(training.path, HISTORY)),
        "score file": (Path(scoring.path), lambda: read_scores(Path(scoring.path)).columns),
        "failed checkpoint": (failed, lambda: checkpoints.load(failed, training.digest).failed),
        "split": (Path(run.split.path), lambda: asdict(read_manifest(Path(run.split.path), run.split.digest))),
        "labels after the split": (labels, checked_labels),
        "labels before the split": (labels, lambda: read_beside(images, LABELS)),
        "inputs.json": (finished.inputs, lambda: asdict(Inputs.read(finished.inputs).content)),
        "record of a step": (evaluated, lambda: asdict(report_records.read(evaluated))),
        "metrics.csv": (folder / "tables" / "metrics.csv", table("metrics.csv")),
        "histograms.csv": (folder / "tables" / "histograms.csv", table("histograms.csv")),
        "manifest.json": (
            folder / "manifest.json",
            lambda: Inputs.read(finished.inputs).result(folder / "manifest.json"),
        ),
        "auroc.md": (
            folder / "tables" / "auroc.md",
            lambda: Inputs.read(finished.inputs).result(folder / "tables" / "auroc.md"),
        ),
    }
