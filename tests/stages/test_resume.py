"""Cut off at any update or block of images and taken up again, a training and a scoring end with the same bits."""

import copy
import os
import signal
from pathlib import Path

import pytest
import torch

from heldout import registry
from heldout.methods import Backend
from heldout.networks.shape import ImageShape
from heldout.numerics import scoring_steps, training_steps
from heldout.stages import resume
from heldout.stages.resume import FOLDER, Saves, stoppable
from tests.conftest import fresh, noise, train_spec

IMAGE = ImageShape(1, 16)
SPEC = train_spec("dcgan")
MADE_WITH = {"device": "toy"}


class Killed(BaseException):
    """What a test raises where a process would die."""


def training_of(name, **params):
    _, spec = fresh(name, IMAGE, steps=4, **params)
    classes = torch.arange(20) % 3 if spec.normal_classes else None
    return training_steps.Training(lambda: fresh(name, IMAGE, steps=4, **params)[0], noise(20, 1, 16), spec, classes)


def saved_and_loaded(state):
    saves = Saves(SPEC, MADE_WITH, every_s=1)
    saves.save(state)
    return saves.load()


@pytest.mark.parametrize("params", [{}, {"trim": 0.25, "refit": 0.2}], ids=["plain", "trimmed and refitted"])
@pytest.mark.parametrize("name", registry.names("model"))
def test_every_model_goes_on_from_any_update_as_if_nothing_had_happened(name, params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = training_of(name, **params)
    states, updates = [], []
    for update in whole:
        updates.append(update)
        states.append(copy.deepcopy(whole.state()))
    assert len(updates) == len(whole)
    expected = whole.model.state_dict()
    for done in {1, len(whole) // 2, len(whole) // 2 + 1, len(whole) - 1, len(whole)}:
        again = training_of(name, **params)
        again.restore(saved_and_loaded(states[done - 1]))
        assert list(again) == updates[done:]  # the losses, to the last bit
        found = again.model.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), done


def test_a_tensor_under_two_names_is_saved_under_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensor = torch.arange(4.0)
    found = saved_and_loaded({"score": tensor, "part": tensor[1:], "again": tensor})
    assert torch.equal(found["score"], tensor) and torch.equal(found["part"], tensor[1:])


def test_a_state_survives_the_file_with_numbers_as_keys_and_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = {"a": {0: torch.arange(3), "b": [1.5, None, True, "word", {}]}, "empty": torch.zeros(0), "n": float("inf")}
    found = saved_and_loaded(state)
    assert torch.equal(found["a"].pop(0), state["a"].pop(0)) and found.pop("empty").shape == (0,)
    state.pop("empty")
    assert found == state


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "it is damaged"),
        (lambda path: path.write_bytes(b""), "it is damaged"),
        (lambda path: Saves(SPEC, {"device": "another"}, 1).save({}), "saved on another device"),
    ],
)
def test_a_save_that_will_not_do_is_a_line_and_a_fresh_start(tmp_path, monkeypatch, capsys, spoil, reason):
    monkeypatch.chdir(tmp_path)
    saves = Saves(SPEC, MADE_WITH, every_s=1)
    assert saves.load() is None and not capsys.readouterr().err  # there is none, which needs no word
    saves.save({"a": torch.ones(100)})
    spoil(saves.path)
    assert saves.load() is None
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line and line.endswith("restarting") and str(saves.path) in line
    (tmp_path / FOLDER / ".heldout-abc").mkdir()
    (tmp_path / FOLDER / ".heldout-abc" / "lock").touch()  # of a process killed while it saved
    saves.drop()
    assert [path for path in (tmp_path / FOLDER.parent).rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_after_some_seconds_ends_at_once(asked, monkeypatch):
    with pytest.raises(KeyboardInterrupt) if asked == signal.SIGINT else pytest.raises(Killed):
        before = signal.getsignal(signal.SIGTERM)

        def die(*_):
            raise Killed

        signal.signal(signal.SIGTERM, die)
        try:
            with stoppable() as stop:
                os.kill(os.getpid(), asked)
                os.kill(os.getpid(), asked)
                assert stop.signal == asked
                monkeypatch.setattr(resume, "PATIENCE_S", 0)
                os.kill(os.getpid(), asked)
                raise AssertionError("still here")
        finally:
            signal.signal(signal.SIGTERM, before)


def killed_after(monkeypatch, count, target, name, how):
    """Let `how` happen once `target.name` has been called `count` times."""
    original, calls = getattr(target, name), 0

    def counted(*args, **kwargs):
        nonlocal calls
        calls += 1
        result = original(*args, **kwargs)
        if calls == count:
            how()
        return result

    monkeypatch.setattr(target, name, counted)


def die():
    raise Killed


def history_of(task):
    return task.checkpoint.with_suffix(".history.csv").read_text()


@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_killed_training_goes_on_from_its_last_save_to_the_same_bytes(task, monkeypatch, capsys, count):
    task.train()
    expected, history = task.checkpoint.read_bytes(), history_of(task)
    task.checkpoint.unlink()
    with monkeypatch.context() as patch:
        killed_after(patch, count, training_steps.Training, "__next__", die)
        with pytest.raises(Killed):
            task.train(save_every_s=0)
    assert not task.checkpoint.exists()
    saves = list(FOLDER.glob(f"dcgan-{task.training.digest}.pt"))
    assert len(saves) == (count > 1)  # the first is saved after the first update
    task.train()
    assert (f"continuing from step {count - 1} of 6" in capsys.readouterr().err) == (count > 1)
    assert task.checkpoint.read_bytes() == expected and history_of(task) == history
    assert not list(FOLDER.glob("*"))


@pytest.mark.parametrize(("asked", "ends"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_training_asked_to_stop_saves_at_once(task, monkeypatch, capsys, asked, ends):
    task.train()
    expected = task.checkpoint.read_bytes()
    task.checkpoint.unlink()
    with monkeypatch.context() as patch:
        killed_after(patch, 4, training_steps.Training, "__next__", lambda: os.kill(os.getpid(), asked))
        with pytest.raises(ends) as ended:
            task.train()
    if ends is SystemExit:
        assert ended.value.code == 128 + signal.SIGTERM
    assert "stopped: step 4 of 6 is done and saved" in capsys.readouterr().err
    task.train()
    assert "continuing from step 4 of 6" in capsys.readouterr().err
    assert task.checkpoint.read_bytes() == expected


@pytest.mark.parametrize("name", ["adgan", "mean_image"])
def test_a_scoring_goes_on_after_the_blocks_that_it_has_scored(task, monkeypatch, capsys, name):
    task.train()
    _, expected = task.score(name)
    path = task.run.scorings[name].path
    block = task.run.scorings[name].spec.params["block"]
    blocks = -(-len(expected.columns["index"]) // block)
    assert blocks > 1
    for how, ends in ((die, Killed), (lambda: os.kill(os.getpid(), signal.SIGTERM), SystemExit)):
        Path(path).unlink()
        with monkeypatch.context() as patch:
            killed_after(patch, 2, scoring_steps, "score", how)
            with pytest.raises(ends):
                task.score(name, save_every_s=0)
        done = 1 if how is die else 2
        _, found = task.score(name)
        assert f"continuing after {done} of {blocks} blocks of images" in capsys.readouterr().err
        assert found.columns == expected.columns
        assert not list(FOLDER.glob("*"))


def test_a_scoring_whose_backend_has_changed_starts_over(task, monkeypatch, capsys):
    task.train()
    _, expected = task.score("adgan")
    Path(task.run.scorings["adgan"].path).unlink()
    with monkeypatch.context() as patch:
        other = {"joint search": Backend("a kernel that is gone")}
        patch.setattr("heldout.methods.adgan.ADGAN.backends", lambda method, prepared: other)
        killed_after(patch, 2, scoring_steps, "score", die)
        with pytest.raises(Killed):
            task.score("adgan", save_every_s=0)
    _, found = task.score("adgan")
    assert "another backend" in capsys.readouterr().err
    assert found.columns == expected.columns and not list(FOLDER.glob("*"))


def test_a_process_that_ignores_a_signal_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert not stop.signal and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
