"""Each way to write a value, in each place that takes a class, a name or a number: what is written, or one line.

The oracle is the text itself: a name is the text, a number is its decimal value. Nothing here asks PyYAML, which makes
8 of 010 and True of yes.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from heldout.planning.resolve import Resolved
from tests.faults.experiments import plan, refused

TEXTS = """
yes no on off true false True NO Off y n null ~ Null NULL 01 02 010 08 007 1_0 1_000 1e1 1E1 1e+1 1e-3 0x1 0b1 0o1 0o17
12:30 1:30:00 190:20:30.15 0 1 2 3 10 +1 -1 -0 1.0 1. .5 0.10 00 0.1 .inf -.inf .NaN nan inf 1e400 1e-400
3.00000000000000000001 9007199254740993 4294967296 99999999999999999999999 2024-01-01
2001-12-14t21:59:43Z = << word T-shirt/top \u0661 \u00b2
""".split()  # noqa: SIM905  (the last two are digits that are not decimal)
QUOTED = [f'"{text}"' for text in ("yes", "null", "01", "1", "1.0", "1_0", "12:30", "0x1", "")]
VALUES = [*TEXTS, *QUOTED]

FORM = """\
experiment: {experiment}
datasets: {{{entry}: {{dataset: image_folder, folder: {folder}, classes: [{first}, second], normal: [{normal}]}}}}
{top}
models: {{wgan: {{{model}}}, other: {{model: wgan}}}}
methods:
  adgan: {{model: {read}}}
  mean_image:
  both: {{method: combine, by: fixed, of: [{of}], weights: [{weight}]}}
  kde: {{pca: {pca}}}
"""
GOOD = {
    "experiment": "trial",
    "entry": "x",
    "folder": "none",
    "first": "first",
    "normal": "second",
    "top": "",
    "model": "steps: 3",
    "read": "wgan",
    "of": "adgan",
    "weight": "1",
    "pca": "variance",
}


def method(name: str, key: str) -> Callable[[Resolved], Any]:
    return lambda found: found.methods[name].params[key]


# Where a value goes in the form, and where it is found again.
NAMES = {
    "experiment": ("experiment", "{}", lambda found: found.settings.experiment),
    "an entry": ("entry", "{}", lambda found: next(iter(found.datasets))),
    "folder": ("folder", "{}", lambda found: found.datasets["x"].params["folder"]),
    "mirror": ("top", "mirror: {}", lambda found: found.settings.mirror),
    "model": ("read", "{}", lambda found: found.methods["adgan"].model),
    "of": ("of", "{}", lambda found: found.methods["both"].joins[0][0]),
    "classes": ("first", "{}", lambda found: found.datasets["x"].params["classes"][0]),
    "normal": ("normal", "{}", lambda found: found.datasets["x"].params["normal"][0]),
    "protocol": ("top", "protocol: {}", lambda found: found.settings.protocol),
    "device": ("top", "device: {}", lambda found: found.settings.device),
    "figures": ("top", "figures: [{}]", lambda found: next(iter(found.figures))),
}
NUMBERS = {
    "threads": ("top", "threads: {}", lambda found: found.settings.threads),
    "seeds": ("top", "seeds: [{}]", lambda found: found.settings.seeds[0]),
    "split_seed": ("top", "split_seed: {}", lambda found: found.settings.split_seed),
    "test_items": ("top", "test_items: {}", lambda found: found.settings.test_items),
    "labelled_anomalies": ("top", "labelled_anomalies: {}", lambda found: found.settings.labelled_anomalies),
    "jobs_per_gpu": ("top", "jobs_per_gpu: {}", lambda found: found.settings.jobs_per_gpu),
    "save_every": ("top", "save_every: {}", lambda found: found.settings.save_every),
    "bootstrap": ("top", "bootstrap: {}", lambda found: found.settings.bootstrap),
    "memory": ("top", "memory: {}", lambda found: found.settings.memory),
    "calibration": ("top", "calibration: {}", lambda found: found.settings.calibration),
    "contamination": ("top", "contamination: {}", lambda found: found.settings.contamination),
    "steps": ("model", "steps: {}", lambda found: found.models["wgan"].params["steps"]),
    "width": ("model", "width: {}", lambda found: found.models["wgan"].params["width"]),
    "batch": ("model", "batch: {}", lambda found: found.models["wgan"].params["batch"]),
    "learning_rate": ("model", "learning_rate: {}", lambda found: found.models["wgan"].params["learning_rate"]),
    "weights": ("weight", "{}", lambda found: found.methods["both"].params["weights"][0]),
    "pca": ("pca", "{}", lambda found: found.methods["kde"].params["pca"]),
}


def form(place: str, text: str) -> str:
    return FORM.format(**{**GOOD, place: text})


def read(place: tuple[str, str, Callable[[Resolved], Any]], written: str, folder) -> tuple[Any, str | None]:
    """Return what a value in a place is read as, and the line that refuses it."""
    where, put, find = place
    text = form(where, put.format(written))
    line = refused(text, folder)
    return (None, line) if line else (find(plan(text, folder).experiment), None)


def test_the_form_is_an_experiment(tmp_path):
    assert refused(form("top", ""), tmp_path) is None
    assert len(VALUES) >= 40


@pytest.mark.parametrize("place", NAMES)
def test_a_name_is_what_is_written(place, tmp_path):
    """Without quotes, what some reader of YAML takes for a number, a date or a truth value is refused."""
    accepted = set()
    for written in VALUES:
        found, line = read(NAMES[place], written, tmp_path)
        if line is None and found is not None:
            assert type(found) is str and found == written.strip('"')
            accepted.add(written)
    assert accepted <= {"y", "n", "word", "T-shirt/top", "\u0661", "\u00b2", *QUOTED}
    assert place in ("model", "of", "normal", "protocol", "device", "figures") or "word" in accepted


@pytest.mark.parametrize("place", NUMBERS)
def test_a_number_is_its_decimal_value(place, tmp_path):
    for written in VALUES:
        found, line = read(NUMBERS[place], written, tmp_path)
        if line is not None or found is None:
            continue
        assert type(found) in (int, float), written
        exact = Decimal(written.strip('"'))
        assert "_" not in written and not written.strip('"+-').startswith(("00", "01")), written
        assert found == (exact if isinstance(found, int) else float(exact))
        assert found or not exact, "a small number is not 0"


def test_a_number_of_every_form_is_refused_with_the_word_to_quote(tmp_path):
    """In `held_out`, with classes that look like numbers: only the name itself selects a class."""
    classes = ["01", "02", "03", "010", "08", "1.0", "12:30", "yes", "no", "2024-01-01", "null"]
    listed = ", ".join(f'"{name}"' for name in classes)
    data = f"{{x: {{dataset: image_folder, folder: none, classes: [{listed}]}}}}"
    slugs = ["01", "02", "03", "010", "08", "1_0", "12_30", "yes", "no", "2024_01_01", "null"]

    def experiment(held_out: str) -> str:
        return f"experiment: trial\ndatasets: {data}\nheld_out: [{held_out}]\nmethods: {{mean_image: }}\n"

    for written in VALUES:
        line = refused(experiment(written), tmp_path)
        if line is None:
            (held_out,) = plan(experiment(written), tmp_path).experiment.held_out["x"]
            assert written.strip('"') in (held_out, classes[slugs.index(held_out)])
            assert written.startswith('"') or written == "word"
    for name, slug in zip(classes, slugs, strict=True):
        line = refused(experiment(name), tmp_path)
        assert line and f'"{name}"' in line
        assert plan(experiment(f'"{name}"'), tmp_path).experiment.held_out["x"] == [slug]


@pytest.mark.parametrize("written", VALUES)
def test_a_digit_is_the_class_of_its_name(written, tmp_path):
    text = f"experiment: trial\ndatasets: {{mnist5k: }}\nheld_out: [{written}]\nmethods: {{mean_image: }}\n"
    if refused(text, tmp_path) is None:
        assert plan(text, tmp_path).experiment.held_out["mnist5k"] == [written.strip('"')]
    else:
        assert written not in [*map(str, range(10)), '"1"']


@pytest.mark.parametrize("written", VALUES)
def test_a_number_of_a_class_is_decimal(written, tmp_path):
    text = f"experiment: trial\ndatasets: {{fashion_mnist: }}\nheld_out: [{written}]\nmethods: {{mean_image: }}\n"
    if refused(text, tmp_path) is None:
        names = plan(text, tmp_path).experiment.datasets["fashion_mnist"].classes
        assert plan(text, tmp_path).experiment.held_out["fashion_mnist"] == [names[int(written.strip('"'))]]
        assert written.strip('"') in [*map(str, range(10))]


@pytest.mark.parametrize("written", [text for text in VALUES if text not in ("yes", "on", "true", "True")])
def test_only_a_truth_value_is_true(written, tmp_path):
    text = form("top", f"drop_duplicates: {written}")
    if refused(text, tmp_path) is None:
        assert written in ("no", "off", "false", "NO", "Off")
        assert plan(text, tmp_path).settings.drop_duplicates is False


@pytest.mark.parametrize(
    ("place", "bound"),
    [
        ("top:threads", 1024),
        ("top:jobs_per_gpu", 1024),
        ("top:bootstrap", 10**6),
        ("top:save_every", 10**6),
        ("top:memory", 2**30),
        ("top:test_items", 10**9),
        ("top:train_items", 10**9),
        ("top:labelled_anomalies", 10**9),
        ("top:split_seed", 2**32 - 1),
        ("seeds", 2**32 - 1),
        ("model:width", 10**7),
        ("model:batch", 10**7),
        ("model:steps", 10**7),
        ("model:latent", 10**7),
        ("model:critic_steps", 10**7),
    ],
)
def test_what_nothing_can_serve_is_refused_with_the_bound(place, bound, tmp_path):
    where, _, key = place.partition(":")
    for value in (bound + 1, 2**53 + 1, 10**12, 10**30, f"{bound + 1}.0", "1e400", ".inf", "-.inf", ".nan"):
        text = form(where, f"{key}: {value}") if key else form("top", f"seeds: [{value}]")
        line = refused(text, tmp_path)
        assert line is not None, value
        assert str(value).lstrip("-.").startswith(("inf", "nan")) or str(bound) in line
    if not key:
        assert plan(form("top", f"seeds: [{bound}]"), tmp_path).settings.seeds == [bound]


@pytest.mark.parametrize("size", ["width: 200000", "batch: 10000000, width: 1000", "latent: 10000000, width: 5000"])
def test_networks_that_no_machine_can_hold_are_refused_with_the_bound(size, tmp_path):
    line = refused(form("model", size), tmp_path)
    assert line and "trial, models.wgan: its networks need about" in line and "more than 64 TiB are refused" in line


@pytest.mark.parametrize("settings", [["threads={}"], ["models={{wgan: {{threads: {}}}}}"], ["seeds=[{}]"]])
@pytest.mark.parametrize("value", ["1_0", "010", "yes", "True", "0x10", "1e400", "12:30", "inf"])
def test_the_command_line_reads_numbers_alike(settings, value, tmp_path):
    assert refused(form("top", ""), tmp_path, *(each.format(value) for each in settings))


def test_an_integer_beyond_double_precision_stays_exact_or_is_refused(tmp_path):
    for text in ("4294967294.0", "4.294967294e9", '"4294967294"'):
        assert plan(form("top", f"seeds: [{text}]"), tmp_path).settings.seeds == [4294967294]
