# Reads and checks the experiment, and plans every file. Whatever fails ends in one line, without a traceback.
import atexit
import gc
import shlex
import sys
from pathlib import Path

# The package beside the Snakefile plans, whichever is installed; where there is none, the installed one does.
BESIDE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent.resolve()
IS_BESIDE = (BESIDE / "heldout" / "__init__.py").is_file()
if IS_BESIDE:
    sys.path.insert(0, str(BESIDE))

import heldout

IMPORTED = Path(heldout.__file__).resolve().parents[1]
if IS_BESIDE and IMPORTED != BESIDE:
    sys.exit(
        f"heldout: error: this Snakefile belongs to the package in {BESIDE}, but this process has imported the one in "
        f"{IMPORTED}; run snakemake in a process of its own"
    )
from heldout.errors import one_line
from heldout.planning import inputs_json, kept_experiment, origin
from heldout.planning.experiment_file import QUICKSTART, as_written, of_run
from heldout.planning.grouping import work
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.resources import of_evaluation, of_figures, of_files, require_possible
from heldout.planning.wiring import Wiring
from heldout.project import slurm_queue
from heldout.project.snakemake_runs import Ending, already_running, explain
from heldout.storage.files import VERSIONED, bring_to_now, make_folder, sweep_all

origin.hand_on()


def is_forced():
    """Whether this run makes existing files again. Snakemake does not document `dag_settings`, so it may be missing."""
    settings = getattr(workflow, "dag_settings", None)
    forces = ("forceall", "forcerun", "forcetargets", "force_incomplete")
    return any(getattr(settings, force, False) for force in forces)


def shared_job(wildcards):
    """Return the job that a training or scoring shares with others on a cluster; None on one machine."""
    if not workflow.group_settings.group_components:  # groups make planning quadratic
        return None
    job = WIRING.job(wildcards)
    workflow.parent_groupids[job] = job.partition("-")[0]  # `group-components` are by kind; undocumented, too
    return job


def report_minutes(step, needs):
    """Return the minutes that a step of the report adds to the run time of its job."""
    return needs.runtime if step == FIRST else work(needs)


with one_line():
    if workflow.modifier.skip_configfile:  # a module of another workflow, which hands its experiment over
        EXPERIMENT = as_written(config, workflow.configfiles, workflow.config_settings.config_args)
        WHERE, FILES = "config", []
    else:
        EXPERIMENT, WHERE = of_run(workflow.configfiles, workflow.config_settings.config_args)
        FILES = [*map(str, workflow.configfiles)] or [QUICKSTART]
    PLAN = Plan(resolve(EXPERIMENT, WHERE), without_folders=True)
    require_possible(PLAN)
    kept_experiment.refuse_name_of_another(PLAN, FILES, WHERE)
    ENDING = Ending(PLAN)
    WIRING = Wiring(PLAN, is_forced, lambda: workflow.group_settings.group_components)
    WIRING.check_layouts()
    REPORT = inputs_json.write(PLAN)  # before any job, so that an unwritable folder gives an error of one line
    # The steps of the report share a job on a cluster, whose start the first of them counts.
    FIRST = next(
        (step for step, path in REPORT.records.items() if step != "inputs" and not Path(path).is_file()), "evaluate"
    )
    for folder in VERSIONED:
        make_folder(Path(folder))  # DVC requires all outputs of its stage, even empty ones


if "--nolock" not in sys.argv and (other_run := already_running()):
    print(f"heldout: {other_run}", file=sys.stderr)  # before Snakemake fails to lock the folder


# Snakemake creates millions of objects while it plans thousands of jobs, and few become garbage. With Python's default of
# a collection every 700 new objects, garbage collection takes an eighth of the time, and as much again at the end.
gc.set_threshold(50_000)
atexit.register(gc.freeze)


wildcard_constraints:
    dataset=r"[a-z0-9_]+",
    protocol=r"[a-z0-9_]+",
    held_out=r"[a-z0-9_]+",
    model=r"[a-z0-9_]+",
    method=r"[a-z0-9_]+",
    seed=r"\d+",
    digest=r"[0-9a-f]{12}",


onstart:  # a dry run needs no images
    with one_line():
        WIRING.require_folders()
        kept_experiment.keep(PLAN, FILES)
        sweep_all()
        slurm_queue.watch()
    bring_to_now([*VERSIONED, PLAN.folder])


onsuccess:
    for line in ENDING.lines():
        print(f"heldout: {line}", file=sys.stderr)


onerror:
    print(explain(log, shlex.join(["snakemake", *sys.argv[1:]])), file=sys.stderr)
