"""What a run did on each core: seconds that are counted by hand, and times that are not those of a run."""

import csv
import os
from datetime import datetime
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from heldout.errors import HeldoutError
from heldout.project import inventory
from heldout.project.timeline import AROUND, IDLE, OTHER, SCORING, TRAINING, Bar, bars, draw, last_run, shares, timeline
from tests.project.conftest import make, planned, retime

STARTED = datetime(2026, 5, 4, 12, 0).timestamp()
CORES = "Provided cores: 2\nRules claiming more threads will be scaled down.\n"


def snakemake(began: float, ended: float, text: str = CORES) -> None:
    """Leave the log of a Snakemake run; times are seconds after noon."""
    log = Path(
        ".snakemake/log", datetime.fromtimestamp(STARTED + began).isoformat().replace(":", "") + ".snakemake.log"
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    os.utime(log, (STARTED + ended,) * 2)


def benchmark(name: object, seconds: float, ended: float) -> str:
    """Leave a job's benchmark file, as Snakemake writes it when a job ends; return the job's name."""
    path = Path("results/benchmarks", f"{name}.tsv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tcpu_time\n{seconds}\t0:00:00\tNA\n")
    os.utime(path, (STARTED + ended,) * 2)
    return str(name)


def ran(step, seconds: float, ended: float, **timing: float) -> str:
    """Leave what a training or scoring leaves; return the job's name."""
    place, _ = inventory.PLACES[step.spec.step]
    own = make(step, **timing).relative_to(place).with_suffix("")
    return benchmark(Path(step.spec.step, own), seconds, ended)


@pytest.fixture
def wanted(folder):
    return {step.digest for step in planned().trained_and_scored}


def test_every_second_of_each_core_is_counted_once(folder, wanted):
    run = planned().runs[0]
    snakemake(0, 100)
    ran(run.trainings["wgan"], 40, 50, wall_s=30)
    ran(run.scorings["adgan"], 20, 75, ms_per_image=8000)  # one image
    benchmark("prepare/mnist5k-0123456789ab", 5, 9)
    # 2 cores for 100 s; 10 and 12 s of the two jobs are outside their loops, and 135 s no core had a job.
    assert shares(last_run(wanted)) == pytest.approx({TRAINING: 30, SCORING: 8, AROUND: 22, OTHER: 5, IDLE: 135})


def test_a_scoring_counts_its_fit_and_the_block_that_is_not_timed(folder, wanted):
    run = planned().runs[0]
    snakemake(0, 100)
    ran(run.scorings["mean_image"], 20, 75, ms_per_image=1000)
    retime(run.scorings["mean_image"], fit_s=4.5, images=0)
    assert shares(last_run(wanted))[SCORING] == pytest.approx(4.5 + 1)


def test_jobs_side_by_side_lie_on_two_cores_with_the_loop_at_the_end(folder, wanted):
    one, other = planned().runs
    snakemake(0, 100)
    first = ran(one.trainings["wgan"], 40, 50, wall_s=30)
    second = ran(other.trainings["wgan"], 20, 40, wall_s=20)
    third = ran(other.scorings["adgan"], 9, 60, ms_per_image=9000)
    expected = [
        Bar(1, AROUND, 10, 20, first),
        Bar(1, TRAINING, 20, 50, first),
        Bar(1, SCORING, 51, 60, third),
        Bar(2, TRAINING, 20, 40, second),
    ]
    found = bars(last_run(wanted))
    for bar, there in zip(expected, found, strict=True):
        assert (bar.core, bar.kind, bar.job) == (there.core, there.kind, there.job)
        assert (bar.begins, bar.ends) == pytest.approx((there.begins, there.ends), abs=1e-3)


def test_short_jobs_side_by_side_lie_on_two_cores(folder, wanted):
    snakemake(0, 100)
    for name, ended in (("one", 10.5), ("other", 10.4)):  # both within what a file system's clock may be off
        benchmark(f"split/{name}-0123456789ab", 0.5, ended)
    ran(planned().runs[0].trainings["wgan"], 40, 60, wall_s=40)
    found = bars(last_run(wanted))
    assert [(bar.core, bar.kind) for bar in found] == [(1, OTHER), (1, TRAINING), (2, OTHER)]


@pytest.mark.parametrize("threads", [2, 4])
def test_a_job_takes_a_core_per_thread_and_never_more_than_there_are(folder, threads):
    step = planned(threads=threads).runs[0].trainings["wgan"]
    snakemake(0, 100)
    ran(step, 40, 50, wall_s=30)
    run = last_run({step.digest})
    assert shares(run)[TRAINING] == pytest.approx(2 * 30)
    assert [bar.core for bar in bars(run) if bar.kind == TRAINING] == [1, 2]


def test_the_last_run_that_had_something_to_do_is_shown(folder, wanted):
    one, other = planned().runs
    snakemake(0, 100)
    ran(one.trainings["wgan"], 40, 50)
    snakemake(86_400, 86_500)
    later = ran(other.trainings["wgan"], 40, 86_450)
    snakemake(86_430, 86_470, "LockException")  # refused while the other was at work
    snakemake(90_000, 90_010)  # nothing to be done
    run = last_run(wanted)
    assert [job.name for job in run.jobs] == [later]
    assert (run.begins, run.ends) == pytest.approx((STARTED + 86_400, STARTED + 86_500))


def test_the_figure_its_table_and_the_text_say_the_same(folder):
    run = planned().runs[0]
    snakemake(0, 100)
    ran(run.trainings["wgan"], 40, 50, wall_s=30)
    text = timeline(inventory.experiment(Path("config.yaml")))
    assert "1 of 6 trainings and scorings in its last run here, 2026-05-04 12:00, 100 s on 2 cores" in text
    assert ["training", "30", "15.0%"] in [line.split() for line in text.splitlines()]
    assert "\n15% inside the loops" in text
    with open("results/quickstart/tables/timeline.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["core"], row["kind"], row["begins"], row["ends"]) for row in rows] == [
        ("1", AROUND, "10.00", "20.00"),
        ("1", TRAINING, "20.00", "50.00"),
    ]
    assert "training 15.0%" in Path("results/quickstart/figures/timeline.svg").read_text()
    assert Path("results/quickstart/figures/timeline.png").stat().st_size > 1000


def test_bars_are_drawn_where_they_belong_in_minutes_or_hours():
    for scale, unit in ((60, "minutes"), (3600, "hours")):
        ax = Figure().subplots()
        seconds = {TRAINING: 3.0 * scale, SCORING: 0.0, AROUND: scale, OTHER: 0.0, IDLE: 4.0 * scale}
        draw(ax, [Bar(2, AROUND, 0, scale, "a"), Bar(2, TRAINING, scale, 4 * scale, "a")], seconds, 2)
        assert ax.get_xlabel().startswith(unit) and ax.get_xlim() == (0, 4)
        boxes = [collection.get_paths()[0].get_extents().bounds for collection in ax.collections]
        assert boxes == [pytest.approx((0, 1.6, 1, 0.8)), pytest.approx((1, 1.6, 3, 0.8))]


def test_pulled_results_have_no_times(folder):
    make(planned().runs[0].trainings["wgan"])
    with pytest.raises(HeldoutError, match="no training or scoring of quickstart was run here"):
        timeline(inventory.experiment(Path("config.yaml")))


def test_files_that_were_copied_without_their_times_are_no_run(folder):
    one, other = planned().runs
    snakemake(0, 100)
    for step in (one.trainings["wgan"], other.trainings["wgan"], one.scorings["adgan"]):
        ran(step, 20, 99)
    with pytest.raises(HeldoutError, match="more jobs at once than cores"):
        timeline(inventory.experiment(Path("config.yaml")))


def test_a_clusters_run_has_no_cores_to_count(folder, wanted):
    snakemake(0, 100, "Provided remote nodes: 10\n")
    ran(planned().runs[0].trainings["wgan"], 20, 50)
    with pytest.raises(HeldoutError, match="on a cluster"):
        last_run(wanted)


def test_an_unfinished_run_is_not_drawn(folder):
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.input.lock").touch()
    with pytest.raises(HeldoutError, match="a Snakemake run holds this folder"):
        timeline(inventory.experiment(Path("config.yaml")))
