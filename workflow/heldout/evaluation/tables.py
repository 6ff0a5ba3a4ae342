"""Formatted tables: AUROC and AUPRC by class and method, runtime by method; and metrics.json, which DVC compares."""

from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import LATEX_ESCAPE_RULES, tabulate

from heldout.evaluation.captions import RUNTIME, caption
from heldout.evaluation.evaluate import FAILED
from heldout.evaluation.inputs import Inputs, write_table
from heldout.evaluation.metrics import METRICS
from heldout.evaluation.origins import note
from heldout.storage.files import write_json, write_text
from heldout.storage.timings import ScoreTiming, TrainTiming

TABLES = {"auroc": "auroc", "auprc": "average_precision"}
SPREAD = ("train_s", "score_ms_per_image")  # the columns with a standard deviation over seeds
RUNTIMES = (
    "train_s",
    "train_images_per_s",
    "train_peak_memory_mib",
    "fit_s",
    "score_ms_per_image",
    "score_peak_memory_mib",
)


def write_tables(inputs_path: Path, record: Path | None = None) -> None:
    """Write `auroc.*`, `auprc.*`, `runtime.*` and `metrics.json` from `metrics.csv` and the timing files.

    Args:
        inputs_path: the experiment's `inputs.json`.
        record: the path of the step's record; None: named by the inputs.
    """
    inputs = Inputs.read(inputs_path)
    metrics = inputs.table("metrics.csv")
    metrics[FAILED] = metrics[FAILED].fillna("")
    runtime, notes = runtime_numbers(inputs), [f"{line}\n" for line in (RUNTIME, *note(inputs))]
    with inputs.recorded("tables", record, [inputs.tables / "metrics.csv"]) as written:
        for name, metric in TABLES.items():
            table, lines = as_text(metrics, metric), caption(inputs, metrics, name)
            csv, md, tex = (inputs.tables / f"{name}.{form}" for form in ("csv", "md", "tex"))
            write_table(csv, numbers(metrics, metric))
            write_text(md, "\n".join([markdown(table), *(f"{line}\n" for line in lines)]))
            write_text(tex, latex(table, " ".join(lines)))
            written += [csv, md, tex]
        csv, md, nested = inputs.tables / "runtime.csv", inputs.tables / "runtime.md", inputs.folder / "metrics.json"
        write_table(csv, runtime)
        write_text(md, "\n".join([markdown(runtime_as_text(runtime)), *notes]))
        write_json(nested, _nested(metrics))
        written += [csv, md, nested]


def numbers(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a row per class and a mean row, and for every method a metric, its interval and spread over seeds."""
    rows = []
    for (dataset, held_out), group in metrics.groupby(["dataset", "held_out"], sort=False):
        first = group.iloc[0]
        row = {"dataset": dataset, "held_out": held_out}
        row |= {name: first[name] for name in ("normal", "anomalous", "test_images", "share_of_anomalies")}
        row["seeds"] = group.seeds.max()
        for _, method in group.iterrows():
            endings = ("", "_low", "_high", "_seed_sd")
            row |= {f"{method['method']}{ending}": method[f"{metric}{ending}"] for ending in endings}
            if method[FAILED]:
                row[f"{method['method']}_failed"] = method[FAILED]
        rows.append(row)
    return pd.DataFrame(rows)


def as_text(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the table of a metric with a text per method: `0.932 [0.90, 0.96]`, or `failed: reason`."""
    rows: list[dict[str, str]] = []
    several = metrics.dataset.nunique() > 1
    for (dataset, held_out), group in metrics.groupby(["dataset", "held_out"], sort=False):
        row = {"dataset": dataset} if several else {}
        row["held out"] = held_out
        row["anomalies"] = f"{group.share_of_anomalies.iloc[0]:.0%}"
        rows.append(row | {method["method"]: _cell(method, metric) for _, method in group.iterrows()})
    return pd.DataFrame(rows)


def runtime_numbers(inputs: Inputs) -> pd.DataFrame:
    """Return time and memory of training and scoring, means over runs on the same hardware with the same backend.

    There is a row per dataset, method, machine of the scoring, machine of the training, backend and number of threads:
    a mean over two kinds of machines is no runtime of either.
    """
    rows = []
    for run in inputs.runs:
        for name, entry in inputs.methods.items():
            training = TrainTiming.beside(run.checkpoints[entry.model]) if entry.model else None
            scoring = ScoreTiming.beside(run.scores[name])
            if (training and training.failed) or scoring.failed:
                continue  # it stopped early, so its time is not comparable
            rows.append(
                {
                    "dataset": run.dataset,
                    "seed": run.seed,
                    "method": name,
                    "model": entry.model or "",
                    "device": scoring.machine,
                    "train_device": training.machine if training else "",
                    "backend": ", ".join(scoring.backends.values()),
                    "threads": scoring.threads,
                    "train_s": training and training.wall_s,
                    "train_images_per_s": training and training.images_per_s,
                    "train_peak_memory_mib": training and training.peak_memory_mib,
                    "fit_s": scoring.fit_s,
                    "score_ms_per_image": scoring.ms_per_image,
                    "score_peak_memory_mib": scoring.peak_memory_mib,
                }
            )
    keys = ["dataset", "method", "model", "device", "train_device", "backend", "threads"]
    table = pd.DataFrame(rows, columns=[*keys, "seed", *RUNTIMES])
    table = table.astype(dict.fromkeys(RUNTIMES, float))  # a column of None alone has no type yet
    by_seed = table.groupby([*keys, "seed"], sort=False)[list(SPREAD)].mean()
    spread = by_seed.groupby(keys, sort=False).std().rename(columns=lambda name: f"{name}_seed_sd")
    groups = table.drop(columns="seed").groupby(keys, sort=False)
    return groups.size().rename("runs").to_frame().join(groups.mean()).join(spread).reset_index()


def runtime_as_text(runtime: pd.DataFrame) -> pd.DataFrame:
    """Return the runtime table as text, three significant digits."""
    text = runtime.drop(columns=[] if runtime.dataset.nunique() > 1 else ["dataset"])
    spreads = [f"{name}_seed_sd" for name in SPREAD]
    text = text.drop(columns=[name for name in spreads if text[name].isna().all()])  # with one seed there is none
    if (text.train_device.isin(["", *text.device.unique()])).all() and text.device.nunique() <= 1:
        text = text.drop(columns="train_device")
    if not text.backend.any():
        text = text.drop(columns="backend")
    for column in text.select_dtypes("number"):
        text[column] = [_three_digits(value) for value in text[column]]
    return text.rename(columns=lambda name: name.replace("_", " "))


def markdown(table: pd.DataFrame) -> str:
    return tabulate(table.values.tolist(), list(table.columns), tablefmt="github", disable_numparse=True) + "\n"


def latex(table: pd.DataFrame, caption: str) -> str:
    """Return a `table` for `\\input`; it needs the package booktabs."""
    columns = ["left"] + ["right"] * (len(table.columns) - 1)
    cells = table.values.tolist()
    tabular = tabulate(
        cells,
        list(table.columns),
        tablefmt="latex_booktabs",
        disable_numparse=True,
        colalign=columns if cells else None,
    )
    escaped = caption.replace("`", "").translate(str.maketrans(LATEX_ESCAPE_RULES))
    return "\n".join([r"\begin{table}", tabular, rf"\caption{{{escaped}}}", r"\end{table}"]) + "\n"


def _cell(method: pd.Series, metric: str) -> str:
    if method[FAILED]:
        return f"failed: {method[FAILED]}"
    return f"{method[metric]:.3f} [{method[f'{metric}_low']:.2f}, {method[f'{metric}_high']:.2f}]"


def _three_digits(value: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _nested(metrics: pd.DataFrame) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for row in metrics.to_dict("records"):
        values = {metric: None if pd.isna(row[metric]) else row[metric] for metric in METRICS}
        nested.setdefault(row["dataset"], {}).setdefault(row["held_out"], {})[row["method"]] = values
    return nested
