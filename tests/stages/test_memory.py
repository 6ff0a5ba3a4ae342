"""Memory decides how many images are scored at a time, and no score depends on it."""

import os
import re
import subprocess
import sys
import weakref
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from heldout.errors import HeldoutError
from heldout.methods._search import SearchParams
from heldout.numerics import scoring_steps
from heldout.stages.memory import Portions
from heldout.storage.score_files import read_scores

HALVED = "out of memory with {} images at a time; trying {}, same scores"


def no_room_on_a_gpu():
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def no_room_in_cublas():
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def no_room_on_the_cpu():
    torch.empty(1 << 50)  # PyTorch's own error, whatever its words are


def no_room_for_python():
    raise MemoryError


def with_room_for(count, monkeypatch, refuse):
    """Have `scoring_steps.score` find no room for more images than that; return the list of how many it was given."""
    original, given = scoring_steps.score, []

    def score(method, read, images, *rest):
        given.append(len(images))
        if len(images) > count:
            refuse()
        return original(method, read, images, *rest)

    monkeypatch.setattr(scoring_steps, "score", score)
    return given


@pytest.mark.parametrize("refuse", [no_room_on_a_gpu, no_room_in_cublas, no_room_on_the_cpu, no_room_for_python])
@pytest.mark.parametrize("name", ["adgan", "prior"])
def test_a_scoring_without_room_goes_on_with_fewer_images_to_the_same_scores(task, monkeypatch, capsys, name, refuse):
    task.train()
    _, expected = task.score(name)
    capsys.readouterr()
    given = with_room_for(3, monkeypatch, refuse)
    _, found = task.score(name)
    assert found.columns == expected.columns  # floats, to the last bit
    count = given[0]
    sizes = [count] + [count := count // 2 for _ in range(10) if count > 3]
    lines = [line for line in capsys.readouterr().err.splitlines() if "memory" in line]
    assert lines == [HALVED.format(*pair) for pair in pairwise(sizes)]
    assert max(given[len(sizes) - 1 :]) == sizes[-1]  # what had no room is not tried again


def test_another_error_is_no_want_of_memory(task, monkeypatch):
    def fail():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    task.train()
    given = with_room_for(0, monkeypatch, fail)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        task.score("anogan")
    assert len(given) == 1


@pytest.mark.parametrize(("name", "fewest"), [("adgan", "1 image"), ("mean_image", "8 images")])
def test_no_room_for_the_smallest_portion_is_one_line_that_names_the_block(task, monkeypatch, name, fewest):
    task.train()
    with_room_for(0, monkeypatch, no_room_on_a_gpu)
    with pytest.raises(HeldoutError, match=f"out of memory with {fewest} at a time; .*a lower `block`") as error:
        task.score(name)
    assert "\n" not in str(error.value)
    assert not Path(task.run.scorings[name].path).exists()


def test_what_a_failed_try_held_is_given_back_before_the_next(task, monkeypatch):
    original, tries = scoring_steps.score, []

    class Held:
        def __init__(self):
            self.itself = self  # a cycle, in which the frames of PyTorch's errors may lie

    def score(method, read, images, *rest):
        assert all(held() is None for held in tries)
        if len(images) > 1:
            held = Held()
            tries.append(weakref.ref(held))
            no_room_on_a_gpu()
        return original(method, read, images, *rest)

    task.train()
    monkeypatch.setattr(scoring_steps, "score", score)
    task.score("adgan")
    assert len(tries) == 3  # of 8, 4 and 2 images


@pytest.mark.parametrize("older_peak", [0, 900])
@pytest.mark.parametrize(("fixed", "per_image"), [(0, 1), (0, 40), (300, 1), (300, 40), (300, 400), (900, 1)])
@pytest.mark.parametrize("limit", [600, 980, 1000, 1020, 1500, 10_000])
@pytest.mark.parametrize("starts", [1, 16, 64, 100])
def test_portions_stay_below_a_limit_that_one_block_keeps(monkeypatch, starts, limit, fixed, per_image, older_peak):
    # A process that holds 400 MiB, and with n images besides them what is fixed and n times what each takes.
    peak, sizes, scored = max(400, older_peak), [], []
    monkeypatch.setattr("heldout.stages.memory.held_memory_mib", lambda device: (400, peak))

    def score(images):
        nonlocal peak
        sizes.append(images.stop - images.start)
        scored.extend(range(images.start, images.stop))
        peak = max(peak, 400 + fixed + per_image * sizes[-1])
        return {"score": torch.arange(images.start, images.stop)}

    portions = Portions(SearchParams(block=64, starts=starts), limit, torch.device("cpu"))
    parts = [portions.score(score, slice(first, first + 64))["score"] for first in range(0, 512, 64)]
    assert scored == torch.cat(parts).tolist() == list(range(512))
    one_block = max(1, 64 // starts)
    needed = 400 + fixed + per_image * one_block
    assert sizes[0] == one_block
    assert peak <= max(limit, needed, older_peak)
    if max(400 + fixed + 64 * per_image, older_peak) <= 0.5 * limit:
        assert sizes[-1] == 64
    if needed > limit:
        assert set(sizes) == {one_block}


REPORTING = """
import re, sys
from pathlib import Path
from heldout.cli import main
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("task", [(3, 64)], indirect=True)
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read from Linux's /proc")
def test_a_limit_on_ram_is_kept_within_a_fifth_and_used_to_the_same_scores(task):
    step = task.run.scorings["adgan"]
    params = step.spec.params | {"block": 32, "starts": 160, "steps": 1, "theta_lr": 0.0}
    spec = replace(step.spec, params=params)
    task.train()

    def scored(*limit):
        command = ["score", "--spec", spec.canonical, "--images", task.run.prepared.path, "--device", "cpu"]
        command += ["--split", task.run.split.path, "--checkpoint", task.checkpoint, "--scores", step.path, *limit]
        command = [sys.executable, "-c", REPORTING, *map(str, command)]
        result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        return int(result.stdout) / 2**10, result.stderr, read_scores(Path(step.path)).columns

    free_mib, _, expected = scored()
    least_mib, log, found = scored("--memory", 1)
    assert found == expected
    assert re.search(r"memory: 1 MiB, but \d+ were held with 1 images at a time, which fill one block", log)
    limit = round(least_mib + 0.4 * (free_mib - least_mib))
    assert free_mib > 1.25 * limit  # or the limit would mean nothing
    peak_mib, log, found = scored("--memory", limit)
    assert found == expected
    assert least_mib < peak_mib <= 1.2 * limit
    assert int(re.search(rf"memory: {limit} MiB, enough for (\d+) images at a time", log)[1]) > 1
