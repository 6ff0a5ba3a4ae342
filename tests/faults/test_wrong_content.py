"""Files that are well formed and say something else: scores, labels, images, weights and saved states."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from heldout import cli
from heldout.errors import HeldoutError
from heldout.evaluation.inputs import Inputs
from heldout.project.verify import verify
from heldout.stages.resume import Saves
from heldout.storage.hashing import file_sha256
from heldout.storage.score_files import METADATA_KEY, Scores, read_scores, write_scores
from heldout.storage.sealed import write_sealed
from heldout.storage.sidecars import SPEC, read_spec, sidecar
from tests.faults.finished import Finished, flipped, rewritten, typed

Columns = dict[str, list]


def columns_of(change: Callable[[Columns], Columns | None]) -> Callable[[Path], None]:
    """A damage that rewrites a score file with other columns."""

    def damage(path: Path) -> None:
        scores = read_scores(path)
        columns = change(scores.columns)
        write_scores(path, Scores(scores.spec, scores.columns if columns is None else columns, None))

    return damage


def cell(column: str, value: object, row: int = -1) -> Callable[[Path], None]:
    return columns_of(lambda columns: columns[column].__setitem__(row, value))


def rows(choose: Callable[[list[int]], list[int]]) -> Callable[[Path], None]:
    """A damage that chooses other rows."""

    def change(columns: Columns) -> Columns:
        chosen = choose(list(range(len(columns["index"]))))
        return {name: [values[row] for row in chosen] for name, values in columns.items()}

    return columns_of(change)


def typed_as_text(path: Path) -> None:
    table = pyarrow.parquet.read_table(path)
    place = table.column_names.index("score")
    text = pyarrow.array([str(value) for value in table["score"].to_pylist()])
    pyarrow.parquet.write_table(table.set_column(place, "score", text), path)


def without_metadata(path: Path) -> None:
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.replace_schema_metadata({METADATA_KEY: b"{}"}), path)


SCORES: dict[str, Callable[[Path], None]] = {
    "negated": columns_of(lambda columns: columns | {"score": [-score for score in columns["score"]]}),
    "not a number": cell("score", float("nan")),
    "infinite": cell("score", float("inf")),
    "one score changed": cell("score", 123.0),
    "a row is missing": rows(lambda all_rows: all_rows[:-1]),
    "every test row is missing": rows(lambda all_rows: all_rows[:2]),
    "a row twice": rows(lambda all_rows: [*all_rows, all_rows[-1]]),
    "a row twice, another missing": rows(lambda all_rows: [*all_rows[:-1], all_rows[-2]]),
    "a row of no image": cell("index", 999_999),
    "another part": cell("part", "train"),
    "a part that is none": cell("part", "tset"),
    "scores of neighbours swapped": columns_of(
        lambda columns: columns | {"score": [*columns["score"][:-2], columns["score"][-1], columns["score"][-2]]}
    ),
    "no score column": columns_of(lambda columns: {name: columns[name] for name in ("index", "part")}),
    "no index column": columns_of(lambda columns: {name: columns[name] for name in ("part", "score")}),
    "scores as text": typed_as_text,
    "no spec inside": without_metadata,
    "no rows": rows(lambda all_rows: []),
    "of another method": lambda path: shutil.copy(next(path.parent.glob("fanogan-*.parquet")), path),
}
READERS_OF_SCORES: dict[str, Callable[[Finished], list[str]]] = {
    "evaluate": lambda finished: finished.report("evaluate"),
    "combine": lambda finished: finished.command(finished.run.scorings["both"]),
    "gallery": lambda finished: finished.report("figure_gallery"),
    "manifest": lambda finished: finished.report("manifest"),
}


@pytest.mark.parametrize("damage", SCORES)
@pytest.mark.parametrize("reader", READERS_OF_SCORES)
def test_wrong_scores_are_refused(finished, reader, damage):
    path = Path(finished.run.scorings["discriminator"].path)
    SCORES[damage](path)
    with pytest.raises(HeldoutError, match=f"{path.name}.* is damaged|is damaged.*{path.name}"):
        typed(READERS_OF_SCORES[reader](finished))
    assert verify({}).damaged.keys() == {path}


# What a faulty method could write, with the right hash: the images of the split once each, and finite numbers.
UNTOLD = ("negated", "one score changed", "scores of neighbours swapped", "no spec inside")


@pytest.mark.parametrize("damage", [name for name in SCORES if name not in UNTOLD])
def test_scores_that_are_none_of_the_split_are_refused_even_with_their_hash(finished, damage):
    path = Path(finished.run.scorings["discriminator"].path)
    SCORES[damage](path)
    write_sealed(sidecar(path, SPEC), content_of(path) | {"sha256": file_sha256(path)})
    for reader in ("evaluate", "combine"):
        if reader == "combine" and damage in ("not a number", "infinite", "no score column"):
            continue  # a recorded failure, or a component that is named
        with pytest.raises(HeldoutError):
            typed(READERS_OF_SCORES[reader](finished))


def content_of(path: Path) -> dict:
    """What a spec file says, without the hash of itself."""
    found = read_spec(path)
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def test_rows_in_another_order_give_the_same_numbers(finished):
    """Only the index counts; of a file that a method wrote so."""
    tables = Path(finished.plan.folder, "tables")
    before = (tables / "metrics.csv").read_bytes()
    for step in finished.run.scorings.values():
        path = Path(step.path)
        rows(lambda all_rows: all_rows[::-1])(path)
        write_sealed(sidecar(path, SPEC), content_of(path) | {"sha256": file_sha256(path), "joined_sha256": {}})
    typed(finished.report("evaluate"))
    assert (tables / "metrics.csv").read_bytes() == before


def classes_changed(change: Callable[[list[str]], list[str]]) -> Callable[[str], str]:
    def damage(text: str) -> str:
        head, *lines = text.splitlines()
        fields = [line.split(",") for line in lines]
        changed = change([each[1] for each in fields])
        return "\n".join([head, *(",".join([f[0], c, *f[2:]]) for f, c in zip(fields, changed, strict=True))]) + "\n"

    return damage


LABELS: dict[str, Callable[[str], str]] = {
    "two swapped": classes_changed(lambda classes: [classes[-1], *classes[1:-1], classes[0]]),
    "permuted": classes_changed(lambda classes: np.random.default_rng(0).permutation(classes).tolist()),
    "reversed": classes_changed(lambda classes: classes[::-1]),
    "another class": classes_changed(lambda classes: ["fox", *classes[1:]]),
    "one class only": classes_changed(lambda classes: ["cat"] * len(classes)),
    "a row is missing": lambda text: "".join(text.splitlines(keepends=True)[:-1]),
    "a row more": lambda text: text + text.splitlines(keepends=True)[-1],
    "rows in another order": lambda text: "".join([text.splitlines(True)[0], *text.splitlines(True)[:0:-1]]),
    "another heading": lambda text: text.replace("class", "klass", 1),
    "no heading": lambda text: text.partition("\n")[2],
    "semicolons": lambda text: text.replace(",", ";"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n"),
    "official parts": lambda text: text.replace(",0,", ",1,"),
}


def result_of(command: list[str], path: str | Path) -> bytes:
    typed(command)
    return Path(path).read_bytes()


@pytest.mark.parametrize("damage", LABELS)
@pytest.mark.parametrize("moment", ["before the split", "after the split", "after it, with their hash"])
def test_other_labels_are_refused_and_never_reach_a_training(finished, moment, damage):
    run = finished.run
    labels = Path(run.prepared.labels)
    before = [Path(step.path).read_bytes() for step in (run.trainings["dcgan"], run.scorings["mean_image"])]
    changed = LABELS[damage](labels.read_text())
    assert changed != labels.read_text()
    labels.write_text(changed, newline="")
    if moment == "before the split":
        readers = [finished.command(run.split)]
    else:
        readers = [finished.report("evaluate"), finished.report("figure_gallery"), finished.report("manifest")]
        assert result_of(finished.command(run.trainings["dcgan"]), run.trainings["dcgan"].path) == before[0]
        assert result_of(finished.command(run.scorings["mean_image"]), run.scorings["mean_image"].path) == before[1]
    if moment == "after it, with their hash":  # as if they had been prepared anew
        spec = content_of(Path(run.prepared.path))
        spec["files"] = {"labels.csv": file_sha256(labels)}
        write_sealed(sidecar(run.prepared.path, SPEC), spec)
    else:
        assert labels in verify({}).damaged
    for command in readers:
        with pytest.raises(HeldoutError, match="labels.csv (is damaged|differs from the labels)"):
            typed(command)


def saved(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        images = np.load(path)
        with open(path, "wb") as file:
            np.save(file, change(images), allow_pickle=True)

    return damage


def archived(path: Path) -> None:
    images = np.load(path)
    with open(path, "wb") as file:
        np.savez(file, images=images)


IMAGES: dict[str, Callable[[Path], None]] = {
    "one image less": saved(lambda images: images[:-1]),
    "half of the images": saved(lambda images: images[: len(images) // 2]),
    "no images": saved(lambda images: images[:0]),
    "in another order": saved(lambda images: images[::-1]),
    "inverted": saved(lambda images: 255 - images),
    "as floats": saved(lambda images: images.astype(np.float32)),
    "as signed numbers": saved(lambda images: images.view(np.int8)),
    "without channels": saved(lambda images: images[:, 0]),
    "in colour": saved(lambda images: images.repeat(3, axis=1)),
    "cropped": saved(lambda images: images[..., :31]),
    "smaller": saved(lambda images: images[..., :16, :16]),
    "column by column": saved(np.asfortranarray),
    "as objects": saved(lambda images: images.astype(object)),
    "a number": saved(lambda images: np.uint8(7)),
    "an archive": archived,
}


@pytest.mark.parametrize("damage", IMAGES)
@pytest.mark.parametrize("reader", ["split", "train", "score", "samples"])
def test_other_images_are_refused(finished, reader, damage):
    run = finished.run
    path = Path(run.prepared.path)
    IMAGES[damage](path)
    commands = {
        "split": finished.command(run.split),
        "train": finished.command(run.trainings["dcgan"]),
        "score": finished.command(run.scorings["mean_image"]),
        "samples": finished.report("figure_samples"),
    }
    written = {
        "train": Path(run.trainings["dcgan"].path),
        "samples": Path(finished.plan.folder, "figures/samples-dcgan.svg"),
    }
    before = {name: made.read_bytes() for name, made in written.items()}
    try:
        typed(commands[reader])
        # The images that are trained on come first.
        assert damage in ("one image less", "half of the images") and written[reader].read_bytes() == before[reader]
    except HeldoutError as error:
        assert re.search(rf"{path.name}.*delete .*{path.stem}\.\* and run again", str(error))
    assert path in verify({}).damaged


SAVED: dict[str, Callable[[dict], object]] = {
    "no training": lambda state: state.pop("training"),
    "no history": lambda state: state.pop("history"),
    "a list": lambda state: [state],
    "nothing": lambda state: None,
    "weights of another shape": lambda state: state["training"].update(
        {key: torch.zeros(3) if torch.is_tensor(value) else value for key, value in state["training"].items()}
    ),
    "no weights": lambda state: state["training"].clear(),
    "a history of other columns": lambda state: state.update(history={"when": 3}),
}


@pytest.mark.parametrize("damage", SAVED)
def test_a_state_of_another_shape_is_one_line_or_a_fresh_start(finished, monkeypatch, damage):
    """With its hash and its identity right, as nothing but a fault of the program could write it."""
    step = finished.run.trainings["dcgan"]
    expected = Path(step.path).read_bytes()
    kept: list[tuple[Saves, dict]] = []
    save = Saves.save
    monkeypatch.setattr(Saves, "is_due", True)
    monkeypatch.setattr(Saves, "save", lambda saves, state: kept.append((saves, state)) or save(saves, state))
    monkeypatch.setattr(Saves, "drop", lambda saves: None)
    typed(finished.command(step))
    saves, state = kept[0]
    changed = SAVED[damage](state)
    save(saves, changed if isinstance(changed, list) or damage == "nothing" else state)
    monkeypatch.setattr(Saves, "is_due", False)
    try:
        assert result_of(finished.command(step), step.path) == expected
    except HeldoutError as error:
        assert f"{saves.path} is not a state of this work" in str(error)


def test_a_flipped_bit_in_a_saved_state_gives_the_same_weights(finished, monkeypatch, capsys):
    step = finished.run.trainings["dcgan"]
    expected = Path(step.path).read_bytes()
    monkeypatch.setattr(Saves, "is_due", True)
    monkeypatch.setattr(Saves, "drop", lambda saves: None)
    typed(finished.command(step))
    (path,) = Path("results/.resume/saves").glob("dcgan-*.pt")
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
    monkeypatch.setattr(Saves, "is_due", False)
    assert result_of(finished.command(step), step.path) == expected
    assert "it is damaged" in capsys.readouterr().err


VERIFIED: dict[str, Callable[[Finished], Path]] = {
    "a checkpoint": lambda finished: Path(finished.run.trainings["dcgan"].path),
    "a score": lambda finished: Path(finished.run.scorings["both"].path),
    "a timing": lambda finished: sidecar(finished.run.trainings["dcgan"].path, "timing.json"),
    "a history": lambda finished: sidecar(finished.run.trainings["dcgan"].path, "history.csv"),
    "labels": lambda finished: Path(finished.run.prepared.labels),
    "images": lambda finished: Path(finished.run.prepared.path),
    "a split": lambda finished: Path(finished.run.split.path),
    "metrics": lambda finished: Path(finished.plan.folder, "tables", "metrics.csv"),
    "a table": lambda finished: Path(finished.plan.folder, "tables", "auroc.md"),
    "a figure": lambda finished: Path(finished.plan.folder, "figures", "roc-cat.svg"),
    "a picture": lambda finished: Path(finished.plan.folder, "figures", "roc-cat.png"),
    "the list of inputs": lambda finished: finished.inputs,
    "the list of hashes": lambda finished: Path(finished.plan.folder, "manifest.json"),
    "metrics.json": lambda finished: Path(finished.plan.folder, "metrics.json"),
    "a record": lambda finished: next(Path(finished.plan.folder, "records").glob("tables-*.json")),
}


@pytest.mark.parametrize("file", VERIFIED)
def test_verify_names_each_damaged_file_and_nothing_else(finished, file):
    assert not verify({}).damaged
    path = VERIFIED[file](finished)
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 3))
    assert list(verify({}).damaged) == [path]


def test_on_the_command_line_damage_is_one_line_and_status_1(finished, monkeypatch, capsys):
    rewritten(sidecar(finished.run.scorings["both"].path, SPEC), lambda content: content.update(failed="no"))
    monkeypatch.setattr(sys, "argv", ["heldout", *finished.report("evaluate")])
    monkeypatch.setattr(cli.origin, "switch", lambda: None)
    with pytest.raises(SystemExit) as end:
        cli.main()
    message = end.value.code if isinstance(end.value.code, str) else capsys.readouterr().err.strip()
    assert message.startswith("heldout: error: ") and "\n" not in message and "is damaged" in message


def test_files_of_an_earlier_version_are_read(finished):
    """Their spec files have neither the hashes of what stands beside them nor their own."""
    tables = Path(finished.plan.folder, "tables")
    before = (tables / "metrics.csv").read_bytes()
    for spec in Path("results").rglob("*.spec.json"):
        rewritten(spec, lambda content: {key: content[key] for key in content if key not in ("files", "record_sha256")})
    for command in ("evaluate", "tables", "figure_samples", "manifest"):
        typed(finished.report(command))
    assert (tables / "metrics.csv").read_bytes() == before and not verify({}).damaged
    rewritten(sidecar(finished.run.scorings["both"].path, SPEC), lambda content: content.update(manifestt=""))
    with pytest.raises(HeldoutError, match=r"spec.json is damaged"):
        typed(finished.report("evaluate"))


def test_what_a_power_cut_may_leave_is_synced_before_it_gets_its_name(finished, monkeypatch):
    """Each file, and then the folder with its new name."""
    synced: list[str] = []
    renamed: list[str] = []

    def sync(opened: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{opened}").readlink()))

    replace = os.replace

    def rename(source: object, target: object) -> None:
        assert str(Path(str(source)).resolve()) in synced, f"{target} got its name before its content was safe"
        replace(source, target)
        renamed.append(str(Path(str(target)).resolve()))

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    typed(finished.command(finished.run.scorings["mean_image"]))
    assert len(renamed) == 3 and all(str(Path(path).parent) in synced for path in renamed)
    assert Inputs.read(finished.inputs)
