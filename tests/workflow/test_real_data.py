"""Real images, from a mirror of the official files to the tables."""

import shutil

import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import TRIAL

pytestmark = pytest.mark.slow

SMALL = {
    "models": {"wgan": TRIAL["models"]["wgan"]},
    "methods": {"mean_image": {}, "adgan": {"starts": 2, "steps": 1}},
    "figures": [],
}


@pytest.mark.parametrize(("dataset", "held_out"), [("mnist", 8), ("fashion_mnist", "coat"), ("cifar10", "ship")])
def test_a_full_dataset_runs_to_its_tables(project, mirror, dataset, held_out):
    if not (mirror / dataset).is_dir():
        pytest.skip(f"the mirror has no {dataset}")
    chosen = {"datasets": {dataset: {}}, "held_out": [held_out], "test_items": 300}
    name = project.write(f"{dataset}.yaml", experiment=dataset, **SMALL | chosen)
    project.environment["HELDOUT_MIRROR"] = str(mirror)
    project.snakemake("--configfile", name)
    table = pd.read_csv(project.folder / "results" / dataset / "tables" / "auroc.csv")
    assert table.held_out.tolist() == [str(held_out), "mean"] and table.test_images[0] == 300
    # 90 % of the official test images are anomalous; 300 drawn at random have a standard error of 1.7 %.
    assert table.share_of_anomalies[0] == pytest.approx(0.9, abs=4 * 0.017)
    caption = (project.folder / "results" / dataset / "tables" / "auroc.md").read_text()
    assert "tested on 300 random images (stratified by class) of its official test part" in caption


def test_images_of_64_pixels_train_and_score(project):
    chosen = {"datasets": {"mnist5k": {"size": 64}}, "held_out": [3]}
    project.snakemake("--configfile", project.write("large.yaml", experiment="large", **SMALL | chosen))
    assert (project.folder / "results" / "large" / "tables" / "auroc.md").is_file()


@pytest.mark.parametrize(("name", "images"), [("ganomaly-xray-small", "xray"), ("adgan-lsun-small", "scenes")])
def test_a_published_experiment_on_photographs_runs_to_its_tables(project, mirror, name, images):
    """With fewer updates of each model; all else is as published."""
    if not (mirror / images).is_dir():
        pytest.skip(f"the mirror has no {images}")
    shutil.copytree(mirror / images, project.folder / "data" / images)
    path = project.shorten(name)
    experiment = yaml.safe_load((project.folder / path).read_text(encoding="utf-8"))
    project.snakemake("--configfile", path)
    folder = project.folder / "results" / name
    table = pd.read_csv(folder / "tables" / "auroc.csv")
    assert len(table) > 0 and table[list(experiment["methods"])].notna().all().all()
    assert {path.name.partition("-")[0] for path in (folder / "figures").glob("*.png")} == set(experiment["figures"])
