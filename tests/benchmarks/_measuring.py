"""What the benchmarks share: contenders in turn, the ratio of each round, the machine, tables, figures, a file."""

import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from heldout.figures import _style
from heldout.storage import files

FOLDER = Path("results/performance")
VERSIONS = ("torch", "numpy", "scikit-learn", "snakemake")


@dataclass
class Row:
    """One comparison: how many times as fast as a baseline, round by round.

    Attributes:
        what: what is computed, with its size.
        baseline, ours: names of the two.
        unit: what the seconds are for, such as `image`.
        goal: the ratio aimed at; none where there is no baseline to beat.
        seconds: of each, per unit and round.
        errors: what was checked, by name: the largest deviation, or whether it holds.
    """

    what: str
    baseline: str
    ours: str
    unit: str
    goal: float | None
    seconds: dict[str, list[float]]
    errors: dict[str, float] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        return [slow / fast for slow, fast in zip(self.seconds[self.baseline], self.seconds[self.ours], strict=True)]


@dataclass
class Growth:
    """How a cost grows with the size of something.

    Attributes:
        what: the cost, with its unit.
        along: what grows, with its unit.
        series: by name, pairs of size and cost.
        goal: the most that it may be; none where there is no such bound.
    """

    what: str
    along: str
    series: dict[str, list[tuple[float, float]]]
    goal: float | None = None


@dataclass
class Table:
    """What was measured that is neither a ratio nor a growth: words and figures as they are shown."""

    title: str
    header: list[str]
    rows: list[list[str]]


def in_turn(
    contenders: dict[str, tuple[Callable[[], Any], float]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Run each contender once untimed, then all of them in turn in every round; return seconds per unit.

    In turn, since a shared machine is now fast and now slow: the ratio of a round is what counts.

    Args:
        contenders: by name, what to call and how many units of work a call does.
        rounds: how often.
        clock: gives the seconds until now.
    """
    for call, _ in contenders.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (call, units) in contenders.items():
            began = clock()
            call()
            seconds[name].append((clock() - began) / units)
    return seconds


def processor_time_of_children() -> float:
    """Return the seconds of a core that finished child processes took: other work on the machine counts less."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def checked(found: torch.Tensor, expected: torch.Tensor) -> dict[str, float]:
    """Return how far a search is from the literal one: losses `(starts,)`, and their mean, the image's score.

    Adam's first step is sign-like, so that single starts part by rounding alone; see docs/performance.md.

    Raises:
        AssertionError: further than rounding explains.
    """
    errors = {
        "median error of a start": ((found - expected).abs() / expected.abs()).median().item(),
        "error of the score": abs((found.mean() / expected.mean()).item() - 1),
    }
    assert errors["median error of a start"] <= 1e-6 and errors["error of the score"] <= 1e-3, errors
    return errors


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def text(results: list[Row | Growth | Table]) -> str:
    """Return Markdown tables: of rows medians, the ratio with its range over rounds, its goal; of growths the costs."""
    rows = [result for result in results if isinstance(result, Row)]
    parts = [_markdown(["what", "baseline", "ours", "ratio", "goal"], [_cells(row) for row in rows])] if rows else []
    errors = [f"- {row.what}: {row.ours}: {error} {value:.2g}" for row in rows for error, value in row.errors.items()]
    parts += ["\n".join(errors)] if errors else []
    for result in results:
        if isinstance(result, Table):
            parts.append(f"{result.title}\n\n{_markdown(result.header, result.rows)}")
        if isinstance(result, Growth):
            sizes = sorted({size for pairs in result.series.values() for size, _ in pairs})
            costs = {name: dict(pairs) for name, pairs in result.series.items()}
            cells = [[name, *(f"{of[size]:.3g}" if size in of else "" for size in sizes)] for name, of in costs.items()]
            title = f"{result.what}, by {result.along}" + (f"; goal: {result.goal:g}" if result.goal else "")
            parts.append(f"{title}\n\n{_markdown(['', *(f'{size:g}' for size in sizes)], cells)}")
    return "\n\n".join(parts)


def _cells(row: Row) -> list[str]:
    slow, fast = (_time(statistics.median(row.seconds[name])) for name in (row.baseline, row.ours))
    ratio = spread(row.ratios)
    digits = 1 if ratio["median"] >= 1 else 2
    shown = "{median:.{n}f} ({lowest:.{n}f} to {highest:.{n}f})".format(**ratio, n=digits)
    return [row.what, f"{row.baseline}: {slow} per {row.unit}", f"{row.ours}: {fast}", shown, str(row.goal or "")]


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write(name: str, results: list[Row | Growth | Table]) -> None:
    """Keep a benchmark's results below FOLDER, and draw them."""
    content = [
        asdict(result) | ({"ratio": spread(result.ratios)} if isinstance(result, Row) else {}) for result in results
    ]
    files.write_json(FOLDER / f"{name}.json", {"results": content, "machine": machine()})
    growths = [result for result in results if isinstance(result, Growth)]
    if growths:
        _draw_growths(growths, FOLDER / f"{name}.svg")


def draw_ratios() -> None:
    """Draw the ratios of all results below FOLDER, with their range over rounds and their goals."""
    rows = []
    for path in sorted(FOLDER.glob("*.json")):
        for result in json.loads(path.read_text(encoding="utf-8"))["results"]:
            if "ratio" in result:
                rows.append(Row(**{name: value for name, value in result.items() if name != "ratio"}))
    with _style.settings():
        figure = Figure(figsize=(7, 0.32 * len(rows) + 0.9))
        axes = figure.subplots()
        for place, row in enumerate(rows):
            ratio = spread(row.ratios)
            axes.barh(place, ratio["median"], color="#5b8db8", height=0.6)
            axes.plot([ratio["lowest"], ratio["highest"]], [place, place], color="black", lw=1)
            if row.goal:
                axes.plot([row.goal, row.goal], [place - 0.4, place + 0.4], color="#d55e00", lw=2)
        axes.set_yticks(range(len(rows)), [f"{row.what}: {row.ours}" for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("times as fast as the baseline; black: range over rounds, orange: goal")
        _save(figure, FOLDER / "ratios.svg")


def _draw_growths(growths: list[Growth], path: Path) -> None:
    columns = min(len(growths), 3)
    lines = -(-len(growths) // columns)
    with _style.settings():
        figure = Figure(figsize=(3.2 * columns, 2.6 * lines), layout="constrained")
        all_axes = figure.subplots(lines, columns, squeeze=False)
        for axes in all_axes.flat[len(growths) :]:
            axes.remove()
        for axes, growth in zip(all_axes.flat, growths, strict=False):
            for (name, pairs), (marker, dashes) in zip(growth.series.items(), _style.LOOKS, strict=False):
                axes.plot(*zip(*pairs, strict=True), marker=marker, ms=3, ls=dashes, label=name)
            if growth.goal:
                axes.axhline(growth.goal, color="#d55e00", lw=1)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            sizes = sorted({size for pairs in growth.series.values() for size, _ in pairs})
            axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
            axes.set_xlabel(growth.along)
            axes.set_title(growth.what, fontsize=9)
        if len(growths[0].series) > 1:  # the same in all of them
            lines_and_names = all_axes[0, 0].get_legend_handles_labels()
            figure.legend(*lines_and_names, loc="outside lower center", ncols=len(growths[0].series), frameon=False)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole_file(path) as temporary:
        figure.savefig(temporary, format="svg", metadata=_style.METADATA["svg"])


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
