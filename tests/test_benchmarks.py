"""The benchmarks' command line; the measurements are run by hand."""

import json
import sys
from types import SimpleNamespace

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import _measuring


@pytest.fixture
def measured(monkeypatch) -> list[str]:
    """The names of the benchmarks that the command measures; nothing is timed and nothing written."""
    names: list[str] = []

    def stand_in(module: str) -> SimpleNamespace:
        return SimpleNamespace(measure=lambda rounds: names.append(module.rpartition(".")[2]))

    monkeypatch.setattr(command, "importlib", SimpleNamespace(import_module=stand_in))
    for name in ("write", "text", "draw_ratios"):
        monkeypatch.setattr(_measuring, name, lambda *_: "")
    return names


@pytest.mark.parametrize(
    "named", [[], ["coverage"], ["joint_search"], ["planning"], ["half_precision", "encoders"]], ids=str
)
def test_the_benchmarks_that_are_named_are_measured_and_without_a_name_all(named, measured, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["python -m tests.benchmarks", *named])
    command.main()
    assert measured == (named or command.NAMES) and len(command.NAMES) > 5


def test_a_name_that_no_benchmark_has_is_refused_in_one_line(measured, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["python -m tests.benchmarks", "trainings"])
    with pytest.raises(SystemExit):
        command.main()
    *_, line = capsys.readouterr().err.splitlines()
    assert "no benchmark 'trainings'; there are" in line and not measured


def test_growths_and_ratios_are_drawn_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    growth = _measuring.Growth(
        "seconds", "images", {"one": [(1, 0.5), (2, 1.0)], "other": [(1, 0.7), (2, 0.9)]}, goal=2
    )
    row = _measuring.Row("a search", "literal", "ours", "image", 2, {"literal": [1.0, 1.2], "ours": [0.5, 0.4]})
    _measuring.write("search", [growth, row])
    _measuring.draw_ratios()
    kept = tmp_path / _measuring.FOLDER
    assert [entry["what"] for entry in json.loads((kept / "search.json").read_text())["results"]] == [
        "seconds",
        "a search",
    ]
    assert "other" in (kept / "search.svg").read_text() and "a search: ours" in (kept / "ratios.svg").read_text()
