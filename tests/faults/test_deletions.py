"""Files of a user in folders that runs write to: what deletes, deletes only files that the project made."""

from pathlib import Path

import pytest

from heldout.project import prune
from heldout.project.inventory import experiments
from heldout.project.save import _is_number
from tests.project.conftest import folder, make, planned

__all__ = ["folder"]
DIGEST = "0123456789ab"
OF_THE_USER = {
    "a copy": f"results/checkpoints/wgan-{DIGEST}.safetensors.bak",
    "notes beside a checkpoint": f"results/checkpoints/wgan-{DIGEST}.notes.txt",
    "a plot beside scores": f"results/scores/adgan-{DIGEST}.png",
    "a table of scores": f"results/scores/adgan-{DIGEST}.csv",
    "an archive of arrays": f"data/prepared/mnist5k-{DIGEST}.npz",
    "a list beside a split": f"data/splits/seed0-{DIGEST}.csv",
    "a file without a digest": "results/checkpoints/thesis.safetensors",
    "a longer number": f"results/checkpoints/thesis-{DIGEST}0.safetensors",
    "a report among logs": f"results/logs/thesis-{DIGEST}.pdf",
    "a table among benchmarks": f"results/benchmarks/thesis-{DIGEST}.csv",
    "a state elsewhere": f"results/thesis/wgan-{DIGEST}.pt",
    "an image of a class": f"data/lsun/wgan-{DIGEST}.parquet",
}


@pytest.mark.parametrize("name", OF_THE_USER.values(), ids=OF_THE_USER)
def test_prune_leaves_what_the_project_did_not_make(folder, name):
    foreign = planned(held_out=[2]).runs[0]
    made = [make(step) for step in (*foreign.trainings.values(), *foreign.scorings.values())]
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a year of work")
    prune.delete(prune.superfluous(experiments()))
    assert path.read_text() == "a year of work" and not any(each.exists() for each in made)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("results/trial/metrics.json", True),
        ("results/trial/tables/roc.csv", True),
        ("results/metrics.json", False),
        ("metrics.json", False),
        ("thesis/metrics.json", False),
        ("thesis/results/trial/metrics.json", False),
        ("results/trial/my-metrics.json", False),
        ("results/trial/more/metrics.json", False),
        ("results/trial/more/tables/roc.csv", False),
    ],
)
def test_saving_after_a_merge_deletes_only_an_experiments_own_numbers(path, expected):
    assert _is_number(path) == expected
