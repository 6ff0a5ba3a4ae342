"""`heldout timeline`: the activity of each core in an experiment's last Snakemake run, and the shares of core time.

Core time is wall time x cores, from the start of Snakemake to the end of its log. It consists of the loops of training
and scoring, the rest of those jobs (start-up, checks, histories, files), other steps, and idle cores, including
planning. The figure shows the last run that trained or scored for the experiment; a resumed run is a new run.

Snakemake writes a local benchmark file at the end of each job; DVC and git do not track it. Its modification time is
the job's end, its column `s` the job's duration. The seconds in loops come from the timing files: `wall_s` of a
training; `fit_s` plus `ms_per_image` times all images of a scoring, so that the first, untimed block counts like the
others. The loop is drawn at the end of a bar, since the rest of the job takes a fraction of a second. A failed job has
no benchmark file and appears as idle time.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from heldout.errors import HeldoutError, NotThere
from heldout.figures import _drawing, _style
from heldout.project import snakemake_runs
from heldout.project.inventory import DIGEST_IN_NAME, PLACES, Experiment
from heldout.project.text import aligned
from heldout.storage.files import whole_file
from heldout.storage.score_files import read_scores
from heldout.storage.timings import ScoreTiming, TrainTiming

BENCHMARKS = Path("results/benchmarks")
SNAKEMAKE_LOGS = Path(".snakemake/log")
LOG_ENDING = ".snakemake.log"
LONGEST_S = 1e8  # of a job: three years
CLOCK_S = 1.0  # resolution of a file system's times
TRAINING, SCORING, AROUND, OTHER, IDLE = "training", "scoring", "start-up and end", "other steps", "no job"
# The activities of a core in the order of the legend; the colours differ in grey, too.
COLORS = {TRAINING: "#1b4f72", SCORING: "#e08214", AROUND: "#d0d8dd", OTHER: "#7b5ea7", IDLE: "#ffffff"}
NARROW = {"columnspacing": 1.2, "handlelength": 1.2, "handletextpad": 0.5}
_LOOPS = {"train": TRAINING, "score": SCORING}
_CORES = re.compile(r"^Provided cores: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """A job that ran.

    Attributes:
        name: its benchmark file's path below results/benchmarks, without the ending.
        kind: TRAINING, SCORING or OTHER.
        ends: seconds since the epoch.
        seconds: from its start to its end.
        loop_s: the part of `seconds` inside the loop of training or scoring; all of them for other steps.
        threads: cores that it used.
    """

    name: str
    kind: str
    ends: float
    seconds: float
    loop_s: float
    threads: int

    @property
    def begins(self) -> float:
        return self.ends - self.seconds


@dataclass(frozen=True)
class SnakemakeRun:
    """A run of Snakemake.

    Attributes:
        begins, ends: seconds since the epoch.
        cores: number of cores that it was given; None on a cluster.
        jobs: the finished ones.
    """

    begins: float
    ends: float
    cores: int | None
    jobs: list[Job]


@dataclass(frozen=True)
class Bar:
    """The activity of one core between two times, in seconds since the run began; a job on two cores has two bars."""

    core: int
    kind: str
    begins: float
    ends: float
    job: str


def timeline(experiment: Experiment) -> str:
    """Write figures/timeline.svg and .png and tables/timeline.csv of an experiment; return the shares as text.

    Raises:
        HeldoutError: Snakemake is running; the experiment did not run here or ran on a cluster; or the files were
            copied without their modification times.
    """
    snakemake_runs.refuse_while_one_runs()
    plan = experiment.plan
    name, wanted = plan.settings.experiment, {step.digest for step in plan.trained_and_scored}
    run = last_run(wanted)
    if run is None:
        raise HeldoutError(
            f"no training or scoring of {name} was run here by Snakemake, or with `--quiet all`, which writes no log"
        )
    found = bars(run)
    seconds = shares(run)
    whole = sum(seconds.values())
    inside = f"{(seconds[TRAINING] + seconds[SCORING]) / whole:.0%}"
    began = datetime.fromtimestamp(run.begins).strftime("%Y-%m-%d %H:%M")
    folder = Path("results", name)
    with _style.settings():
        figure = Figure(figsize=(8, 1.5 + 0.35 * min(run.cores, 32)), layout="constrained")
        ax = figure.subplots()
        draw(ax, found, seconds, run.cores)
        title = f"{name}, {began}: {inside} of the cores' time inside loops of training and scoring"
        ax.set_title(title, loc="left", fontsize=9)
        written = _drawing.save(figure, folder / "figures", "timeline")
    written.append(folder / "tables" / "timeline.csv")
    with whole_file(written[-1]) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Bar.__annotations__)
        writer.writerows((bar.core, bar.kind, f"{bar.begins:.2f}", f"{bar.ends:.2f}", bar.job) for bar in found)
    ran = len({_digest(job.name) for job in run.jobs} & wanted)
    table = [["", "core seconds", "share"]]
    table += [[kind, f"{value:.0f}", f"{value / whole:.1%}"] for kind, value in seconds.items()]
    return "\n".join(
        [
            f"{name} ({experiment.path}): {ran} of {len(wanted)} trainings and scorings in its last run here, "
            f"{began}, {run.ends - run.begins:.0f} s on {run.cores} cores",
            aligned(table),
            f"{inside} inside the loops of training and scoring",
            f"wrote {', '.join(map(str, written))}",
        ]
    )


def last_run(wanted: set[str]) -> SnakemakeRun | None:
    """Return the last run in this folder that made a file with a digest in `wanted`; None if there is none.

    Raises:
        HeldoutError: it ran on a cluster.
    """
    runs = [_run(log) for log in sorted(SNAKEMAKE_LOGS.glob(f"*{LOG_ENDING}"))]  # a name is the time it began
    for job in _jobs():
        # The first matching run: a second Snakemake, which a lock stopped, also leaves a log.
        run = next((run for run in runs if run.begins <= job.ends <= run.ends), None)
        if run:
            run.jobs.append(job)
    ours = [run for run in runs if any(_digest(job.name) in wanted for job in run.jobs)]
    if ours and not ours[-1].cores:
        raise HeldoutError("the last run was on a cluster; a timeline shows the cores of a run on this machine")
    return ours[-1] if ours else None


def bars(run: SnakemakeRun) -> list[Bar]:
    """Return the bars by core and time; jobs are assigned to the lowest free cores.

    Raises:
        HeldoutError: more jobs ran at once than there are cores, so the times are not those of one run.
    """
    free_at = [run.begins] * run.cores
    found = []
    for job in sorted(run.jobs, key=lambda job: job.begins):
        threads = min(job.threads, run.cores)  # Snakemake scales down jobs that request more
        # Sort by the time for which a core is still busy (up to CLOCK_S may be the clock's error), then by number.
        busy = sorted((max(time - job.begins, 0.0), core) for core, time in enumerate(free_at))
        free = [core for still, core in busy if still <= CLOCK_S][:threads]
        if len(free) < threads:
            raise HeldoutError(
                f"the times in {BENCHMARKS} show more jobs at once than cores, so they are not from one run; were the "
                "files copied without their modification times? Run the experiment again for a timeline"
            )
        for core in free:
            begins, ends = max(job.begins, free_at[core]), job.ends
            loop = max(ends - job.loop_s, begins)
            for kind, first, last in ((AROUND, begins, loop), (job.kind, loop, ends)):
                if first < last:
                    found.append(Bar(core + 1, kind, first - run.begins, last - run.begins, job.name))
            free_at[core] = ends
    return sorted(found, key=lambda bar: (bar.core, bar.begins))


def shares(run: SnakemakeRun) -> dict[str, float]:
    """Return the core seconds of each kind; together they are the run's wall time x cores."""
    seconds = dict.fromkeys(COLORS, 0.0)
    for job in run.jobs:
        threads = min(job.threads, run.cores)
        seconds[job.kind] += threads * job.loop_s
        seconds[AROUND] += threads * (job.seconds - job.loop_s)
    seconds[IDLE] = max((run.ends - run.begins) * run.cores - sum(seconds.values()), 0.0)
    return seconds


def draw(ax: Axes, found: Iterable[Bar], seconds: dict[str, float], cores: int) -> None:
    """Draw the bars, a lane per core, and the shares as the legend. Reads no file.

    Args:
        ax: where to draw.
        found: the activity of each core.
        seconds: core seconds by kind.
        cores: number of cores.
    """
    whole = sum(seconds.values())
    wall = whole / cores
    unit, name = (3600, "hours") if wall > 3 * 3600 else (60, "minutes")
    spans: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for bar in found:
        spans.setdefault((bar.core, bar.kind), []).append((bar.begins / unit, (bar.ends - bar.begins) / unit))
    for (core, kind), lengths in spans.items():
        ax.broken_barh(lengths, (core - 0.4, 0.8), facecolors=COLORS[kind], lw=0)
    ax.set(
        xlabel=f"{name} since Snakemake started",
        ylabel="core",
        xlim=(0, wall / unit),
        ylim=(cores + 0.5, 0.5),  # the first core on top
    )
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    entries = [
        Patch(facecolor=color, edgecolor="0.5", lw=0.5, label=f"{kind} {seconds[kind] / whole:.1%}")
        for kind, color in COLORS.items()
    ]
    # Inside the axes, the legend would narrow the lanes.
    ax.figure.legend(handles=entries, loc="outside lower left", ncols=len(entries), frameon=False, **NARROW)


def _run(log: Path) -> SnakemakeRun:
    begins = datetime.fromisoformat(log.name.removesuffix(LOG_ENDING)).timestamp()
    cores = _CORES.search(log.read_text(encoding="utf-8", errors="replace"))
    return SnakemakeRun(begins, log.stat().st_mtime, int(cores[1]) if cores else None, [])


def _jobs() -> Iterator[Job]:
    """Yield the jobs that have a benchmark file."""
    for path in sorted(BENCHMARKS.rglob("*.tsv")):
        name = path.relative_to(BENCHMARKS).with_suffix("")
        try:
            with open(path, encoding="utf-8", newline="") as file:
                seconds = float(next(csv.DictReader(file, delimiter="\t"))["s"])
            if not 0 <= seconds < LONGEST_S:
                raise ValueError(f"{seconds} seconds")
        except (ValueError, LookupError, TypeError, StopIteration, csv.Error) as error:
            raise HeldoutError(
                f"{path} is damaged ({error or 'no row'}); delete it: its job then counts as idle"
            ) from error
        step = name.parts[0]
        if step in _LOOPS:
            loop_s, threads = _loop(step, name)
            yield Job(str(name), _LOOPS[step], path.stat().st_mtime, seconds, min(loop_s, seconds), threads)
        else:
            yield Job(str(name), OTHER, path.stat().st_mtime, seconds, seconds, 1)


def _loop(step: str, name: Path) -> tuple[float, int]:
    """Return the seconds in a job's loop, and its threads; 0 seconds if its files are missing."""
    folder, ending = PLACES[step]
    own = Path(folder, *name.parts[1:]).with_suffix(ending)
    try:
        if step == "train":
            training = TrainTiming.beside(own)
            return training.wall_s, training.threads
        scoring, images = ScoreTiming.beside(own), len(read_scores(own).columns["index"])
        return (scoring.fit_s or 0) + images * (scoring.ms_per_image or 0) / 1000, scoring.threads
    except NotThere:
        return 0.0, 1


def _digest(name: str) -> str | None:
    found = DIGEST_IN_NAME.search(f"{name}.")
    return found and found[1]
