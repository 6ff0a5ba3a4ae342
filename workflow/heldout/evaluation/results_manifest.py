"""`manifest.json`: every file behind an experiment's results with its SHA-256, so that any figure can be traced."""

from pathlib import Path

from heldout.evaluation.inputs import Inputs
from heldout.evaluation.origins import mixed
from heldout.storage.hashing import file_sha256, sha256_of_bytes
from heldout.storage.labels import check_labels
from heldout.storage.leftovers import NAME, leftovers, remove
from heldout.storage.sealed import write_sealed
from heldout.storage.sidecars import SPEC, check_own, sidecar


def write_manifest(inputs_path: Path, record: Path | None = None) -> None:
    """Write the SHA-256 of every result and of every file behind it, by path.

    Results of an earlier run that the present plan does not contain are deleted, according to its manifest.

    Args:
        inputs_path: the experiment's `inputs.json`.
        record: the path of the step's record; None: named by the inputs.

    Raises:
        HeldoutError: a result or a file behind it is damaged, or a result is not of these inputs.
    """
    inputs = Inputs.read(inputs_path)
    made_from: set[str] = set()
    for run in inputs.runs:
        check_labels(inputs.manifests[run.split], Path(run.labels))
        written = [*run.checkpoints.values(), *run.scores.values()]
        for path in map(Path, (run.images, *written)):
            if sidecar(path, SPEC).is_file():  # an earlier version wrote none beside images
                check_own(path)
        made_from |= {run.images, run.labels, run.split, *written}
        made_from |= {str(sidecar(path, SPEC)) for path in written}
    origins = {
        aspect: {value: [made.path for made in files] for value, files in values.items()}
        for aspect, values in mixed(inputs).items()
    }
    results = sorted(inputs.content.results)
    content = {
        "experiment": inputs.content.experiment,
        "mixed_origins": origins,
        "made_from": {path: file_sha256(Path(path)) for path in sorted(made_from)},
        "results": {path: sha256_of_bytes(inputs.result(path)) for path in results},
    }
    with inputs.recorded("manifest", record, results) as files:
        remove(leftovers(inputs.folder, inputs.content.results))
        write_sealed(inputs.folder / NAME, content)
        files.append(inputs.folder / NAME)
