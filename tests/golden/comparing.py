"""Compare what two checkouts made of an experiment, bit for bit. Digests, in names and in content, are left out."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet

TABLES = ("metrics", "roc", "histograms", "auroc", "auprc")  # runtime.* and timeline.csv say how long things took
DIGESTS = ("digest", "prepared", "sha256")  # keys of a split manifest that stand for names
FORMATS = {"F64": "<f8", "F32": "<f4", "I64": "<i8"}  # of tensors; others are compared as bytes
PARTS = {".safetensors": "tensors", ".parquet": "score columns"}  # what is counted besides the files


class Comparison:
    """What has been compared, how often, and a line for each difference.

    Attributes:
        counts: files by kind, and tensors, score columns and the values in both.
        differences: of values, or of what is there.
        remarks: files with the same values in other bytes.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.differences: list[str] = []
        self.remarks: list[str] = []
        self._seen: set[tuple[Path, Path]] = set()  # entries share files, and so do experiments

    def add(self, before: Path, after: Path, experiment: str) -> None:
        """Compare an experiment's results in two folders, matched by the names of tasks and entries."""
        old, new = _files(before, experiment), _files(after, experiment)
        for kind, name in _one_sided(old, new):
            self.differences.append(f"{experiment} {name}: {kind} only on one side")
        for kind, name in sorted(old.keys() & new.keys()):
            pair = before / old[kind, name], after / new[kind, name]
            if pair not in self._seen:
                self._seen.add(pair)
                self.counts[kind] += 1
                self._compare(f"{experiment} {name}: {kind}", *pair)

    def _compare(self, what: str, before: Path, after: Path) -> None:
        old, new = _content(before), _content(after)
        found = [f"{what}, {name} only on one side" for name in _one_sided(old, new)]
        for name in sorted(old.keys() & new.keys()):
            if difference := _difference(old[name], new[name]):
                found.append(f"{what}, {name}: {difference}")
        self.differences += found
        if before.suffix in PARTS:  # whose bytes hold digests
            self.counts[PARTS[before.suffix]] += len(old)
            self.counts["values in them"] += sum(array.size for array in old.values())
        elif not found and before.suffix != ".json" and before.read_bytes() != after.read_bytes():
            self.remarks.append(f"{what}: the same values in another layout or other words")


def _files(folder: Path, experiment: str) -> dict[tuple[str, str], str]:
    """Return the files of an experiment, relative to the folder, by kind and by task and entry."""
    results = folder / "results" / experiment
    found = {}
    for run in json.loads((results / "inputs.json").read_text(encoding="utf-8"))["runs"]:
        task = f"{run['dataset']}/{run['protocol']}/{run['held_out']}/seed{run['seed']}"
        found |= {("prepared arrays", task): run["images"], ("labels", task): run["labels"]}
        found["splits", task] = run["split"]
        for entry, path in run["checkpoints"].items():
            found["checkpoints", f"{task} {entry}"] = path
            found["loss histories", f"{task} {entry}"] = path.replace(".safetensors", ".history.csv")
        found |= {("score files", f"{task} {entry}"): path for entry, path in run["scores"].items()}
    for path in [*(results / "tables").iterdir(), results / "metrics.json"]:
        if path.stem in TABLES:
            found["tables", path.name] = str(path.relative_to(folder))
    return found


def _content(path: Path) -> dict[str, np.ndarray]:
    """Return what a file says, by tensor, column or key."""
    if path.suffix == ".safetensors":
        data = path.read_bytes()
        begins = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:begins])
        return {
            name: np.frombuffer(
                data[begins + tensor["data_offsets"][0] : begins + tensor["data_offsets"][1]],
                FORMATS.get(tensor["dtype"], np.uint8),
            ).reshape(tensor["shape"] if tensor["dtype"] in FORMATS else -1)
            for name, tensor in header.items()
            if name != "__metadata__"
        }
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        return {name: np.asarray(table[name].to_pylist()) for name in table.column_names}
    if path.suffix == ".npy":
        return {"array": np.load(path)}
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        content = {key: value for key, value in json.loads(text).items() if key not in DIGESTS}
        return {key: np.asarray(json.dumps(value, sort_keys=True)) for key, value in content.items()}
    if path.suffix == ".csv":
        header, *rows = csv.reader(text.splitlines())
        return {name: np.asarray([row[number] for row in rows]) for number, name in enumerate(header)}
    rows = [line for line in text.splitlines() if line.startswith("|") or line.endswith(r"\\")]  # Markdown, LaTeX
    return {"numbers": np.asarray(re.findall(r"\d+\.?\d*", " ".join(rows)))}


def _difference(old: np.ndarray, new: np.ndarray) -> str | None:
    """Say how two arrays differ, or return None where every bit is the same."""
    is_text = old.dtype.kind == new.dtype.kind == "U"
    if old.shape != new.shape or (old.dtype != new.dtype and not is_text):
        return f"{old.dtype} {old.shape} before, {new.dtype} {new.shape} after"
    old, new = old.ravel(), new.ravel()
    # By bytes, since NaN is not equal to itself and -0.0 is equal to 0.0.
    differs = old != new if is_text else (_bytes(old) != _bytes(new)).any(axis=1)
    if not differs.any():
        return None
    first = differs.argmax()
    return f"{differs.sum()} of {old.size} values, the first: {old[first]} before, {new[first]} after"


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), values.itemsize)


def _one_sided(old: dict, new: dict) -> list:
    return sorted(old.keys() ^ new.keys())
