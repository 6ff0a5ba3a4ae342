"""The finished experiment, made once, and a copy of it for each test."""

import os
import shutil
from pathlib import Path

import pytest

from tests.faults.finished import Finished, make


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "finished"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # it takes a while, and no power is cut here
        make(folder)
    return folder


@pytest.fixture
def finished(original, tmp_path, monkeypatch) -> Finished:
    """The finished experiment in a folder of its own."""
    monkeypatch.chdir(shutil.copytree(original, tmp_path / "finished"))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    return Finished()
