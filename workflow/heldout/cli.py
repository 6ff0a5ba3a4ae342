"""Train GANs on normal images, score test images, and compare the methods.

`snakemake --cores all` runs a whole experiment with these commands; you can also type them by hand.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from heldout.errors import HeldoutError, one_line
from heldout.planning import origin
from heldout.planning.experiment import JOBS_PER_GPU, MIRROR_VARIABLE, SAVE_EVERY_S
from heldout.storage.specs import PrepareSpec, ScoreSpec, SplitSpec, TrainSpec

# OpenMP, the libraries of NumPy and scikit-learn, and PyTorch's compiler read these variables when they are loaded.
# Snakemake sets all but the last.
THREADS_VARIABLES = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
)

PLUGINS = "Datasets, models and methods"
RESULTS = "Results"
STEPS = "Steps of the workflow, as Snakemake calls them"

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

S = TypeVar("S", TrainSpec, ScoreSpec)
Spec = Annotated[str, typer.Option(help="the spec of the output file, as JSON; `snakemake -n -p` prints it")]
File = Annotated[Path, typer.Option()]
RecordFile = Annotated[Path | None, typer.Option(help="the step's record; by default named by the inputs")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")]
JobsPerGpu = Annotated[int, typer.Option(help="maximum number of trainings and scorings on a GPU; others wait", min=1)]
SaveEvery = Annotated[int, typer.Option(help="seconds between saves of unfinished work")]
Mirror = Annotated[str, typer.Option(envvar=MIRROR_VARIABLE, help="folder or address with the files")]
Name = Annotated[str | None, typer.Argument(help="show the parameters of this one")]
Experiments = Annotated[list[Path] | None, typer.Argument(help="experiment files outside the project's folders")]


@app.command(rich_help_panel=PLUGINS)
def datasets(name: Name = None) -> None:
    """List the datasets, or the classes and options of one."""
    _describe("dataset", name)


@app.command(rich_help_panel=PLUGINS)
def models(name: Name = None) -> None:
    """List the models, or the parameters of one."""
    _describe("model", name)


@app.command(rich_help_panel=PLUGINS)
def methods(name: Name = None) -> None:
    """List the methods, or the parameters of one."""
    _describe("method", name)


@app.command(rich_help_panel=PLUGINS)
def combinations(name: Name = None) -> None:
    """List the rules that combine scores, or the parameters of one."""
    _describe("combination", name)


@app.command(rich_help_panel=PLUGINS)
def schema() -> None:
    """Renew the schema and the tables of plug-ins."""
    from heldout.planning.schema import PATH
    from heldout.planning.schema_from_code import text
    from heldout.project import listing
    from heldout.storage.files import write_text

    write_text(PATH, text())
    print(f"wrote {PATH}")
    if listing.PAGE.is_file():  # a wheel does not contain it
        write_text(listing.PAGE, listing.renewed(listing.PAGE.read_text(encoding="utf-8")))
        print(f"wrote the tables in {listing.PAGE}")


@app.command(rich_help_panel=RESULTS)
def cost(experiment: Annotated[Path, typer.Argument(help="an experiment file")] = Path("config.yaml")) -> None:
    """Estimate the number and time of an experiment's steps.

    Estimates use earlier timings on this machine or, if there are none, a trial of a few steps.
    """
    from heldout.project import inventory
    from heldout.project.cost import cost

    print(cost(inventory.experiment(experiment)))


@app.command(rich_help_panel=RESULTS)
def status(
    experiments: Annotated[list[Path] | None, typer.Argument(help="experiment files; none: those with results")] = None,
) -> None:
    """Show which results are present, missing or failed.

    Without a file: of config.yaml and of every experiment that has results here, with the files that none needs.
    """
    from heldout.project import inventory
    from heldout.project.slurm_queue import held
    from heldout.project.status import status, tables

    print(tables([*map(inventory.experiment, experiments)]) if experiments else status(inventory.experiments()))
    for line in held().values():
        print(line)


@app.command(rich_help_panel=RESULTS)
def timeline(experiment: Annotated[Path, typer.Argument(help="an experiment file")] = Path("config.yaml")) -> None:
    """Draw the activity of each core in an experiment's last run."""
    from heldout.project import inventory
    from heldout.project.timeline import timeline

    print(timeline(inventory.experiment(experiment)))


@app.command(rich_help_panel=RESULTS)
def splits(
    manifests: Annotated[list[Path] | None, typer.Argument(help="split manifests; none: all in data/splits")] = None,
) -> None:
    """List the split manifests, or compare two of them."""
    from heldout.project import splits

    found = splits.manifests(manifests or [])
    print(splits.table(found))
    if len(manifests or []) == 2:
        print(splits.comparison(*found.values()))


@app.command(rich_help_panel=RESULTS)
def verify() -> None:
    """Check every file of the results against its recorded hash."""
    from heldout.project import dvc_records
    from heldout.project.inventory import require_project
    from heldout.project.verify import remedy, verify

    require_project()
    try:
        recorded = dvc_records.recorded()
    except HeldoutError as error:
        recorded = {}
        print(f"DVC's records are not checked: {error}", file=sys.stderr)
    result = verify(recorded)
    for path in result.unsaved:
        print(f"{path}: differs from {dvc_records.LOCK}; it was computed again and is not saved yet")
    for path, problem in result.damaged.items():
        print(f"{path}: {problem}")
    print(f"{len(result.checked)} files checked, {len(recorded)} recorded by DVC, {len(result.damaged)} damaged")
    if result.damaged:
        print("To delete the damaged files:", *dict.fromkeys(map(remedy, result.damaged)), sep="\n    ")
        raise HeldoutError("delete the damaged files as shown, then `dvc pull` or run snakemake again")


@app.command(rich_help_panel=RESULTS)
def prune(
    experiments: Experiments = None,
    yes: Annotated[bool, typer.Option("--yes", help="delete the files; without it, only list them")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="recorded failures instead, to repeat them")] = False,
) -> None:
    """List the files that no experiment needs; --yes deletes them."""
    from heldout.project import inventory
    from heldout.project.prune import delete, failures, superfluous
    from heldout.project.text import readable

    if failed and experiments:
        raise HeldoutError("--failed applies to all recorded failures; leave out the experiment files")
    entries = failures() if failed else superfluous(inventory.experiments(experiments or []))
    files = [path for entry in entries for path in entry.files]
    size = readable(sum(entry.size for entry in entries))
    for path in files:
        print(path)
    if not yes:
        print(f"{len(files)} files, {size}" + ("; nothing was deleted: add --yes" if files else ""))
        return
    pruned = delete(entries)
    print(f"{pruned.deleted} files deleted, {size}; {pruned.recorded} of them remain in DVC's earlier commits")


@app.command(rich_help_panel=RESULTS)
def save() -> None:
    """Record every dataset, checkpoint and score with DVC."""
    from heldout.project import inventory
    from heldout.project.save import save

    saved = save()
    if saved.fetched:
        print(f"fetched {saved.fetched} recorded files that were missing here")
    print(f"dvc.lock records all files that are here, {saved.added} of them for the first time")
    if saved.unmerged:
        print(f"deleted because git could not merge them: {', '.join(saved.unmerged)}. Run snakemake and save again")
        return
    git = "git commit -a -m 'Save results' && dvc push && git push" if saved.staged else "dvc push"
    print(f"To share them: {git}")
    if missing := inventory.unfinished():
        print(
            f"{inventory.QUICKSTART} is not finished: {missing} of its trainings and scorings are missing, but "
            "`dvc repro` now considers it finished. Run snakemake --cores all and save again."
        )


@app.command(rich_help_panel=STEPS)
def fetch(
    dataset: str,
    folder: File,
    mirror: Mirror = "",
    md5: Annotated[str, typer.Option(help="checksum of a folder of yours, as the experiment states it")] = "",
) -> None:
    """Fetch the official files of a dataset and check them."""
    from heldout.stages.fetch import fetch

    # No shell has seen `mirror: ~/folder`.
    fetch(dataset, folder, os.path.expanduser(mirror) or None, md5 or None)


@app.command(rich_help_panel=STEPS)
def prepare(spec: Spec, raw: File, images: File, labels: File) -> None:
    """Write a dataset as one array and a table of labels."""
    from heldout.stages.prepare import prepare

    prepare(PrepareSpec.parse(spec), raw, images, labels)


@app.command(rich_help_panel=STEPS)
def split(spec: Spec, images: File, labels: File, manifest: File) -> None:
    """Assign images to training, calibration and testing."""
    from heldout.stages.split import split

    split(SplitSpec.parse(spec), images, labels, manifest)


@app.command(rich_help_panel=STEPS)
def train(
    spec: Spec,
    images: File,
    split: File,
    checkpoint: File,
    parent: Annotated[Path | None, typer.Option(help="the checkpoint of the parent model")] = None,
    device: Device = "auto",
    jobs_per_gpu: JobsPerGpu = JOBS_PER_GPU,
    save_every: SaveEvery = SAVE_EVERY_S,
) -> None:
    """Train a model on the normal images."""
    planned = _on_its_threads(TrainSpec.parse(spec))
    from heldout.stages.train import train

    _report_failure(train(planned, images, split, checkpoint, device, parent, save_every, jobs_per_gpu))


@app.command(rich_help_panel=STEPS)
def score(
    spec: Spec,
    images: File,
    split: File,
    scores: File,
    checkpoint: Annotated[Path | None, typer.Option()] = None,
    joined: Annotated[list[Path] | None, typer.Option(help="score files that the method combines")] = None,
    weights: Annotated[Path | None, typer.Option(help="folder of fetched weights")] = None,
    device: Device = "auto",
    jobs_per_gpu: JobsPerGpu = JOBS_PER_GPU,
    memory: Annotated[int | None, typer.Option(help="memory limit in MiB, of the GPU or else of RAM", min=1)] = None,
    save_every: SaveEvery = SAVE_EVERY_S,
) -> None:
    """Score the test images with a method."""
    planned = _on_its_threads(ScoreSpec.parse(spec))
    from heldout.stages.score import Sources, score

    sources = Sources(checkpoint, joined or [], weights)
    _report_failure(score(planned, images, split, sources, scores, device, save_every, jobs_per_gpu, memory))


@app.command(rich_help_panel=STEPS)
def evaluate(inputs: File, record: RecordFile = None) -> None:
    """Compute metrics, intervals and curves from the scores."""
    from heldout.evaluation.evaluate import evaluate

    evaluate(inputs, record)


@app.command(rich_help_panel=STEPS)
def tables(inputs: File, record: RecordFile = None) -> None:
    """Write the tables of AUROC, AUPRC and runtime."""
    from heldout.evaluation.tables import write_tables

    write_tables(inputs, record)


@app.command(rich_help_panel=STEPS)
def figure(kind: str, inputs: File, record: RecordFile = None) -> None:
    """Draw all figures of one kind for an experiment."""
    from heldout.figures._drawing import draw

    draw(kind, inputs, record)


@app.command(rich_help_panel=STEPS)
def manifest(inputs: File, record: RecordFile = None) -> None:
    """List every file behind an experiment's results, with hashes."""
    from heldout.evaluation.results_manifest import write_manifest

    write_manifest(inputs, record)


@one_line()
def main() -> None:
    """Run the command with this folder's package; whatever fails ends in one line and exit status 1."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # huge pages for tensors; PyTorch reads it at the first one
    origin.switch()
    app()


def _on_its_threads(planned: S) -> S:
    """Set the number of threads of all libraries that are loaded later; return the spec."""
    os.environ.update(dict.fromkeys(THREADS_VARIABLES, str(planned.threads)))
    return planned


def _report_failure(failed: str | None) -> None:
    if failed:
        print(f"recorded as failed: {failed}", file=sys.stderr)


def _describe(kind: str, name: str | None) -> None:
    from heldout.errors import unknown
    from heldout.planning import schema
    from heldout.project.listing import documentation, text

    plugins = schema.plugins(kind)
    if name is None:
        print(text(kind))
        return
    if name not in plugins:
        raise unknown(f"heldout {kind}s", kind, name, plugins)
    facts = plugins[name]
    print(documentation(kind, name), end="\n\n")
    for fact in ("classes", "provides", "reads", "default_model", "cost_class", "cost"):
        if facts.get(fact):
            print(f"{fact.replace('_', ' ')}: {_listed(facts[fact])}")
    for condition, more in facts.get("when", {}).items():
        print(f"with {condition}: {', '.join(f'{key} {_listed(value)}' for key, value in more.items())}")
    for key, rule in schema.structure(kind, name).items():
        print(f"  {key}  {rule['description']}")
    for key, rule in schema.parameters(kind, name).items():
        default = f"= {json.dumps(rule['default'])}" if "default" in rule else "is required"
        print(f"  {key} {default}  ({_range(rule)}) {rule.get('description', '')}")


def _listed(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _range(rule: dict[str, Any]) -> str:
    options = [option for option in rule.get("anyOf", [rule]) if option.get("type") != "null"]
    words = []
    for option in options:
        if "enum" in option:
            words.append(" or ".join(map(str, option["enum"])))
            continue
        words.append(option.get("type", "any"))
        signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
        words += [f"{sign} {option[bound]}" for bound, sign in signs.items() if bound in option]
    return " ".join(words)
