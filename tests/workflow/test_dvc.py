"""DVC and Snakemake agree: what is pulled is neither trained nor scored again, and what is saved is never lost.

A team of two clones shares a storage folder beside them, the default remote. Each clone runs its own code. Each test
works on a team of its own, a copy of one that was made once.
"""

import io
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import ENVIRONMENT, PATH, TRIAL, Project
from tests.workflow.test_bad_input import complaint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("git"), reason="there is no git to clone with"),
]

EXPERIMENT = TRIAL | {
    "experiment": "quickstart",
    "held_out": [1],
    "methods": {"mean_image": {}, "adgan": {"starts": 2, "steps": 1}, "anogan": {"steps": 2}, "discriminator": {}},
    "figures": [],
}
REPORT = {"inputs": 1, "evaluate": 1, "write_tables": 1, "manifest": 1}
COSTLY = {"fetch", "prepare", "split", "train", "score"}
REFUSAL = "Can't remove the following unsaved files without confirmation"
# All of root's powers over other people's permissions are given up, for good.
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.getuid() == 0 else ()


class Clone(Project):
    """A clone of the repository, with what its user does in it."""

    def git(self, *arguments: str, ok: bool = True) -> str:
        return self.run("git", *arguments, ok=ok)

    def dvc(self, *arguments: str, ok: bool = True) -> str:
        return self.run("dvc", *arguments, ok=ok)

    def heldout(self, *arguments: str, ok: bool = True) -> str:
        return self.run("heldout", *arguments, ok=ok)

    def configure(self, **changes: object) -> None:
        self.write("config.yaml", **EXPERIMENT | changes)

    def commit(self, message: str) -> None:
        self.git("commit", "-q", "-a", "-m", message)

    def clone(self, name: str, launcher: tuple[str, ...] = ()) -> "Clone":
        """Return a new clone beside this one."""
        self.git("clone", "-q", str(self.folder), str(self.folder.with_name(name)))
        return self.beside(name, launcher)

    def twin(self, name: str) -> "Clone":
        """Return another clone of the same repository, which has as much."""
        shutil.copytree(self.folder, self.folder.with_name(name), symlinks=True)
        return self.beside(name)

    def beside(self, name: str, launcher: tuple[str, ...] = ()) -> "Clone":
        """Return the clone in another folder, whose commands do what the code in that folder says."""
        folder = self.folder.with_name(name)
        environment = self.environment | {"PYTHONPATH": str(folder / "workflow")}
        if launcher:  # the serving process keeps root's powers
            environment["PATH"] = PATH
        return Clone(folder, environment, launcher)

    def files(self, *folders: str) -> dict[str, bytes]:
        """The content of every file below the folders, by its path here."""
        paths = [path for folder in folders for path in (self.folder / folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in sorted(paths)}

    def kept(self) -> dict[str, bytes]:
        return self.files("data/splits", "data/prepared", "results/checkpoints", "results/scores")

    def trained(self) -> set[str]:
        return {name for name in self.files("results/checkpoints") if name.endswith(".safetensors")}


@pytest.fixture(scope="session")
def team_folder(once, project_folder, forks) -> Path:
    """Clones and their storage: `first` ran everything, saved, committed and pushed; the others have it from there."""

    def make(folder: Path) -> None:
        clone = clone_in(Path(shutil.copytree(project_folder, folder / "first")), forks)
        (clone.folder / "trial.yaml").unlink()
        clone.configure()
        clone.git("init", "-q", "-b", "main")
        clone.git("config", "receive.denyCurrentBranch", "updateInstead")
        clone.git("add", ".")
        clone.git("commit", "-q", "-m", "Start")
        clone.snakemake()
        printed = clone.heldout("save")
        assert "not finished" not in printed
        command = re.search(r"To share them: (.+) && git push", printed)[1]
        clone.run("bash", "-c", command)
        assert clone.git("status", "--short") == ""
        clone.clone("pulled").dvc("pull")
        clone.beside("pulled").twin("reported").snakemake()

    return once("team", make)


@pytest.fixture(scope="session")
def divided_folder(once, team_folder, forks) -> Path:
    """A team where `mine` and `theirs` have each searched for another number of steps, saved, committed and pushed."""

    def make(folder: Path) -> None:
        pulled = copied(team_folder, folder, forks).beside("pulled")
        for name, steps in (("theirs", 3), ("mine", 4)):
            clone = pulled.twin(name)
            clone.snakemake("--config", f"methods={{anogan: {{steps: {steps}}}}}")
            clone.heldout("save")
            clone.commit(f"Search for {steps} steps")
            clone.dvc("push")

    return once("divided", make)


def copied(team: Path, folder: Path, forks: dict[str, str]) -> Clone:
    """Copy a team; its clones pull from the copy of the first machine, which is returned."""
    shutil.copytree(team, folder, symlinks=True, ignore=shutil.ignore_patterns("reported"))
    first = clone_in(folder / "first", forks)
    for clone in {path.parent.name for path in folder.glob("*/.git")} - {"first"}:
        first.beside(clone).git("remote", "set-url", "origin", str(first.folder))
    return first


@pytest.fixture
def first(team_folder, forks, tmp_path) -> Clone:
    """The first machine."""
    return copied(team_folder, tmp_path / "team", forks)


@pytest.fixture
def pulled(first) -> Clone:
    """A second clone, with everything pulled and nothing reported."""
    return first.beside("pulled")


@pytest.fixture
def reported(team_folder, forks, tmp_path) -> Clone:
    """A clone of its own, with everything pulled and reported."""
    return clone_in(Path(shutil.copytree(team_folder / "reported", tmp_path / "reported", symlinks=True)), forks)


def clone_in(folder: Path, forks: dict[str, str]) -> Clone:
    own = ENVIRONMENT | forks | {"PYTHONPATH": str(folder / "workflow")}
    own |= {name: str(folder.with_name(name.lower())) for name in ("HOME", "DVC_SITE_CACHE_DIR", "XDG_CACHE_HOME")}
    own |= {name: str(folder.with_name(name.lower())) for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")}
    for person in ("AUTHOR", "COMMITTER"):
        own |= {f"GIT_{person}_NAME": "First", f"GIT_{person}_EMAIL": "first@example.org"}
    return Clone(folder, own)


def shuffle_times(folder: Path) -> None:
    rng = random.Random(0)
    for path in (path for below in ("data", "results") for path in (folder / below).rglob("*")):
        when = 1.6e9 + rng.randrange(10**8)
        os.utime(path, (when, when), follow_symlinks=False)


@pytest.mark.parametrize("cache_type", ["copy", "hardlink", "symlink"])
def test_a_clone_with_pulled_files_trains_nothing_and_reports_the_same(first, cache_type):
    """For a user without root's powers, who cannot write to a file that says so."""
    if UNPRIVILEGED and not shutil.which(UNPRIVILEGED[0]):
        pytest.skip("there is no setpriv to give up root's powers")
    clone = first.clone(cache_type, UNPRIVILEGED)
    clone.dvc("config", "--local", "cache.type", cache_type)
    clone.dvc("pull")
    checkpoint = clone.folder / min(clone.trained())
    assert checkpoint.is_symlink() == (cache_type == "symlink")
    assert (checkpoint.stat().st_nlink > 1) == (cache_type == "hardlink")
    if cache_type != "copy":
        assert "Permission denied" in clone.run("bash", "-c", f"echo >> {checkpoint}", ok=False)
    shuffle_times(clone.folder)
    assert not clone.planned().keys() & COSTLY
    clone.snakemake()
    assert clone.files("results/quickstart") == first.files("results/quickstart")
    # Work goes on in the clone: another scoring, other tables, saved and pushed from here.
    assert clone.planned("--config", "methods={adgan: {steps: 2}}") == REPORT | {"score": 1}
    clone.snakemake("--config", "methods={adgan: {steps: 2}}")
    assert "3 of them for the first time" in clone.heldout("save")
    clone.dvc("push")
    assert clone.files("results/quickstart") != first.files("results/quickstart")


def test_without_the_data_pulled_checkpoints_are_scored_and_not_trained(first):
    clone = first.clone("checkpoints_only")
    clone.dvc("pull", "results/checkpoints")
    data = {"fetch": 1, "prepare": 1, "split": 1}
    assert clone.planned() == REPORT | data | {"score": 4}
    # Told to train anew, it first makes what training needs.
    for forced in (("-R", "train"), ("-F",)):
        assert clone.planned("checkpoints", *forced) == data | {"train": 2, "checkpoints": 1}


def test_pulled_data_are_trained_on_and_what_is_pushed_goes_where_the_remote_is(first):
    clone = first.clone("data_only")
    clone.dvc("pull", "data/raw", "data/prepared", "data/splits")
    assert clone.planned() == REPORT | {"train": 2, "score": 4}
    place = first.folder.with_name("elsewhere")
    clone.dvc("remote", "modify", "storage", "url", str(place))
    assert "pushed" in clone.dvc("push", "data/splits") and any(place.iterdir())


LOSS = "return self.critic(fake).mean() - self.critic(real).mean()"
EDITS = {
    "training code": ("models/wgan.py", LOSS, LOSS.replace("fake).mean()", "fake).sum() / len(fake)")),
    "a comment in training code": ("models/wgan.py", LOSS, f"{LOSS}  # the critic's"),
    "the loop around a training": (
        "stages/train.py",
        "history, failed = History(), None",
        "failed, history = None, History()",
    ),
    "scoring code": ("methods/mean_image.py", "square()", "pow(2)"),
    "code that all trainings share": ("numerics/training_steps.py", "drawn = 0", "drawn = int()"),
    "a comment in a dataset's code": ("datasets/mnist5k.py", "5,000 MNIST", "5000 MNIST"),
    "a dataset's code": ("datasets/mnist5k.py", "len(labels), bool", "len(labels), np.bool_"),
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {}),
        ({"models": {"wgan": TRIAL["models"]["wgan"] | {"steps": 11}}}, REPORT | {"train": 1, "score": 2}),
        ({"methods": {"adgan": {"starts": 2, "steps": 2}}}, REPORT | {"score": 1}),
        ({"seeds": [0, 1]}, REPORT | {"train": 2, "score": 4}),
        ({"datasets": {"mnist5k": {"size": 64}}}, REPORT | {"prepare": 1, "split": 1, "train": 2, "score": 4}),
        ({"device": "auto"}, {}),
        ("training code", REPORT | {"train": 1, "score": 2}),
        ("a comment in training code", {}),
        ("the loop around a training", {}),
        ("scoring code", REPORT | {"score": 1}),
        ("code that all trainings share", REPORT | {"train": 2, "score": 3}),
        ("a comment in a dataset's code", {}),
        ("a dataset's code", REPORT | {"prepare": 1, "split": 1, "train": 2, "score": 4}),
    ],
    ids=str,
)
def test_a_change_after_a_pull_runs_what_it_touches(reported, change, expected):
    if isinstance(change, str):
        name, before, after = EDITS[change]
        path = reported.folder / "workflow" / "heldout" / name
        text = path.read_text()
        assert text.count(before) == 1
        path.write_text(text.replace(before, after))
    else:
        merged = {key: EXPERIMENT[key] | value for key, value in change.items() if isinstance(value, dict)}
        reported.configure(**change | merged)
    assert reported.planned() == expected


def test_a_damaged_checkpoint_is_refused_by_score_and_named_by_verify(pulled):
    assert re.search(r"[1-9]\d* files checked, [1-9]\d* recorded by DVC, 0 damaged", pulled.heldout("verify"))
    checkpoint = next(path for path in map(Path, pulled.trained()) if path.name.startswith("wgan-"))
    content, stat = (pulled.folder / checkpoint).read_bytes(), (pulled.folder / checkpoint).stat()
    flipped = bytes([*content[:-5], content[-5] ^ 1, *content[-4:]])
    (pulled.folder / checkpoint).write_bytes(flipped)
    os.utime(pulled.folder / checkpoint, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # so that DVC does not notice
    scores = next(path for path in pulled.files("results/scores") if re.search(r"/adgan-\w+\.parquet", path))
    (pulled.folder / scores).unlink()
    line = complaint(pulled.snakemake(ok=False))
    assert f"{checkpoint} is damaged" in line and not (pulled.folder / scores).exists()

    printed = pulled.heldout("verify", ok=False)
    assert f"{checkpoint}: SHA-256 is not" in printed and "1 damaged" in printed
    (command,) = re.findall(r"^    (rm .+)$", printed, re.MULTILINE)
    assert command == f"rm {checkpoint.with_suffix('')}.*"
    pulled.run("bash", "-c", command)
    pulled.dvc("checkout")  # the remedy works
    assert (pulled.folder / checkpoint).read_bytes() == content
    assert "0 damaged" in pulled.heldout("verify") and not pulled.planned().keys() & COSTLY


def test_with_links_verify_also_names_the_caches_copy(first):
    clone = first.clone("damaged_link")
    clone.dvc("config", "--local", "cache.type", "hardlink")
    clone.dvc("pull")
    timing = next(clone.folder / path for path in clone.files("results/scores") if path.endswith("timing.json"))
    timing.chmod(0o644)
    timing.write_text(timing.read_text().replace("cpu", "CPU"))
    printed = clone.heldout("verify", ok=False)
    assert "2 damaged" in printed and "damaged in DVC's cache as well" in printed
    for command in re.findall(r"^    (rm .+)$", printed, re.MULTILINE):
        clone.run("bash", "-c", command)
    clone.dvc("pull")
    assert "cpu" in timing.read_text() and "0 damaged" in clone.heldout("verify")


@pytest.mark.parametrize("beside", ["alone", "with_all_beside_it"])
def test_a_checkpoint_of_another_spec_renamed_into_place_is_refused(first, pulled, beside):
    pulled.snakemake("checkpoints", "--config", "models={wgan: {steps: 11}}")
    (wanted,) = (pulled.folder / path for path in first.trained() if "/wgan-" in path)
    (other,) = (pulled.folder / path for path in pulled.trained() - first.trained())
    for path in other.parent.glob(f"{other.stem}.*" if beside == "with_all_beside_it" else other.name):
        shutil.copy(path, wanted.with_name(path.name.replace(other.stem, wanted.stem)))
    for scores in (pulled.folder / "results" / "scores").rglob("discriminator-*"):
        scores.unlink()
    line = complaint(pulled.snakemake("--until", "score", ok=False))
    assert str(wanted.relative_to(pulled.folder)) in line
    assert ("is damaged" if beside == "alone" else "holds training") in line
    printed = pulled.heldout("verify", ok=False)
    assert f"{wanted.relative_to(pulled.folder)}: " in printed
    assert (other.stem.partition("-")[2] in printed) == (beside == "with_all_beside_it")


def test_dvc_repro_trains_what_changed_and_shows_what_moved(first, pulled):
    pulled.snakemake()
    assert "didn't change, skipping" in pulled.dvc("repro")
    before = pulled.kept()
    pulled.configure(models=EXPERIMENT["models"] | {"wgan": TRIAL["models"]["wgan"] | {"steps": 12}})
    pulled.dvc("repro")
    (new,) = pulled.trained() - first.trained()
    assert "/wgan-" in new and before.items() <= pulled.kept().items()
    assert "didn't change, skipping" in pulled.dvc("repro")
    pulled.commit("Train longer")

    assert re.search(r"config.yaml +models.wgan.steps +10 +12", pulled.dvc("params", "diff", "HEAD~1", "HEAD"))
    moved = pulled.dvc("metrics", "diff", "HEAD~1", "HEAD")
    assert re.search(r"results/quickstart/metrics.json +mnist5k\.1\.adgan\.auroc", moved) and "anogan" not in moved
    pulled.dvc("plots", "diff", "HEAD~1", "HEAD")
    page = (pulled.folder / "dvc_plots" / "index.html").read_text()
    assert all(title in page for title in ("ROC curves", "AUROC by class", "Scoring time"))
    for column in ("tpr_low", "auroc_low", "score_ms_per_image"):
        assert f'"{column}"' in page

    now = pulled.kept()
    pulled.git("checkout", "-q", "HEAD~1")
    pulled.dvc("checkout")
    assert pulled.kept() == before
    pulled.dvc("repro")
    assert pulled.kept() == before
    pulled.git("checkout", "-q", "main")
    pulled.dvc("checkout")
    assert pulled.kept() == now and not pulled.planned().keys() & COSTLY


def test_dvc_exp_run_sets_one_parameter(first, pulled):
    command = re.search(r"^dvc exp run .+$", (pulled.folder / "docs" / "reproducing.md").read_text(), re.MULTILINE)[0]
    pulled.run("bash", "-c", command)
    assert yaml.safe_load((pulled.folder / "config.yaml").read_text())["methods"]["adgan"]["starts"] == 16
    assert pulled.trained() == first.trained() and len(pulled.kept()) == len(first.kept()) + 3
    assert "adgan.auroc" in pulled.dvc("exp", "diff")
    assert "workspace" in pulled.dvc("exp", "show")


@pytest.mark.parametrize("way", ["--temp", "--queue"])
def test_dvc_exp_run_in_a_copy_of_the_repository_runs_the_code_of_the_copy(first, pulled, way):
    """DVC copies the edited repository below .dvc/tmp, while the installed package is that of `first`."""
    clone = replace(pulled, environment=pulled.environment | {"PYTHONPATH": str(first.folder / "workflow")})
    path = clone.folder / "workflow" / "heldout" / "methods" / "mean_image.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('{"score": (', '{"score": -('), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != text
    clone.dvc("exp", "run", way, "-S", "config.yaml:test_items=50")
    if way == "--queue":
        clone.dvc("exp", "run", "--run-all")
    table = pd.read_csv(io.StringIO(clone.dvc("exp", "show", "--csv")))
    here, variant = table["mnist5k.1.mean_image.auroc"].iloc[[0, -1]]
    assert here > 0.9 and variant < 0.1  # the edit flips the score's sign


def test_a_pull_beside_unsaved_checkpoints_loses_nothing_and_one_command_joins_both(first, pulled):
    other, mine = pulled.twin("other"), pulled
    for clone, seed in ((other, 5), (mine, 6)):
        clone.snakemake("checkpoints", "--config", f"seeds=[{seed}]")
    other.heldout("save")
    other.commit("Train seed 5")
    other.dvc("push")
    other.git("push", "-q", "origin", "HEAD:shared")

    unsaved = mine.kept()
    mine.git("pull", "-q", "--ff-only", "origin", "shared")
    assert REFUSAL in mine.dvc("pull", ok=False)
    assert unsaved.items() <= mine.kept().items()

    printed = mine.heldout("save")
    assert "8 of them for the first time" in printed
    assert mine.kept() == unsaved | other.kept()
    assert "0 damaged" in mine.heldout("verify")
    assert not mine.planned("checkpoints", "--config", "seeds=[5,6]")
    mine.commit("Train seed 6")
    mine.dvc("push")
    assert "up to date" in mine.dvc("pull")
    # Now that all is saved, an older commit can be looked at, and left again.
    joined = mine.kept()
    mine.git("checkout", "-q", first.git("rev-parse", "HEAD").strip())
    mine.dvc("checkout")
    assert mine.kept() == first.kept()
    mine.git("checkout", "-q", "main")
    mine.dvc("checkout")
    assert mine.kept() == joined


@pytest.mark.parametrize("way", ["--no-rebase", "--rebase"])
def test_two_commits_that_both_saved_are_joined_by_saving(divided_folder, forks, tmp_path, way):
    first = copied(divided_folder, tmp_path / "team", forks)
    theirs, mine = first.beside("theirs"), first.beside("mine")
    theirs.git("push", "-q", "origin", "HEAD:scored")
    printed = mine.git("pull", way, "origin", "scored", ok=False)
    assert "CONFLICT (content): Merge conflict in dvc.lock" in printed
    assert "Merge conflict in results/quickstart/tables/runtime.csv" in printed
    before = mine.kept()
    assert "dvc.lock is an unresolved merge; join both sides with: heldout save" in mine.heldout("verify")
    storage = mine.folder.parent / "heldout-storage"
    storage.rename(storage.with_name("away"))
    assert "neither in DVC's cache nor in its remote" in complaint(mine.heldout("save", ok=False))
    storage.with_name("away").rename(storage)
    assert "results/quickstart/tables/runtime.csv" in mine.heldout("save")  # nothing of the merge was lost by it
    assert mine.kept() == before | theirs.kept() and len(mine.kept()) == len(first.kept()) + 6
    mine.snakemake()
    mine.heldout("save")
    if way == "--rebase":
        mine.git("-c", "core.editor=true", "rebase", "--continue")
    else:
        mine.git("commit", "-q", "--no-edit")
    assert mine.git("status", "--short") == "" and "0 damaged" in mine.heldout("verify")
    assert mine.kept() == before | theirs.kept()
    made, expected = (
        {name: content for name, content in clone.files("results/quickstart").items() if "/records/" not in name}
        for clone in (mine, first)  # records have a new name whenever their step runs again
    )
    assert made == expected


def test_prune_in_a_partial_clone_forgets_what_it_deletes_and_no_more(first):
    clone = first.clone("pruned")
    clone.dvc("pull", "results/scores")
    methods = {name: params for name, params in EXPERIMENT["methods"].items() if name != "adgan"}
    clone.write("config.yaml", **EXPERIMENT | {"methods": methods})
    assert "3 files" in clone.heldout("prune") and clone.files("results/scores") == first.files("results/scores")
    assert "3 files deleted" in clone.heldout("prune", "--yes")
    expected = {path: content for path, content in first.kept().items() if "/adgan-" not in path}
    assert clone.kept() == expected
    clone.commit("Leave ADGAN out")
    clone.dvc("push")
    other = clone.clone("after_pruning")
    other.dvc("pull")
    assert other.kept() == expected


def test_own_images_travel_with_the_repository_and_saving_leaves_their_pin_alone(pulled):
    images = {f"data/parts/{name}/{number}.png": bytes([number]) for name in ("good", "bad") for number in range(3)}
    for path, content in images.items():
        (pulled.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (pulled.folder / path).write_bytes(content)
    pulled.dvc("add", "data/parts")
    pulled.git("add", "data/parts.dvc", "data/.gitignore")
    assert pulled.git("status", "--short").split() == ["A", "data/.gitignore", "A", "data/parts.dvc"]
    pulled.commit("Add parts")
    pulled.dvc("push")
    other = pulled.clone("own_elsewhere")
    other.dvc("pull")
    assert other.files("data/parts") == images
    (other.folder / "data" / "parts" / "good" / "0.png").write_bytes(b"changed by mistake")
    other.heldout("save")
    assert other.git("status", "--short") == ""  # nor is there anything new
    shutil.rmtree(other.folder / "data" / "parts")
    other.heldout("save")
    other.dvc("pull", "data/parts")
    assert other.files("data/parts") == images


def test_a_score_made_anew_is_not_called_damaged(pulled):
    for path in (pulled.folder / "results" / "scores").rglob("adgan-*"):
        path.unlink()
    pulled.snakemake("--until", "score")
    printed = pulled.heldout("verify")
    assert "0 damaged" in printed and printed.count("was computed again and is not saved yet") >= 1
    pulled.heldout("save")
    assert "made again" not in pulled.heldout("verify")


def test_saving_after_a_partial_pull_forgets_nothing(first):
    clone = first.clone("partial")
    clone.dvc("pull", "results/scores")
    assert re.search(r"fetched \d+ recorded files", clone.heldout("save"))
    assert clone.kept() == first.kept() and clone.git("status", "--short") == ""


def test_saving_an_unfinished_experiment_says_so(pulled):
    pulled.configure(seeds=[8])
    assert "config.yaml is not finished: 6 of its trainings and scorings are missing" in pulled.heldout("save")


def test_an_export_without_git_runs_and_one_command_lets_dvc_work_there(first):
    folder = first.folder.parent / "export"
    folder.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=first.folder, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], input=archive, cwd=folder, check=True)
    export = first.beside("export")
    export.snakemake("checkpoints")
    assert {path: export.files(".")[path] for path in export.trained()} == {
        path: content for path, content in first.files("results/checkpoints").items() if path in first.trained()
    }
    assert "not a git repository" in export.dvc("status", ok=False)
    line = complaint(export.heldout("save", ok=False))
    command = re.search(r"type once: (.+)", line)[1]
    assert command in (folder / "docs" / "reproducing.md").read_text()
    export.run("bash", "-c", command)
    export.heldout("save")
    export.dvc("push")
    assert "dvc push" in export.heldout("save") and "git" not in export.heldout("save")
    assert not export.planned().keys() & COSTLY


@pytest.mark.skipif(sys.platform != "linux", reason="it gives up root's powers as Linux does")
@pytest.mark.skipif(not UNPRIVILEGED, reason="these tests already run as a normal user")
def test_giving_up_roots_powers_works(first, tmp_path):
    (tmp_path / "file").touch(mode=0o444)
    normal = Clone(tmp_path, first.environment, UNPRIVILEGED)
    assert "Permission denied" in normal.run("bash", "-c", "echo >> file", ok=False)
