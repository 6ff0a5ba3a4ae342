"""Whatever an experiment file holds, it is planned, or refused in one short line.

HELDOUT_EXAMPLES sets the number of examples of each test; a run with 100,000 of them takes hours.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from heldout import registry
from heldout.errors import LONGEST, HeldoutError
from heldout.planning import inputs_json, kept_experiment, schema
from heldout.planning.experiment import Settings
from heldout.planning.experiment_file import load, of_run
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.resources import of_evaluation, of_figures, of_files, of_step
from tests.conftest import REPOSITORY
from tests.faults.experiments import plan, refused
from tests.faults.test_experiment_values import FORM, GOOD, VALUES

EXAMPLES = int(os.environ.get("HELDOUT_EXAMPLES", "200"))
FILES = [
    (REPOSITORY / "config.yaml").read_text(encoding="utf-8"),
    *(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "workflow" / "experiments").glob("*.yaml"))),
    FORM.format(**GOOD),
]
KEYS = sorted({word.strip(" {},-") for text in FILES for line in text.splitlines() for word in line.split(":")[:-1]})
SCRAPS = [
    *VALUES,
    *KEYS,
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "#",
    "\n",
    "\t",
    "'",
    '"',
    "|",
    ">",
]
SCRAPS += [
    "--- ",
    "%YAML 9\n",
    "? ",
    ",",
    "~",
    "..",
    "../",
    "/",
    "\0",
    "\x85",
    "\ufeff",
    "\ud800",
    "é",
    "0" * 400,
    "a" * 300,
]

quick = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="HELDOUT_EXAMPLES" not in os.environ,  # CI tries the same ones each time
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
plausible = st.one_of(
    st.sampled_from([*VALUES, *KEYS]), st.integers(-1, 300).map(str), st.floats(0, 1).map(str), st.floats().map(str)
)
wild = st.one_of(st.sampled_from(SCRAPS), st.text(max_size=8), st.integers().map(str))
scrap = st.one_of(plausible, plausible, wild)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """An experiment that comes with the project, after a few edits."""
    text = draw(st.sampled_from(FILES))
    for _ in range(draw(st.integers(1, 3))):
        words = [at for at in range(len(text)) if text[at].isalnum() and (at == 0 or not text[at - 1].isalnum())] or [0]
        begin = draw(st.sampled_from(words)) if draw(st.booleans()) else draw(st.integers(0, len(text)))
        end = begin
        while end < len(text) and (text[end].isalnum() or text[end] in "_.-"):
            end += 1
        match draw(st.sampled_from(["replace"] * 6 + ["insert", "delete", "repeat", "cut", "move"])):
            case "replace":
                text = text[:begin] + draw(scrap) + text[end:]
            case "insert":
                text = text[:begin] + draw(scrap) + text[begin:]
            case "delete":
                text = text[:begin] + text[begin + draw(st.integers(1, 40)) :]
            case "repeat":
                text = text[:begin] + text[begin : begin + draw(st.integers(1, 200))] + text[begin:]
            case "cut":
                text = text[:begin]
            case "move":
                other = draw(st.integers(0, len(text)))
                text = text[:other] + text[begin:end] + text[other:begin] + text[end:]
    return text


fields = st.sampled_from(sorted(Settings.model_fields))
names = st.one_of(fields, st.sampled_from(KEYS), st.text(max_size=5))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(VALUES), st.sampled_from(KEYS), st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=8,
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # so that no file of the project is found
    return tmp_path


def must_be_planned_or_refused(content: str | bytes, folder, *given_on_the_command_line: str) -> None:
    if refused(content, folder, *given_on_the_command_line) is None:
        planned = plan(content, folder, *given_on_the_command_line)
        assert inputs_json.content(planned).runs
        assert all(needed > 0 for step in planned.steps.values() for needed in of_step(step))
        assert min(of_evaluation(planned) + of_files(planned)) > 0
        assert all(min(of_figures(planned, kind)) > 0 for kind in planned.figures)
        kept_experiment.keep(planned, ["trial.yaml"])
        again = resolve(load(Path(planned.folder) / kept_experiment.KEPT), "kept")
        assert Plan(again, without_folders=True).steps.keys() == planned.steps.keys()


@quick
@given(text=mutated())
def test_a_file_with_a_few_edits(text, here):
    must_be_planned_or_refused(text, here)


@quick
@given(content=st.binary(max_size=200), text=st.sampled_from(FILES), at=st.integers(0, 2000))
def test_a_file_with_other_bytes(content, text, at, here):
    begin = text.encode()[:at]
    must_be_planned_or_refused(begin + content + text.encode()[at + len(content) :], here)


@quick
@given(given_on_the_command_line=st.lists(st.tuples(fields, scrap).map("=".join), min_size=1, max_size=2))
@example(given_on_the_command_line=["seeds=[0,1]"])
def test_settings_on_the_command_line(given_on_the_command_line, here):
    must_be_planned_or_refused(FILES[0], here, *given_on_the_command_line)


PARAMETERS = [
    (kind, name, key)
    for kind in ("dataset", "model", "method", "combination")
    for name in registry.names(kind)
    for key in schema.description(kind, name).entry["properties"]
]


@quick
@given(parameter=st.sampled_from(PARAMETERS), value=st.one_of(scrap, st.lists(scrap, max_size=3).map(", ".join)))
def test_a_parameter_of_any_value(parameter, value, here):
    (kind, name, key), value = parameter, value.replace("\n", " ")
    entry = {key: value, "batch": "7", "width": "5"} if kind == "model" else {key: value}
    if kind == "combination":
        entry |= {"method": "combine", "of": "[mean_image]", "by": name} | entry
    if name in ("image_folder", "lsun"):
        entry = {"folder": "none", "classes": "[kitchen, tower]"} | entry
    text = ", ".join(f"{word}: {written}" for word, written in entry.items())
    entries = {"dataset": "mnist5k: ", "model": "dcgan: ", "method": "mean_image: "}
    put = "method" if kind == "combination" else kind
    entries[put] += f", x: {{{kind}: {name}, {text}}}" if kind != "combination" else f", x: {{{text}}}"
    if kind == "dataset":
        entries[put] = f"x: {{dataset: {name}, {text}}}"
    sections = "\n".join(f"{section}s: {{{inner}}}" for section, inner in entries.items())
    must_be_planned_or_refused(f"experiment: trial\ncalibration: 0.1\nlabelled_anomalies: 9\n{sections}\n", here)


@quick
@given(changes=st.dictionaries(st.sampled_from(KEYS), values, max_size=3))
def test_values_of_python(changes, here):
    """As a workflow hands them over that uses this one as a module."""
    path = here / "trial.yaml"
    path.write_text(FILES[0], encoding="utf-8")
    config, where = of_run([path], [])
    try:
        resolve(config | changes, where)
    except HeldoutError as error:
        assert len(str(error)) <= LONGEST + 5 and str(error).isprintable()
