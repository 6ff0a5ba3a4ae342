"""The tables that a reader opens: AUROC and AUPRC by class and method, runtime by method, and metrics.json for DVC."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from heldout.evaluation.evaluate import FAILED
from heldout.evaluation.inputs import Inputs, write_table
from heldout.evaluation.metrics import METRICS
from heldout.planning.tasks import OWN_TEST_SHARE
from heldout.storage.files import write_json, write_text
from heldout.storage.manifests import anomalies_trained_on
from heldout.storage.sidecars import TIMING, sidecar

TABLES = {"auroc": "auroc", "auprc": "average_precision"}
MEANINGS = {
    "auroc": "AUROC, higher is better, 0.5 is chance",
    "auprc": "AUPRC as average precision, anomalies being what is looked for; higher is better, a random score has the "
    "share of `anomalies`. The area by trapezoids, which EGBAD's code reports, is in metrics.csv",
}
SPREAD = ("train_s", "score_ms_per_image")  # whose spread over seeds is shown
RUNTIMES = (
    "train_s",
    "train_images_per_s",
    "train_peak_memory_mib",
    "fit_s",
    "score_ms_per_image",
    "score_peak_memory_mib",
)


def write_tables(inputs_path: Path) -> None:
    """Write `auroc.*`, `auprc.*`, `runtime.*` and `metrics.json` from `metrics.csv` and the timing files."""
    inputs = Inputs.read(inputs_path)
    metrics = inputs.table("metrics.csv")
    metrics[FAILED] = metrics[FAILED].fillna("")
    for name, metric in TABLES.items():
        write_table(inputs.tables / f"{name}.csv", numbers(metrics, metric))
        table, caption = shown(metrics, metric), captions(inputs, metrics, name)
        write_text(inputs.tables / f"{name}.md", "\n".join([markdown(table), *(f"{line}\n" for line in caption)]))
        write_text(inputs.tables / f"{name}.tex", latex(table, " ".join(caption)))
    runtime = runtime_numbers(inputs)
    write_table(inputs.tables / "runtime.csv", runtime)
    write_text(inputs.tables / "runtime.md", markdown(runtime_shown(runtime)) + "\n" + RUNTIME_CAPTION + "\n")
    write_json(inputs.folder / "metrics.json", _nested(metrics))


RUNTIME_CAPTION = (
    "Means over classes and seeds, failed runs apart; `seed sd` is the standard deviation between seeds of the mean "
    "over classes. Training on the given device and threads; images/s counts real "
    "training images drawn. Scoring after a warm-up, model loading apart; `fit s` for methods that are fitted in the "
    "score step. Peak memory is the whole process's (on a GPU, the GPU's)."
)


PROTOCOLS = {
    "one_class": "`held out` is the normal class under the protocol `one_class`: models are trained on it alone, every "
    "other class is anomalous.",
    "leave_one_out": "`held out` is the anomalous class under the protocol `leave_one_out`: models are trained on all "
    "other classes.",
    "folders": "`held out` is a group of anomalies under the protocol `folders`, tested against all normal images; "
    "`overall` is all groups together. Models are trained on the classes that the dataset calls normal.",
}
VARIANTS = {
    "official": "{part}",
    "all_anomalies": "the normal images of {part}, and every anomalous image (variant all_anomalies)",
    "pooled": "a random fifth of all normal images and every anomalous image, all parts joined (variant pooled)",
}


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


def shown(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the same as text: `0.932 [0.90, 0.96]`, or `failed: reason`."""
    rows = []
    several = metrics.dataset.nunique() > 1
    for (dataset, held_out), group in metrics.groupby(["dataset", "held_out"], sort=False):
        row = {"dataset": dataset} if several else {}
        row["held out"] = held_out
        row["anomalies"] = f"{group.share_of_anomalies.iloc[0]:.0%}"
        rows.append(row | {method["method"]: _cell(method, metric) for _, method in group.iterrows()})
    return pd.DataFrame(rows)


def captions(inputs: Inputs, metrics: pd.DataFrame, name: str) -> list[str]:
    """Return what the table `name` cannot say in its cells."""
    lines = [
        f"{MEANINGS[name]}; in brackets the 95 % interval of a stratified bootstrap over test "
        f"images ({inputs.content.bootstrap} resamples). {PROTOCOLS[inputs.runs[0].protocol]}"
    ]
    if told := [f"`{name}`" for name in inputs.methods if inputs.methods[name].supervision]:
        lines.append(f"{', '.join(told)}: told the labels of some anomalies, from outside the test part.")
    floors = [name for name, entry in inputs.methods.items() if entry.method == "mean_image"]
    if floors:
        lines.append(f"The floor is `{floors[0]}`, the squared distance to the mean training image.")
    seeds = metrics.seeds.max()
    alone = "" if seeds > 1 else " One training per class: no spread between seeds is known."
    lines.append(f"Seeds: {seeds}.{alone}")
    for dataset in metrics.dataset.unique():
        runs = [run for run in inputs.runs if run.dataset == dataset]
        manifest = inputs.manifests[runs[0].split]
        part = "its official test part"
        if not manifest["official_test_part"]:
            part = (
                f"a stratified {OWN_TEST_SHARE:.0%} of each class, set aside by us since it has no official test part"
            )
        part = VARIANTS[manifest["variant"]].format(part=part)
        chosen = "all of"
        if manifest["test_items"]:
            chosen = f"{len(manifest['test'])} random images (stratified by class) of"
        said = [f"{dataset}: tested on {chosen} {part}; split_seed {manifest['split_seed']}."]
        if manifest["train_items"]:
            said.append(f"Trained on {len(manifest['train'])} random images, stratified by class.")
        if manifest["contamination"]:
            bad = anomalies_trained_on(manifest) / len(manifest["train"])
            said.append(f"Of the training images, {bad:.1%} are anomalies, and nothing says which.")
        splits = [inputs.manifests[split] for split in {run.split for run in runs}]
        counts = ("test_images_also_in_training", "dropped_duplicates")
        twice, dropped = (max(split[count] for split in splits) for count in counts)
        most = "At most " if len(splits) > 1 else ""
        if twice:
            said.append(f"{most}{twice} test images equal one that was known before, pixel for pixel.")
        if dropped:
            said.append(f"{most}{dropped} test images were left out, since they equal one that was known before.")
        lines.append(" ".join(said))
    return lines


def runtime_numbers(inputs: Inputs) -> pd.DataFrame:
    """Return a row per dataset and method: its training's and its scoring's time and memory, means over runs."""
    rows = []
    for run in inputs.runs:
        for name, entry in inputs.methods.items():
            training = _timing(run.checkpoints[entry.model]) if entry.model else {}
            scoring = _timing(run.scores[name])
            if training.get("failed") or scoring["failed"]:
                continue  # it stopped early: its time says nothing
            rows.append(
                {
                    "dataset": run.dataset,
                    "seed": run.seed,
                    "method": name,
                    "model": entry.model or "",
                    "device": scoring["device"],
                    "threads": scoring["threads"],
                    "train_s": training.get("wall_s"),
                    "train_images_per_s": training.get("images_per_s"),
                    "train_peak_memory_mib": training.get("peak_memory_mib"),
                    "fit_s": scoring["fit_s"],
                    "score_ms_per_image": scoring["ms_per_image"],
                    "score_peak_memory_mib": scoring["peak_memory_mib"],
                }
            )
    keys = ["dataset", "method", "model", "device", "threads"]
    table = pd.DataFrame(rows, columns=[*keys, "seed", *RUNTIMES])
    table = table.astype(dict.fromkeys(RUNTIMES, float))  # a column of None alone has no type yet
    by_seed = table.groupby([*keys, "seed"], sort=False)[list(SPREAD)].mean()
    spread = by_seed.groupby(keys, sort=False).std().rename(columns=lambda name: f"{name}_seed_sd")
    return table.drop(columns="seed").groupby(keys, sort=False).mean().join(spread).reset_index()


def runtime_shown(runtime: pd.DataFrame) -> pd.DataFrame:
    """Return the runtime table as text, three significant digits."""
    text = runtime.drop(columns=[] if runtime.dataset.nunique() > 1 else ["dataset"])
    spreads = [f"{name}_seed_sd" for name in SPREAD]
    text = text.drop(columns=[name for name in spreads if text[name].isna().all()])  # with one seed there is none
    for column in text.select_dtypes("number"):
        text[column] = [_three_digits(value) for value in text[column]]
    return text.rename(columns=lambda name: name.replace("_", " "))


def markdown(table: pd.DataFrame) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def latex(table: pd.DataFrame, caption: str) -> str:
    """Return a `table` for `\\input`, with booktabs' rules."""
    special = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "`": ""}

    def escaped(text: object) -> str:
        return "".join(special.get(letter, letter) for letter in str(text))

    def line(cells: Any) -> str:
        return " & ".join(map(escaped, cells)) + r" \\"

    begin = rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}"
    body = [line(row) for row in table.itertuples(index=False)]
    rows = [begin, r"\toprule", line(table.columns), r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return "\n".join([r"\begin{table}", *rows, rf"\caption{{{escaped(caption)}}}", r"\end{table}"]) + "\n"


def _cell(method: pd.Series, metric: str) -> str:
    if method[FAILED]:
        return f"failed: {method[FAILED]}"
    return f"{method[metric]:.3f} [{method[f'{metric}_low']:.2f}, {method[f'{metric}_high']:.2f}]"


def _three_digits(value: float) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _timing(path: str) -> dict[str, Any]:
    return json.loads(sidecar(path, TIMING).read_text(encoding="utf-8"))


def _nested(metrics: pd.DataFrame) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for row in metrics.to_dict("records"):
        values = {metric: None if pd.isna(row[metric]) else row[metric] for metric in METRICS}
        nested.setdefault(row["dataset"], {}).setdefault(row["held_out"], {})[row["method"]] = values
    return nested
