"""From score files to tables, on scores whose metrics are known."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from heldout.errors import HeldoutError
from heldout.evaluation.evaluate import evaluate
from heldout.evaluation.inputs import Inputs
from heldout.evaluation.results_manifest import write_manifest
from heldout.evaluation.tables import latex, markdown, write_tables
from heldout.planning.split_settings import SplitSettings
from heldout.storage.files import write_json
from heldout.storage.hashing import file_sha256
from heldout.storage.labels import Labels, write_labels
from heldout.storage.manifests import manifest_sha256
from heldout.storage.score_files import Scores, read_scores, write_scores
from heldout.storage.sealed import write_sealed
from heldout.storage.sidecars import SPEC, TIMING, sidecar
from tests.conftest import record, score_spec

CLASSES = ["a", "b"]
COUNT = 80
METHODS = {
    "floor": {"method": "mean_image", "model": None, "supervision": "", "family": "floor"},
    "adgan": {"method": "adgan", "model": "gan", "supervision": "", "family": "search"},
}


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Two classes, two seeds, two methods; returns the inputs' path and the scores and labels behind it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % 2
    write_labels(tmp_path / "labels.csv", Labels(np.array(CLASSES)[labels], np.ones(COUNT, bool)))
    (tmp_path / "images.npy").touch()
    runs, known = [], {}
    for number, held_out in enumerate(CLASSES):
        is_anomalous = labels != number
        split = tmp_path / f"{held_out}.json"
        manifest = {
            "digest": held_out,
            "counts": {"test": {"a": COUNT // 2, "b": COUNT // 2}},
            "test_images_also_in_training": 0,
            "test": list(range(COUNT)),
            "normal": [held_out],
            "anomalous": [name for name in CLASSES if name != held_out],
            "official_test_part": False,
            "dropped_duplicates": 0,
            "content": {"test": held_out},
            "train": list(range(COUNT)),
            **SplitSettings(test_items=COUNT).model_dump(),
            "calibration": [],
            "labelled_anomalies": [],
            "dataset": "toy",
            "protocol": "one_class",
            "held_out": held_out,
            "prepared": "0" * 12,
            "share_of_anomalies": 0.5,
            "train_classes": [0] * COUNT,
        }
        write_json(split, manifest | {"sha256": manifest_sha256(manifest)})
        for seed in (0, 1):
            checkpoint = tmp_path / f"gan-{held_out}-{seed}.safetensors"
            checkpoint.write_text(f"{held_out}{seed}")
            shared = {"device": "cpu", "threads": 1, "failed": None}
            training = {"wall_s": 10.0 + seed, "images_per_s": 100.0, "steps": 9, "peak_memory_mib": 500.0}
            write_json(sidecar(checkpoint, TIMING), training | shared)
            record(checkpoint, files={TIMING: sidecar(checkpoint, TIMING)})
            scores = {}
            for name in METHODS:
                values = rng.normal(size=COUNT) + is_anomalous
                known[held_out, seed, name] = (is_anomalous, values)
                spec = score_spec(name, seed, held_out)
                path = tmp_path / f"{name}-{spec.digest}.parquet"
                columns = {
                    # A calibration image first, and the test images in another order: only the index counts.
                    "index": [999, *reversed(range(COUNT))],
                    "part": ["calibration", *["test"] * COUNT],
                    "score": [99.0, *reversed(values.tolist())],
                }
                write_scores(path, Scores(spec, columns, None))
                scoring = {"fit_s": None, "ms_per_image": 2.0, "images": COUNT, "peak_memory_mib": 600.0}
                write_json(sidecar(path, TIMING), scoring | shared)
                record(path, spec.content, {TIMING: sidecar(path, TIMING)}, checkpoint_sha256=file_sha256(checkpoint))
                scores[name] = str(path)
            runs.append(
                {
                    "dataset": "toy",
                    "protocol": "one_class",
                    "held_out": held_out,
                    "seed": seed,
                    "images": str(tmp_path / "images.npy"),
                    "labels": str(tmp_path / "labels.csv"),
                    "split": str(split),
                    "split_digest": held_out,
                    "checkpoints": {"gan": str(checkpoint)},
                    "scores": scores,
                }
            )
    content = {"experiment": "trial", "bootstrap": 300, "methods": METHODS, "runs": runs}
    path = tmp_path / "results" / "trial" / "inputs.json"
    results = [f"results/trial/{name}" for name in ("tables/auroc.csv", "tables/auroc.md", "metrics.json")]
    write_sealed(path, content | {"source": {}, "figures": {}, "results": results})
    return path, known


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip("| ").split("|")]


def metrics_of(path):
    return pd.read_csv(path.parent / "tables" / "metrics.csv").set_index(["held_out", "method"])


def test_metrics_are_means_over_seeds_and_classes_of_what_scikit_learn_says(experiment):
    path, known = experiment
    evaluate(path)
    metrics = metrics_of(path)
    auroc = {key: roc_auc_score(*values) for key, values in known.items()}
    for held_out in CLASSES:
        of_seeds = [auroc[held_out, seed, "adgan"] for seed in (0, 1)]
        assert metrics.auroc[held_out, "adgan"] == pytest.approx(np.mean(of_seeds), abs=1e-6)
        assert metrics.auroc_seed_sd[held_out, "adgan"] == pytest.approx(np.std(of_seeds, ddof=1), rel=1e-4)
    everything = [auroc[held_out, seed, "adgan"] for held_out in CLASSES for seed in (0, 1)]
    assert metrics.auroc["mean", "adgan"] == pytest.approx(np.mean(everything), abs=1e-6)
    assert (metrics.auroc_low < metrics.auroc).all() and (metrics.auroc < metrics.auroc_high).all()
    assert (metrics.share_of_anomalies == 0.5).all() and (metrics.seeds == 2).all()
    mean_width = metrics.auroc_high["mean", "adgan"] - metrics.auroc_low["mean", "adgan"]
    assert mean_width < metrics.auroc_high["a", "adgan"] - metrics.auroc_low["a", "adgan"]


def test_auprc_is_average_precision_beside_the_share_of_anomalies(experiment):
    path, known = experiment
    evaluate(path)
    write_tables(path)
    table = pd.read_csv(path.parent / "tables" / "auprc.csv").set_index("held_out")
    expected = np.mean([average_precision_score(*known["a", seed, "adgan"]) for seed in (0, 1)])
    assert table.adgan["a"] == pytest.approx(expected, abs=1e-6)
    text = (path.parent / "tables" / "auprc.md").read_text()
    assert cells(text.splitlines()[2])[2].startswith(f"{table.floor['a']:.3f} [")
    assert "random scores have the share of `anomalies`" in text


def test_captions_say_what_was_tested_and_how_many_training_images_are_anomalies(experiment):
    path, _ = experiment
    for run in json.loads(path.read_text())["runs"]:
        split = Path(run["split"])
        manifest = {key: value for key, value in json.loads(split.read_text()).items() if key != "sha256"}
        counts = manifest["counts"] | {"train": {name: 78 if name == run["held_out"] else 2 for name in CLASSES}}
        manifest |= {"variant": "pooled", "contamination": 0.02, "counts": counts, "test_images_also_in_training": 3}
        write_json(split, manifest | {"sha256": manifest_sha256(manifest)})
    evaluate(path)
    write_tables(path)
    text = (path.parent / "tables" / "auroc.md").read_text()
    chosen = "80 random images (stratified by class) of a random fifth of all normal images and every anomalous image"
    assert chosen in text
    assert "stratified 20%" not in text and "2.5% of the training images are unlabelled anomalies." in text
    assert "At most 3 test images are pixel-identical to a training, calibration or labelled image." in text


def as_folders(path, classes):
    """Make the experiment one of the protocol `folders`: class `a` is normal, each other class a group of anomalies."""
    content = json.loads(path.read_text())
    runs = [run for run in content["runs"] if run["held_out"] == "a"]
    write_labels(Path(runs[0]["labels"]), Labels(np.array(list("abc"))[classes], np.ones(COUNT, bool)))
    split = Path(runs[0]["split"])
    manifest = json.loads(split.read_text())
    del manifest["sha256"]
    counts = dict(zip("abc", np.bincount(classes).tolist(), strict=True))
    manifest |= {"anomalous": ["b", "c"], "counts": {"test": counts}, "held_out": "all", "protocol": "folders"}
    write_json(split, manifest | {"sha256": manifest_sha256(manifest)})
    write_sealed(path, content | {"runs": [run | {"held_out": "all", "protocol": "folders"} for run in runs]})


def test_folders_has_a_row_per_group_of_anomalies_against_all_normal_images_and_one_for_all(experiment):
    path, known = experiment
    classes = np.array([0, 1, 0, 1, 0, 2, 0, 1] * (COUNT // 8))  # where the fixture has `b`, now `b` or `c`
    as_folders(path, classes)
    evaluate(path)
    metrics = metrics_of(path)
    assert list(dict.fromkeys(held_out for held_out, _ in metrics.index)) == ["b", "c", "overall"]
    for row, group in {"b": [1], "c": [2], "overall": [1, 2]}.items():
        counted = np.isin(classes, [0, *group])
        expected = [
            roc_auc_score(np.isin(classes, group)[counted], known["a", seed, "adgan"][1][counted]) for seed in (0, 1)
        ]
        assert metrics.auroc[row, "adgan"] == pytest.approx(np.mean(expected), abs=1e-6)
        assert metrics.share_of_anomalies[row, "adgan"] == pytest.approx(
            np.isin(classes, group)[counted].mean(), abs=1e-6
        )
    assert metrics.anomalous["c", "adgan"] == "c" and metrics.anomalous["overall", "adgan"] == "b c"
    write_tables(path)
    text = (path.parent / "tables" / "auroc.md").read_text()
    assert "a group of anomalies (protocol `folders`)" in text
    # Ten images are of group c; b and overall have 30 and 40.
    assert "Intervals of fewer than 20 normal or anomalous test images are unreliable: c." in text


def test_the_same_scores_give_the_same_bytes(experiment):
    path, _ = experiment
    contents = []
    for _ in range(2):
        evaluate(path)
        contents.append(
            [(path.parent / "tables" / f"{name}.csv").read_bytes() for name in ("metrics", "roc", "histograms")]
        )
    assert contents[0] == contents[1]


def test_a_single_seed_leaves_the_spread_between_seeds_empty(experiment):
    path, _ = experiment
    content = json.loads(path.read_text())
    content["runs"] = [run for run in content["runs"] if run["seed"] == 0]
    write_sealed(path, content)
    evaluate(path)
    assert metrics_of(path).auroc_seed_sd.isna().all()


def test_histograms_count_every_test_image_once(experiment):
    path, _ = experiment
    evaluate(path)
    histograms = pd.read_csv(path.parent / "tables" / "histograms.csv")
    counts = histograms.groupby(["held_out", "method"])[["normal", "anomalous"]].sum()
    assert (counts == COUNT).all().all()  # half of the images, two seeds


def test_tables_show_the_floor_first_a_mean_row_and_what_was_tested(experiment):
    path, known = experiment
    evaluate(path)
    write_tables(path)
    lines = (path.parent / "tables" / "auroc.md").read_text().splitlines()
    assert cells(lines[0]) == ["held out", "anomalies", "floor", "adgan"]
    for line, name in ((lines[2], "a"), (lines[4], "mean")):
        held_out, share, number, _ = cells(line)
        assert (held_out, share) == (name, "50%") and number.startswith("0.")
    text = " ".join(lines)
    for words in (
        "80 random images (stratified by class) of a stratified 20% of each class, set aside since it has no "
        "official test part;",
        "split_seed 0",
        "Seeds: 2.",
        "The floor is `floor`",
        "in brackets the 95 % interval over test images. `held out`",
    ):
        assert words in text
    numbers = pd.read_csv(path.parent / "tables" / "auroc.csv").set_index("held_out")
    assert numbers.adgan["a"] == pytest.approx(
        np.mean([roc_auc_score(*known["a", s, "adgan"]) for s in (0, 1)]), abs=1e-6
    )
    nested = json.loads((path.parent / "metrics.json").read_text())
    assert nested["toy"]["a"]["adgan"]["auroc"] == pytest.approx(numbers.adgan["a"])
    runtime = pd.read_csv(path.parent / "tables" / "runtime.csv").set_index("method")
    assert runtime.train_s["adgan"] == 10.5 and np.isnan(runtime.train_s["floor"])
    assert runtime.score_ms_per_image["adgan"] == 2.0
    # Seeds 0 and 1 took 10 and 11 seconds for each class.
    assert runtime.train_s_seed_sd["adgan"] == pytest.approx(0.5**0.5, rel=1e-5)
    assert runtime.score_ms_per_image_seed_sd["adgan"] == 0


def made_with(path: str, backend: str | None = None, ms_per_image: float | None = None, **ran: object) -> None:
    """Record another origin beside a checkpoint or score file; a search on another machine takes another time."""
    spec, timing = (json.loads(sidecar(path, kind).read_text()) for kind in (SPEC, TIMING))
    backends = {"backends": {"joint search": backend}} if backend else {}
    before = spec.get("ran", {"versions": {"torch": "2.14.1"}, "commit": "a" * 40, "processor": "X, AVX512"})
    processor = {"processor": ran["processor"]} if "processor" in ran else {}
    slower = {"ms_per_image": ms_per_image} if ms_per_image else {}
    write_json(sidecar(path, TIMING), timing | backends | processor | slower)
    rerecord(path, ran=before | backends | ran)


def test_runtimes_of_two_backends_and_two_processors_have_rows_of_their_own(experiment):
    path, _ = experiment
    for run in json.loads(path.read_text())["runs"]:
        is_other = run["held_out"] == "b"
        made_with(run["scores"]["adgan"], *(("torch", 120.0) if is_other else ("native", 10.9)))
        made_with(run["checkpoints"]["gan"], processor="Y, AVX2" if is_other else "X, AVX512")
    evaluate(path)
    write_tables(path)
    runtime = pd.read_csv(path.parent / "tables" / "runtime.csv", keep_default_na=False)
    rows = runtime[runtime.method == "adgan"][["train_device", "backend", "runs", "score_ms_per_image"]]
    assert rows.values.tolist() == [["X, AVX512", "native", 2, 10.9], ["Y, AVX2", "torch", 2, 120.0]]
    text = (path.parent / "tables" / "runtime.md").read_text()
    assert "backend of the joint search: native, but torch for adgan (b seed 0, b seed 1)." in text
    assert "66" not in text.partition("Means")[0]


def test_notes_and_the_manifest_say_what_is_mixed_and_in_which_rows(experiment):
    path, _ = experiment
    runs = json.loads(path.read_text())["runs"]
    files = [file for run in runs for file in (*run["scores"].values(), *run["checkpoints"].values())]
    for file in files:
        made_with(file)
    evaluate(path)
    write_tables(path)
    assert "Mixed origins" not in (path.parent / "tables" / "auroc.md").read_text()
    other = runs[1]["scores"]["adgan"]
    made_with(other, versions={"torch": "2.9.0"}, commit="a" * 40 + "-dirty")
    for run in runs:
        made_with(run["checkpoints"]["gan"], processor=None)  # as an earlier version wrote it
    write_tables(path)
    write_manifest(path)
    for name in ("auroc.md", "auprc.md", "auroc.tex", "runtime.md"):
        text = (path.parent / "tables" / name).read_text()
        assert "Mixed origins. torch: 2.14.1, but 2.9.0 for adgan (a seed 1)." in text
        assert "commit: aaaaaaaaaaaa, but aaaaaaaaaaaa with changes for adgan (a seed 1)." in text
        assert "processor: X, AVX512, but not recorded for the model gan." in text
    mixed = json.loads((path.parent / "manifest.json").read_text())["mixed_origins"]
    assert mixed["torch"]["2.9.0"] == [other] and len(mixed["torch"]["2.14.1"]) == len(files) - 1
    assert mixed.keys() == {"torch", "commit", "processor"}


def fail(path: str) -> None:
    """Replace a score file by the record of a failure."""
    reason = "dcgan: the generator loss is nan at step 3"
    spec = read_scores(path).spec
    write_scores(path, Scores(spec, {"index": [], "part": [], "score": []}, reason))
    timing = json.loads(sidecar(path, TIMING).read_text())
    write_json(sidecar(path, TIMING), timing | {"failed": reason, "ms_per_image": None})
    rerecord(path, failed=reason)


def rerecord(path: str | Path, **facts: object) -> None:
    """Write the spec file beside a file anew, with other facts, and with the hashes of what is there now."""
    before = json.loads(sidecar(path, SPEC).read_text())
    facts = {key: before[key] for key in ("checkpoint_sha256", "joined_sha256") if key in before} | facts
    record(path, facts.pop("spec", before["spec"]), {TIMING: sidecar(path, TIMING)}, **facts)


def test_where_everything_has_failed_the_tables_say_so(experiment):
    path, _ = experiment
    for run in json.loads(path.read_text())["runs"]:
        for scores in run["scores"].values():
            fail(scores)
    evaluate(path)
    write_tables(path)
    assert (path.parent / "tables" / "auroc.md").read_text().count("failed: a: dcgan") == 4
    assert len(pd.read_csv(path.parent / "tables" / "runtime.csv")) == 0
    for name in ("roc", "histograms"):
        assert len(pd.read_csv(path.parent / "tables" / f"{name}.csv")) == 0


def test_runtimes_leave_failed_runs_out(experiment):
    path, _ = experiment
    run = json.loads(path.read_text())["runs"][0]
    timing = json.loads(sidecar(run["checkpoints"]["gan"], TIMING).read_text())
    write_json(sidecar(run["checkpoints"]["gan"], TIMING), timing | {"failed": "nan", "wall_s": 0.1})
    rerecord(run["checkpoints"]["gan"])
    evaluate(path)
    write_tables(path)
    runtime = pd.read_csv(path.parent / "tables" / "runtime.csv").set_index("method")
    assert runtime.train_s["adgan"] == pytest.approx((10 + 11 + 11) / 3, rel=1e-5)


@pytest.mark.parametrize("change", ["labels", "manifest", "scores"])
def test_what_is_not_what_was_planned_is_refused(experiment, change):
    path, _ = experiment
    run = json.loads(path.read_text())["runs"][0]
    if change == "labels":
        labels = Path(run["labels"])
        labels.write_text(labels.read_text().replace("0,a,", "0,b,", 1))
    if change == "manifest":
        split = Path(run["split"])
        manifest = json.loads(split.read_text())
        write_json(split, manifest | {"normal": ["b"]})
    if change == "scores":
        other = json.loads(path.read_text())["runs"][1]["scores"]["floor"]
        shutil.copy(sidecar(other, SPEC), sidecar(run["scores"]["floor"], SPEC))
        shutil.copy(other, run["scores"]["floor"])
    complaint = {
        "labels": "differs from the labels that the split used",
        "manifest": "was altered",
        "scores": "contains other scores",
    }
    with pytest.raises(HeldoutError, match=complaint[change]):
        evaluate(path)


def test_a_failed_method_is_a_row_that_says_so_and_the_others_stand(experiment):
    path, known = experiment
    broken = json.loads(path.read_text())["runs"][0]["scores"]["adgan"]
    fail(broken)
    evaluate(path)
    write_tables(path)
    metrics = metrics_of(path)
    assert "the generator loss is nan at step 3 (seed 0)" in metrics.failed["a", "adgan"]
    assert np.isnan(metrics.auroc["a", "adgan"]) and np.isnan(metrics.auroc["mean", "adgan"])
    assert metrics.auroc["b", "adgan"] > 0.5 and metrics.auroc["mean", "floor"] > 0.5
    text = (path.parent / "tables" / "auroc.md").read_text()
    assert "| failed: a: dcgan: the generator loss is nan at step 3 (seed 0) |" in text


def test_scores_made_from_another_checkpoint_are_refused(experiment):
    path, _ = experiment
    run = json.loads(path.read_text())["runs"][0]
    rerecord(run["scores"]["adgan"], checkpoint_sha256="0" * 64)
    with pytest.raises(HeldoutError, match=r"adgan-\w+.parquet was made from another .*gan-a-0.safetensors"):
        evaluate(path)


def test_joined_scores_whose_part_was_scored_anew_are_refused(experiment):
    path, _ = experiment
    scores = json.loads(path.read_text())["runs"][0]["scores"]
    rerecord(scores["adgan"], joined_sha256={Path(scores["floor"]).name: "0" * 64})
    with pytest.raises(HeldoutError, match=r"adgan-\w+.parquet was made from another .*floor-\w+.parquet"):
        evaluate(path)


def test_a_model_whose_parent_was_trained_anew_is_refused(experiment):
    path, _ = experiment
    content = json.loads(path.read_text())
    run = content["runs"][0]
    parent = path.parent / "dcgan-0123456789ab.safetensors"
    parent.touch()
    record(parent)
    run["checkpoints"]["parent"] = str(parent)
    write_sealed(path, content)
    rerecord(run["checkpoints"]["gan"], spec={"parent": {"digest": "0123456789ab"}}, parent_sha256="0" * 64)
    with pytest.raises(HeldoutError, match=r"gan-a-0.safetensors was made from another .*dcgan-0123456789ab"):
        evaluate(path)


def test_tables_say_which_way_round_the_protocol_is_and_who_is_told_labels(experiment):
    path, _ = experiment
    content = json.loads(path.read_text())
    content["methods"]["adgan"]["supervision"] = "semi-supervised"
    for run in content["runs"]:
        run["protocol"] = "leave_one_out"
    write_sealed(path, content)
    evaluate(path)
    write_tables(path)
    text = (path.parent / "tables" / "auroc.md").read_text()
    assert "`held out` is the anomalous class (protocol `leave_one_out`)" in text
    assert "`adgan`: fitted with the labels of some anomalies, none of them in the test part." in text


def test_the_manifest_names_every_file_with_its_hash(experiment):
    path, _ = experiment
    evaluate(path)
    write_tables(path)
    write_manifest(path)
    manifest = json.loads((path.parent / "manifest.json").read_text())
    inputs = Inputs.read(path)
    for run in inputs.runs:
        for file in (run.split, run.labels, *run.checkpoints.values(), *run.scores.values()):
            assert len(manifest["made_from"][file]) == 64
    table = path.parent / "tables" / "auroc.csv"
    assert manifest["results"]["results/trial/tables/auroc.csv"] == file_sha256(table)
    assert set(manifest["results"]) == set(inputs.content.results)


def test_tables_as_text():
    table = pd.DataFrame({"held out": ["t_shirt"], "adgan_k1": ["50%"]})
    header, rule, row = markdown(table).splitlines()
    assert (cells(header), cells(row)) == (["held out", "adgan_k1"], ["t_shirt", "50%"])
    assert set(rule) == {"|", "-"}
    text = latex(table, "AUROC of `adgan_k1`, 95 %")
    rows = [[cell.strip() for cell in line.removesuffix(r"\\").split("&")] for line in text.splitlines() if "&" in line]
    assert rows == [["held out", r"adgan\_k1"], [r"t\_shirt", r"50\%"]]
    assert r"\begin{tabular}{lr}" in text and r"\toprule" in text
    assert r"\caption{AUROC of adgan\_k1, 95 \%}" in text
