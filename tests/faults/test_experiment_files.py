"""Experiment files that are no experiment: damaged, too deep, too large, in another encoding. Each ends in one line."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from heldout.errors import LONGEST, HeldoutError
from heldout.planning import experiment_file
from heldout.planning.experiment_file import of_run
from heldout.planning.resolve import resolve
from tests.faults.experiments import plan, refused

GOOD = """\
experiment: trial
datasets: {mnist5k: }
held_out: [1]
models:
  wgan: {steps: 3}
methods:
  mean_image:
  adgan: {steps: 1}
"""
BOMB = "bomb:\n  - &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  - &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is not an experiment file: it needs keys and values"),
        ("# nothing yet\n", "is not an experiment file"),
        ("---\n", "is not an experiment file"),
        ("- seeds\n", "is not an experiment file"),
        ("word\n", "is not an experiment file"),
        ("42\n", "is not an experiment file"),
        (GOOD.encode("utf-16"), "line 1: it is not in UTF-8"),
        (GOOD.encode() + "# Größe\n".encode("latin-1"), "line 9: it is not in UTF-8"),
        (b"\x00\x01\x02", "is not YAML"),
        (GOOD + "# a\x07b\n", "is not YAML"),
        (GOOD + 'mirror: "a\\0b"\n', "mirror: 'a\\x00b' contains a control character"),
        (GOOD + 'mirror: "a\\nb"\n', "mirror: 'a\\nb' contains a control character"),
        (GOOD + 'mirror: "\\ud800"\n', "control character"),
        (GOOD + "mirror: " + "[" * 5000 + "]" * 5000, "more than 20 levels"),
        (GOOD + "mirror: " + "{a: " * 5000 + "1" + "}" * 5000, "more than 20 levels"),
        (GOOD + "mirror:\n" + "".join(" " * level + "-\n" for level in range(1, 1000)), "more than 20 levels"),
        (GOOD + BOMB, "more than 10000 values, with those that aliases stand for"),
        (GOOD + "mirror: &a [*a]\n", "*a refers to no complete anchor before it"),
        (GOOD + "mirror: &a {x: *a}\n", "*a refers to no complete anchor before it"),
        (GOOD + "mirror: *nobody\n", "*nobody refers to no complete anchor before it"),
        (GOOD + "seeds: [0]\nseeds: [1]\n", "line 10: the key 'seeds' repeats that of line 9"),
        (GOOD + '"held_out": [2]\n', "line 9: the key 'held_out' repeats that of line 3"),
        (GOOD + "  adgan: {steps: 2}\n", "line 9: the key 'adgan' repeats that of line 8"),
        (GOOD.replace("steps: 3", "steps: 3, steps: 4"), "line 5: the key 'steps' repeats that of line 5"),
        (GOOD + "1: 2\n", 'the key 1 without quotes is not a name in YAML; write "1"'),
        (GOOD + "yes: 2\n", 'the key yes without quotes is not a name in YAML; write "yes"'),
        (GOOD + "null: 2\n", 'the key null without quotes is not a name in YAML; write "null"'),
        (GOOD + "? [a, b]\n: 2\n", "a key must be a word"),
        (GOOD + "? {a: b}\n: 2\n", "a key must be a word"),
        (GOOD + "!!str a: 2\n", "no key 'a'"),
        (GOOD + "!!int 1: 2\n", "the key '1' must be a word, without a tag or an anchor"),
        (GOOD + "&a a: 2\n", "the key 'a' must be a word, without a tag or an anchor"),
        (GOOD + "mirror: !!python/object/apply:os.system [ls]\n", "!!python/object/apply:os.system is not allowed in"),
        (GOOD + "threads: !!int 3\n", "!!int is not allowed in an experiment"),
        (GOOD + "mirror: !!set {a, b}\n", "!!set is not allowed in an experiment"),
        (GOOD + "---\nmirror: a\n", "line 9: a second document begins"),
        (GOOD + "<<: 3\n", "<< needs another entry"),
        (GOOD + "<<: [a]\n", "<< needs another entry"),
        (GOOD + "<<: {a: 1}\n<<: {b: 1}\n", "the key '<<' repeats that of line"),
        (GOOD + "mirror:\n\t- a\n", "line 10: it is not YAML"),
        (GOOD + "mirror: [a\n", "it is not YAML"),
        (GOOD + "mirror: 'a\n", "it is not YAML"),
        (GOOD + "mirror: @a\n", "it is not YAML"),
        (GOOD + "mirror: a: b\n", "line 9: it is not YAML"),
        (GOOD + "%YAML 1.1\n", "it is not YAML"),
        ("%YAML 3.0\n---\n" + GOOD, "it is not YAML"),
        (GOOD + "__use_yte__: true\n", "no key '__use_yte__'"),
        (GOOD + f"mirror: {'a' * 2**20}\n", "is larger than 1 MiB"),
        (GOOD + f"mirror: {'a' * 100_000}\n", "100000 characters are too many"),
        (GOOD + f"seeds: {list(range(20_000))}\n", "more than 10000 values"),
        (GOOD + f"{'k' * 300}: 1\n", "no key 'kkk"),
        (GOOD.replace("trial", "t" * 300), "experiment: a name has at most 64 characters"),
        (GOOD.replace("adgan:", "m" * 300 + ": {method: adgan}\n  adgan:"), "a name has at most 64 characters"),
        (GOOD.replace("{mnist5k: }", f"{{{'d' * 300}: {{dataset: mnist5k}}}}"), "a name has at most 64 characters"),
        (
            GOOD.replace(
                "{mnist5k: }", f"{{x: {{dataset: image_folder, folder: none, classes: [{'c' * 300}, other]}}}}"
            ),
            "a class's name has 300 characters, and 100 fit into the names of files",
        ),
        (GOOD + f"figures: [{'f' * 300}]\n", "no figure 'ffff"),
        (GOOD + f"held_out: [{'h' * 300}]\n".replace("held_out", "seeds"), "seeds.0: Input should be a valid integer"),
        (GOOD + "experiment: .hidden\n".replace("experiment", "mirror: a\nprotocol"), "protocol: Input should be"),
    ],
)
def test_one_line_says_what_is_wrong(content, why, tmp_path):
    begun = time.monotonic()
    line = refused(content, tmp_path)
    assert line is not None and why in line
    assert time.monotonic() - begun < 5  # a bomb that is expanded takes minutes


def test_anchors_and_merge_keys_that_an_experiment_may_have(tmp_path):
    text = GOOD.replace("{steps: 3}", "&small {steps: 3}\n  dcgan: *small\n  lsgan: {<<: *small, width: 8}\n")
    models = plan(text, tmp_path).experiment.models
    assert [models[name].params["steps"] for name in ("wgan", "dcgan", "lsgan")] == [3, 3, 3]
    assert (models["lsgan"].params["width"], models["dcgan"].params["width"]) == (8, 64)


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    planned = [plan(content, tmp_path) for content in (GOOD, GOOD.encode("utf-8-sig"), GOOD.replace("\n", "\r\n"))]
    assert len({tuple(each.steps) for each in planned}) == 1


@pytest.mark.parametrize("damage", ["missing", "folder", "unreadable name"])
def test_what_is_no_file_is_one_line(damage, tmp_path):
    name = {"missing": "none.yaml", "folder": ".", "unreadable name": "a\0b"}[damage]
    with pytest.raises(HeldoutError, match=r"there is no experiment file|cannot be read"):
        experiment_file.load(tmp_path / name)


def settings(*given: str, folder: Path, content: str = GOOD):
    return plan(content, folder, *given).settings


def test_null_on_the_command_line_unsets_a_key(tmp_path):
    content = GOOD + "threads: 2\ntest_items: 60\nmirror: a\n"
    assert settings(folder=tmp_path, content=content).threads == 2
    found = settings("threads=null", "test_items=", "mirror=~", folder=tmp_path, content=content)
    assert (found.threads, found.test_items, found.mirror) == (1, None, None)
    assert refused(content, tmp_path, "methods=null") == (
        f"{os.path.relpath(tmp_path / 'trial.yaml')} with --config: the key 'methods' is missing"
    )


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("methods={adgan: [", "--config methods, line 1: it is not YAML"),
        ("models={wgan: {steps: 1, steps: 2}}", "--config models, line 1: the key 'steps' repeats that of line"),
        ("mirror=*a", "*a refers to no complete anchor"),
        ("mirror=" + "[" * 5000, "more than 20 levels"),
        ("seed=3", "no key 'seed'; did you mean 'seeds'?"),
        ("held_out=[01]", 'for the name write "01"'),
        ("experiment=01", 'for the name write "01"'),
        ("threads=1_0", "threads: 1_0 is not a finite decimal number"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(given, why, tmp_path):
    line = refused(GOOD, tmp_path, given)
    assert line is not None and why in line


def test_a_setting_of_several_levels_is_merged_into_the_files(tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("models: {wgan: {width: 8}}\nseeds: [1, 2]\n", encoding="utf-8")
    first = tmp_path / "trial.yaml"
    first.write_text(GOOD, encoding="utf-8")
    found = resolve(*of_run([first, other], ["models={wgan: {batch: 16}}", 'held_out=["2"]']))
    params = found.models["wgan"].params
    assert (params["steps"], params["width"], params["batch"]) == (3, 8, 16)
    assert found.settings.seeds == [1, 2] and found.held_out["mnist5k"] == ["2"]


@pytest.mark.parametrize("nested", [False, True], ids=["whole", "under a key"])
def test_a_workflow_that_uses_this_one_as_a_module_hands_over_what_its_file_says(nested, tmp_path):
    """Snakemake reads 010 as 8 and yes as true before this workflow sees them."""
    text = GOOD.replace("[1]", "[010]") + "threads: yes\nmirror: null\ntest_items: 6e1\n"
    if nested:
        text = "other: [1, 2]\nimages:\n" + "".join(f"  {line}\n" for line in text.splitlines())
    path = tmp_path / "outer.yaml"
    path.write_text(text, encoding="utf-8")
    given = yaml.safe_load(text)
    given = given["images"] if nested else given
    assert (given["held_out"], given["threads"]) == ([8], True)
    found = experiment_file.as_written(given, [path], [])
    assert (found["held_out"], found["threads"]) == (["010"], "yes")
    with pytest.raises(HeldoutError, match='for the name write "010"'):
        resolve(found, "config")
    changed = experiment_file.as_written(given | {"seeds": [3]}, [path], [])  # by the other workflow
    assert (changed["held_out"], changed["seeds"]) == (["010"], [3])
    changed = experiment_file.as_written(given | {"held_out": [9]}, [path], [])
    assert (changed["held_out"], changed["threads"]) == ([9], "yes")
    assert experiment_file.as_written(given, [], []) == given
    assert experiment_file.as_written(given, [tmp_path / "none.yaml"], []) == given


def test_a_setting_that_is_given_twice_is_refused():
    with pytest.raises(HeldoutError, match="--config gives held_out twice"):
        experiment_file.overridden({}, ["held_out=[2]", "seeds=[1]", "held_out=[5]"])


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("old", "new"):
        (tmp_path / "shoes" / name).mkdir(parents=True)
    data = "{x: {dataset: image_folder, folder: ~/shoes, classes: [old, new]}}"
    planned = plan(GOOD.replace("{mnist5k: }", data).replace("[1]", "[old]"), tmp_path)
    assert planned.preparations[0].raw.path == str(tmp_path / "shoes")


@pytest.mark.parametrize("verb", ["cost", "timeline", "status", "prune"])
def test_every_verb_reads_an_experiment_alike(verb, tmp_path):
    (tmp_path / "config.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(GOOD + "threads: yes\n", encoding="utf-8")
    process = heldout(verb, "bad.yaml", cwd=tmp_path)
    assert process.returncode == 1
    assert process.stderr == (
        "heldout: error: bad.yaml, threads: expected a number, but yes is true or false in YAML\n"
    )


def heldout(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "heldout", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | environment,
    )


def test_what_is_unforeseen_is_one_line_and_the_traceback_on_demand(tmp_path):
    spec = '{"dataset": "mnist5k"}'
    command = ("split", "--spec", spec, "--images", "a", "--labels", "b", "--manifest", "c")
    process = heldout(*command, cwd=tmp_path)
    (line,) = process.stderr.splitlines()
    assert process.returncode == 1 and line.startswith("heldout: error: ") and len(line) < LONGEST + 100
    shown = heldout(*command, cwd=tmp_path, HELDOUT_DEBUG="1")
    assert "Traceback" in shown.stderr and shown.stderr.splitlines()[-1] == line


def test_a_message_is_cut_to_a_few_hundred_characters():
    message = str(HeldoutError(f"a.yaml, seeds: {'x' * 10**6}\n\x1b[31m; write one"))
    assert len(message) < LONGEST + 50
    assert message.startswith("a.yaml, seeds: xxx") and message.endswith(r"xxx \x1b[31m; write one")
