"""The full datasets, from a mirror to the tables."""

import pandas as pd
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("dataset", "held_out"), [("mnist", 8), ("fashion_mnist", "coat"), ("cifar10", "ship")])
def test_a_full_dataset_runs_to_its_tables(project, mirror, dataset, held_out):
    name = project.write(
        f"{dataset}.yaml", experiment=dataset, datasets={dataset: {}}, held_out=[held_out], test_items=300
    )
    project.environment["HELDOUT_MIRROR"] = str(mirror)
    project.snakemake("--configfile", name)
    table = pd.read_csv(project.folder / "results" / dataset / "tables" / "auroc.csv")
    assert table.held_out.tolist() == [str(held_out), "mean"] and table.test_images[0] == 300
    # 90 % of the official test images are anomalous; 300 drawn at random have a standard error of 1.7 %.
    assert table.share_of_anomalies[0] == pytest.approx(0.9, abs=4 * 0.017)
    caption = (project.folder / "results" / dataset / "tables" / "auroc.md").read_text()
    assert "tested on 300 random images (stratified by class) of its official test part" in caption


def test_images_of_64_pixels_train_and_score(project):
    name = project.write("large.yaml", experiment="large", datasets={"mnist5k": {"size": 64}}, held_out=[3])
    project.snakemake("--configfile", name)
    assert (project.folder / "results" / "large" / "tables" / "auroc.md").is_file()
