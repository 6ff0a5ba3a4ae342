"""`manifest.json`: every file behind an experiment's results with its SHA-256, so that any figure can be traced."""

from pathlib import Path

from heldout.evaluation.inputs import Inputs
from heldout.evaluation.origins import mixed
from heldout.storage.files import write_json
from heldout.storage.hashing import file_sha256
from heldout.storage.leftovers import NAME, leftovers, remove
from heldout.storage.sidecars import SPEC, sidecar


def write_manifest(inputs_path: Path) -> None:
    """Write the SHA-256 of every result and of every file behind it, by path.

    Results of an earlier run that the present plan does not contain are deleted, according to its manifest.
    """
    inputs = Inputs.read(inputs_path)
    made_from: set[str] = set()
    for run in inputs.runs:
        written = [*run.checkpoints.values(), *run.scores.values()]
        made_from |= {run.images, run.labels, run.split, *written}
        made_from |= {str(sidecar(path, SPEC)) for path in written}
    origins = {
        aspect: {value: [made.path for made in files] for value, files in values.items()}
        for aspect, values in mixed(inputs).items()
    }
    content = {
        "experiment": inputs.content.experiment,
        "mixed_origins": origins,
        "made_from": {path: file_sha256(Path(path)) for path in sorted(made_from)},
        "results": {path: file_sha256(Path(path)) for path in sorted(inputs.content.results)},
    }
    remove(leftovers(inputs.folder, inputs.content.results))
    write_json(inputs.folder / NAME, content)
