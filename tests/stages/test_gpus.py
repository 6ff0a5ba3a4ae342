"""Jobs share GPUs: spread evenly, never more on one than its share, and a dead job's place is free at once.

The GPUs are pretended, the processes are real.
"""

import os
import select
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from heldout.errors import HeldoutError
from heldout.stages import gpus
from heldout.stages.device import hold_device

JOB = """
import sys
from pathlib import Path
from heldout.stages import gpus
gpus.SECONDS_BETWEEN_LOOKS = 0.05
folder, share, *names = sys.argv[1:]
print(names[gpus.take(names, int(share), Path(folder))], flush=True)
sys.stdin.read()  # the work
"""
WAITS = "waiting for a GPU: each of 2 GPUs has 2 jobs already (jobs_per_gpu)\n"
LONG_ENOUGH_S = 30  # for a process to start, and to look for a place a few times


class Jobs:
    """Processes that each take a place on one of the GPUs they see, and work until they are told to end."""

    def __init__(self, folder):
        self._folder = folder
        self.processes = []
        self.gpu_of = {}  # of those at work

    def start(self, *names, share=2):
        command = [sys.executable, "-c", JOB, str(self._folder), str(share), *names]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.processes.append(subprocess.Popen(command, text=True, **pipes))
        return self.processes[-1]

    def next_at_work(self):
        """Wait until one more has a place; return the GPU that it says is its own."""
        idle = {process.stdout: process for process in self.processes if process not in self.gpu_of}
        ready, _, _ = select.select(list(idle), [], [], LONG_ENOUGH_S)
        gpu = self.gpu_of[idle[ready[0]]] = ready[0].readline().strip()
        return gpu

    def line_of(self, process):
        """Wait for the next line of its log."""
        ready, _, _ = select.select([process.stderr], [], [], LONG_ENOUGH_S)
        return ready[0].readline()

    def end(self, process, by):
        by(process)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
        self.processes.remove(process)
        return self.gpu_of.pop(process, None)

    @property
    def load(self):
        return Counter(self.gpu_of.values())


@pytest.fixture
def jobs(tmp_path):
    jobs = Jobs(tmp_path / "locks")
    yield jobs
    for process in list(jobs.processes):
        jobs.end(process, subprocess.Popen.kill)


@pytest.mark.parametrize("by", [lambda job: job.stdin.close(), lambda job: job.kill()], ids=["end", "kill -9"])
def test_of_six_jobs_two_work_on_each_gpu_and_two_wait_for_a_place_that_one_leaves(jobs, by):
    for _ in range(6):
        jobs.start("one", "two")
    for _ in range(4):
        jobs.next_at_work()
    assert jobs.load == {"one": 2, "two": 2}
    for waits in [process for process in jobs.processes if process not in jobs.gpu_of]:
        assert jobs.line_of(waits) == WAITS
        assert not select.select([waits.stdout], [], [], 0.2)[0]
    for gpu in ("two", "one"):
        leaves = next(process for process, its in jobs.gpu_of.items() if its == gpu)
        assert jobs.end(leaves, by) == gpu
        assert jobs.next_at_work() == gpu
        assert jobs.load == {"one": 2, "two": 2}


def test_a_job_goes_where_the_fewest_are_whatever_its_run_calls_the_gpu(jobs):
    jobs.start("one")
    assert jobs.next_at_work() == "one"
    jobs.start("one")
    assert jobs.next_at_work() == "one"
    for expected in ("two", "two", "two", "one"):  # another run, which sees more of the GPUs, and allows four on each
        jobs.start("two", "one", share=4)
        assert jobs.next_at_work() == expected
    waits = jobs.start("one", share=3)  # three are there, one of them on a place that its own run does not have
    assert jobs.line_of(waits) == "waiting for a GPU: the GPU has 3 jobs already (jobs_per_gpu)\n"


def test_a_line_says_that_a_job_waits_and_it_is_said_once(jobs):
    jobs.start("one", share=1)
    jobs.next_at_work()
    waits = jobs.start("one", share=1)
    assert jobs.line_of(waits).startswith("waiting for a GPU")
    assert not select.select([waits.stderr], [], [], 0.5)[0]  # ten looks


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "locks"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(HeldoutError, match=f"{folder}, .*it is not a private folder of yours; .*set TMPDIR") as error:
        gpus.take(["one"], 1, folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder.mkdir(), folder.chmod(0o777)),  # others could take the places
        lambda folder: folder.symlink_to(folder.parent),
        lambda folder: folder.touch(),
        lambda folder: (folder.mkdir(mode=0o700), (folder / "one.0").mkdir()),
    ],
    ids=["open to all", "a link", "a file", "a place that is no file"],
)
def test_a_folder_that_will_not_do_is_one_line(tmp_path, spoil):
    folder = tmp_path / "locks"
    spoil(folder)
    with pytest.raises(HeldoutError, match=f"{folder}, where jobs lock their GPUs, cannot be used: ") as error:
        gpus.take(["one"], 1, folder)
    assert "\n" not in str(error.value)


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """PyTorch sees two GPUs; the places lie in a folder of the test's own."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"uuid-{number}"))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(gpus, "_held", {})
    places = []

    def hold(name: str, share: int) -> torch.device:
        """Hold a device as another process would, beside those that hold one already."""
        device = hold_device(name, share)
        places.extend(gpus._held.values())
        gpus._held.clear()
        return device

    yield SimpleNamespace(chosen=chosen, hold=hold)
    for place in (*places, *gpus._held.values()):
        os.close(place)


def test_jobs_of_auto_and_cuda_and_of_a_number_share_the_same_gpus(pretended):
    devices = [str(pretended.hold(name, 3)) for name in ("auto", "cuda:0", "cuda", "cuda:1", "auto", "auto")]
    assert devices == ["cuda:0", "cuda:0", "cuda:1", "cuda:1", "cuda:0", "cuda:1"]
    assert [str(device) for device in pretended.chosen] == devices
    assert hold_device("cpu", 1) == torch.device("cpu") and len(pretended.chosen) == 6


def test_a_process_that_asks_again_keeps_its_place(pretended):
    pretended.hold("auto", 1)
    assert [str(hold_device("auto", 1)) for _ in range(3)] == ["cuda:1"] * 3


def test_a_gpu_that_is_insisted_on_is_waited_for(pretended, monkeypatch):
    def give_up(seconds):
        raise TimeoutError

    monkeypatch.setattr("time.sleep", give_up)
    pretended.hold("cuda:1", 1)
    with pytest.raises(TimeoutError):
        pretended.hold("cuda:1", 1)
    assert str(pretended.hold("auto", 1)) == "cuda:0"


def test_what_trains_and_scores_holds_a_place_with_the_share_it_was_given(task, monkeypatch):
    asked = []

    def hold(name, jobs_per_gpu):
        asked.append((name, jobs_per_gpu))
        return torch.device("cpu")

    monkeypatch.setattr("heldout.stages.train.hold_device", hold)
    monkeypatch.setattr("heldout.stages.score.hold_device", hold)
    task.train(device="cuda", jobs_per_gpu=7)
    task.score("discriminator", device="cuda:1", jobs_per_gpu=5)
    assert asked == [("cuda", 7), ("cuda:1", 5)]


def test_without_a_gpu_auto_is_the_cpu_and_takes_no_place(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert hold_device("auto", 1) == torch.device("cpu")
    assert not list(tmp_path.iterdir())
