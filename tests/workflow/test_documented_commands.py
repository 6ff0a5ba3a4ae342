"""Every command that the documentation states works: it runs here, or in a test that is named, or a reason is given.

Commands are the lines of code blocks without a language, and inline code that begins with one of PROGRAMS and has an
argument. They run in a copy of the project as they are stated, except that long ones become their dry form (`dry`). One
that is in no table below, and of no program that runs here, fails `test_every_command_is_accounted_for`.
"""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from heldout.cli import RESULTS, app
from tests.conftest import REPOSITORY
from tests.workflow.conftest import ENVIRONMENT, Project
from tests.workflow.test_contributing import TEMPLATES, copy_template

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md"))]
PROGRAMS = ("heldout", "snakemake", "dvc", "pytest", "pip", "python", "git", "ruff")
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
SLOW = pytest.mark.slow

# Run in another test: its file, and how it stands there.
DVC = "tests/workflow/test_dvc.py"
ELSEWHERE = {
    ". .venv/bin/activate": (".ci/run", "\n. .venv/bin/activate\n"),
    "dvc add data/parts": (DVC, 'dvc("add", "data/parts")'),
    "dvc checkout": (DVC, 'dvc("checkout")'),
    "dvc config --local cache.type hardlink": (DVC, 'dvc("config", "--local", "cache.type", cache_type)'),
    "dvc config --local core.no_scm true": (DVC, 'export.run("bash", "-c", command)'),
    "dvc exp diff": (DVC, 'dvc("exp", "diff")'),
    "dvc exp run -S config.yaml:methods.adgan.starts=16": (DVC, 're.search(r"^dvc exp run .+$"'),
    "dvc exp show": (DVC, 'dvc("exp", "show"'),
    "dvc metrics diff HEAD~1": (DVC, 'dvc("metrics", "diff", "HEAD~1", "HEAD")'),
    "dvc params diff HEAD~1": (DVC, 'dvc("params", "diff", "HEAD~1", "HEAD")'),
    "dvc plots diff HEAD~1": (DVC, 'dvc("plots", "diff", "HEAD~1", "HEAD")'),
    "dvc pull": (DVC, 'dvc("pull")'),
    "dvc pull data/raw data/prepared data/splits": (DVC, 'dvc("pull", "data/raw", "data/prepared", "data/splits")'),
    "dvc pull results/checkpoints": (DVC, 'dvc("pull", "results/checkpoints")'),
    "dvc push": (DVC, 'dvc("push")'),
    "dvc remote modify storage url /mnt/team/heldout": (DVC, 'dvc("remote", "modify", "storage", "url"'),
    "dvc repro": (DVC, 'dvc("repro")'),
    "git checkout COMMIT": (DVC, 'git("checkout", "-q", "HEAD~1")'),
    "git clone ADDRESS heldout": (DVC, 'git("clone", "-q", str(self.folder)'),
    "git commit -a -m 'Save results'": (DVC, 'git("commit", "-q", "-a", "-m", message)'),
    "git pull": (DVC, 'git("pull", way, "origin"'),
    "git push": (DVC, 'git("push", "-q", "origin"'),
    "git rebase --continue": (DVC, '"rebase", "--continue"'),
    "heldout save": (DVC, 'heldout("save")'),
    "mypy": (".ci/run", "\nmypy\n"),
    "pytest": (".ci/run", "\npytest --durations=10 "),
    "pytest -m 'not slow'": (".ci/run", 'pytest -q -m "not slow"'),
    "python -m tests.benchmarks": ("tests/test_benchmarks.py", 'setattr(sys, "argv", ["python -m tests.benchmarks"'),
    "python -m tests.benchmarks coverage": ("tests/test_benchmarks.py", '["coverage"]'),
    "python -m tests.benchmarks half_precision": ("tests/test_benchmarks.py", '["half_precision", "encoders"]'),
    "python -m tests.benchmarks joint_search": ("tests/test_benchmarks.py", '["joint_search"]'),
    "python -m tests.benchmarks planning": ("tests/test_benchmarks.py", '["planning"]'),
    "python3 -m venv .venv": (".ci/run", "\npython3 -m venv .venv\n"),
    "snakefmt --check .": (".ci/run", "\nsnakefmt --check .\n"),
}
# Run nowhere: the reason. At most one command in ten.
NOT_RUN = {
    "dvc commit": "the page says what it would lose",
    "heldout fetch lsun --folder FOLDER": "an address; tests/faults/test_fetch.py reads such archives from a mirror",
    "heldout score": "the page says what it refuses; Snakemake runs it with a spec",
    "pip install --require-hashes -r envs/lock.txt": "it downloads every package; "
    "tests/test_environments.py compares the lock with the pins",
    "pip install torch==2.14.1 torchvision==0.29.1 --index-url https://download.pytorch.org/whl/cpu": "an address; "
    "tests/test_environments.py holds the versions against the pinned ones",
    "snakemake --sdm conda": "README says that it was not tested",
}
VERBS = dict(typer.main.get_command(app).commands)


def stated() -> dict[str, str]:
    """Return each command of the pages and of `--help`, with the first place that states it."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = (REPOSITORY / page).read_text(encoding="utf-8")
        for command in [*_lines(text), *_inline(BLOCK.sub("", text))]:
            found.setdefault(command, page)
    for verb in (typer.main.get_command(app), *VERBS.values()):
        for text in (verb.help or "", *(getattr(option, "help", None) or "" for option in verb.params)):
            for command in _inline(text):
                found.setdefault(command, f"heldout {verb.name or ''} --help")
    return found | {f"heldout {name} --help": "heldout --help" for name in VERBS}


def _lines(text: str) -> list[str]:
    blocks = [block for _, language, block in BLOCK.findall(text) if language in ("", "sh")]
    return [part for block in blocks for line in block.splitlines() for part in _parts(line)]


def _inline(text: str) -> list[str]:
    codes = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]
    return [part for code in codes for part in _parts(code) if part.startswith(PROGRAMS) and " " in part]


def _parts(line: str) -> list[str]:
    return [part.strip() for part in re.sub(r"\s+# .*", "", line).split(" && ")]


def dry(command: str) -> str | None:
    """Return what runs in place of a command, in a minute at most; None for a program that does not run here."""
    program, *arguments = shlex.split(command)
    if program == "heldout":
        named = command.replace("models NAME", "models wgan").replace("fetch NAME", "fetch mnist5k")
        return named.replace("NAME", "adgan").replace("FILE", "trial.yaml")
    if program == "snakemake":
        shows = {"-n", "--unlock", "--rulegraph"} & {*arguments}
        return command.partition(" | ")[0] if shows else f"{command} -n --quiet rules"
    if program == "pytest":
        return f"{command} --collect-only -q -n0 -p no:cacheprovider"
    if program == "pip":
        return f"{command} --dry-run --no-deps --no-build-isolation --no-index"
    return command if program == "ruff" else None


def runs() -> list:
    """Return each command that runs here as a parameter of a test."""
    rest = STATED.keys() - ELSEWHERE.keys() - NOT_RUN.keys() - {*STEPS}
    here = [command for command in sorted(rest) if dry(command)]
    quick = [command for command in here if command.startswith("heldout") and not reads_results(command)]
    quick.append("snakemake --cores all")
    return [pytest.param(command, id=command, marks=[] if command in quick else SLOW) for command in here]


def reads_results(command: str) -> bool:
    _, _, verb = command.partition("heldout ")
    verb = VERBS.get(verb.partition(" ")[0])
    return verb is not None and verb.rich_help_panel == RESULTS and "--help" not in command


STATED = stated()
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEPS = [command for command in _lines(CONTRIBUTING) if command not in ELSEWHERE]  # of its blocks, which run as one


@pytest.fixture(scope="module")
def planned_project(project_folder, forks, tmp_path_factory) -> Project:
    """A project without results, with the entries and files of the reader's own. The commands share it."""
    return described(project_folder, forks, tmp_path_factory.mktemp("described"))


@pytest.fixture(scope="module")
def finished_project(finished_folder, forks, tmp_path_factory) -> Project:
    """The same, in which `trial.yaml` has run, also as `config.yaml`."""
    project = described(finished_folder, forks, tmp_path_factory.mktemp("described"))
    shutil.copy(project.folder / "trial.yaml", project.folder / "config.yaml")
    return project


def described(original: Path, forks: dict[str, str], place: Path) -> Project:
    folder = Path(shutil.copytree(original, place / "project"))
    for kind in TEMPLATES:
        copy_template(folder, kind)
    methods = folder / "workflow" / "heldout" / "methods"
    template = (methods / "_template.py").read_text(encoding="utf-8")
    (methods / "knn.py").write_text(template.replace("my_method", "knn"), encoding="utf-8")
    page = (REPOSITORY / "docs" / "experiments.md").read_text(encoding="utf-8")
    (folder / "shoes.yaml").write_text(block(page, "experiment: shoes"), encoding="utf-8")
    return Project(folder, ENVIRONMENT | forks | {"PYTHONPATH": str(folder / "workflow")})


def block(page: str, first: str) -> str:
    """Return the code block of a page that begins with a text, without its indentation."""
    ((indent, text),) = [(indent, text) for indent, _, text in BLOCK.findall(page) if text.strip().startswith(first)]
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def test_every_command_is_accounted_for():
    known = ELSEWHERE.keys() | NOT_RUN.keys() | {command for command in STATED if dry(command)}
    known |= {command for command in STATED if any(longer.startswith(f"{command} ") for longer in known)}
    known |= {*STEPS} | {command for command in STATED if command.startswith("cd ")}
    unknown = [f"{command} ({STATED[command]})" for command in STATED.keys() - known]
    assert not unknown, "name the test that runs them, in ELSEWHERE"
    assert not (ELSEWHERE.keys() | NOT_RUN.keys()) - STATED.keys(), "no page states them any more"
    assert len(NOT_RUN) <= len(STATED) / 10
    for command, (file, call) in ELSEWHERE.items():
        assert call in (REPOSITORY / file).read_text(encoding="utf-8"), f"{command}: not in {file} any more"


@pytest.mark.parametrize("command", runs())
def test_a_command_runs_as_it_is_stated(request, command):
    if "profiles/slurm" in command:
        pytest.importorskip("snakemake_executor_plugin_slurm")
    project = request.getfixturevalue("finished_project" if reads_results(command) else "planned_project")
    printed = project.run("bash", "-c", dry(command))
    assert "does not provide the extra" not in printed  # pip's warning


@SLOW
def test_the_steps_from_a_template_to_a_table_work_in_their_order(project):
    (project.folder / "trial.yaml").write_text(block(CONTRIBUTING, "experiment: trial"), encoding="utf-8")
    script = [dry(step) if step.startswith("pip") else step for step in STEPS]
    environment = project.environment | {"PYTHONPATH": str(project.folder / "workflow")}
    printed = replace(project, environment=environment).run("bash", "-euc", "\n".join(script))
    assert re.search(r"held out +\| +anomalies +\| +mean_image +\| +knn", printed) and " passed" in printed
