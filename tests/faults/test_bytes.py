"""Every byte of a small file flipped in turn: each reader gives the undamaged content, or one line."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from heldout.errors import HeldoutError
from heldout.planning.inputs_json import write as planned_report
from heldout.stages.resume import Saves
from heldout.storage.manifests import PARTS, read_manifest
from heldout.storage.prepared import part_of
from heldout.storage.sidecars import read_own
from tests.conftest import train_spec
from tests.faults.finished import flipped
from tests.faults.readers import NAMES, of_small_files

MASKS = (0x01, 0x20, 0xFF)  # one bit; another case, or a space; every bit


def flips(path: Path, read: Callable[[], object], step: int = 1) -> Counter[str]:
    """Flip each byte of a file in turn, and count how the reader ends; the file is whole again at the end."""
    content, expected = path.read_bytes(), read()
    ends: Counter[str] = Counter()
    with open(path, "r+b") as file:
        for at in range(0, len(content), step):
            file.seek(at)
            file.write(flipped(content[at : at + 1], 0, MASKS[at % len(MASKS)]))
            file.flush()
            try:
                assert read() == expected, f"byte {at} of {path}: another content"
                ends["undamaged content"] += 1
            except HeldoutError as error:
                assert "\n" not in str(error) and str(error)
                ends["one line"] += 1
            file.seek(at)
            file.write(content[at : at + 1])
            file.flush()
    assert read() == expected
    return ends


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_byte_is_one_line_or_changes_nothing(finished, name):
    readers = of_small_files(finished)
    assert set(readers) == set(NAMES)
    path, read = readers[name]
    ends = flips(path, read)
    print(f"{name}: {sum(ends.values())} bytes, {dict(ends)}")
    assert ends["one line"] > 0.9 * sum(ends.values())


def test_flipped_bytes_of_a_larger_checkpoint_and_of_images(finished):
    run = finished.run
    training, images = run.trainings["dcgan"], Path(run.prepared.path)
    manifest = read_manifest(Path(run.split.path), run.split.digest)
    known = sorted(index for part in PARTS for index in manifest.part(part))
    ends = flips(Path(training.path), lambda: len(read_own(Path(training.path))), step=23)
    print(f"checkpoint: {dict(ends)}")
    assert ends.keys() == {"one line"}
    ends = flips(images, lambda: [part_of(images, manifest, part).tolist() for part in PARTS], step=97)
    print(f"images: {dict(ends)}")  # those of no part may be damaged
    assert ends["one line"] >= 0.9 * sum(ends.values()) * len(known) / len(np.load(images))


def test_every_flipped_byte_of_a_saved_state_is_a_fresh_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    saves = Saves(train_spec("dcgan"), {}, every_s=1)
    saves.save({"weights": torch.arange(3.0)})
    content = saves.path.read_bytes()
    for at in range(len(content)):
        saves.path.write_bytes(flipped(content, at, MASKS[at % len(MASKS)]))
        assert saves.load() is None
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(content) and all("it is damaged" in line for line in lines)
    print(f"saved state: {len(content)} bytes, each a fresh start in one line")
    saves.path.write_bytes(content)
    assert saves.load()["weights"].tolist() == [0, 1, 2]


def test_a_damaged_cache_of_hashes_is_made_again(finished):
    """Of the images of a user's folder, and of the list of inputs: planning comes to the same plan."""
    expected = planned_report(finished.plan)
    kept = list(Path("data/.resume").glob("md5-*.json"))
    kept += [Path(expected.inputs), Path(expected.record)]
    for path in kept:
        content = path.read_bytes()
        for at in range(0, len(content), 37):
            path.write_bytes(flipped(content, at))
            assert type(finished)().run.prepared.path == finished.run.prepared.path
            assert planned_report(finished.plan) == expected
        path.write_bytes(content)
