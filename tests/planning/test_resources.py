"""What a job asks a cluster for: numbers added up by hand, growth with the work, and room for what real runs took."""

import csv
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from heldout import registry
from heldout.networks.dcgan import Generator
from heldout.networks.shape import ImageShape
from heldout.planning import resources
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.resources import generator_size, of_evaluation, of_figures, of_files, of_step
from tests.conftest import REPOSITORY

BASE = {
    "experiment": "trial",
    "datasets": {"mnist": {}},
    "held_out": [1],
    "test_items": 1000,
    "models": {"wgan": {"steps": 1000}, "cgan": {}},
    "methods": {
        "mean_image": {},
        "kde": {},
        "discriminator": {},
        "adgan": {},
        "conditional_search": {},
        "joined": {"method": "combine", "of": ["adgan", "discriminator"]},
    },
    "calibration": 0.1,
    "figures": ["roc", "samples", "heatmaps"],
}


def planned(**changes: object) -> Plan:
    return Plan(resolve(BASE | changes, where="trial.yaml"), without_folders=True)


def of(name: str, **changes: object) -> resources.Needs:
    """What the training or scoring of an entry asks for."""
    run = planned(**changes).runs[0]
    steps = {"prepare": run.prepared, "split": run.split, **run.scorings, **run.trainings}
    return of_step(steps[name])


@pytest.mark.parametrize(("channels", "side"), [(1, 32), (3, 32), (3, 64)])
def test_the_size_of_a_generator_is_that_of_the_network(channels, side):
    image = ImageShape(channels, side)
    network = Generator(24, 16, image)
    multiplications = []

    def count(module, inputs, output):
        inside = inputs[0][0].numel()  # of one image: each number meets a kernel, or a column of the matrix
        multiplications.append(inside * module.weight[0].numel() if module.weight.dim() == 4 else module.weight.numel())

    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.ConvTranspose2d)):
            module.register_forward_hook(count)
    network.eval()(torch.zeros(1, 24))
    weights = sum(weight.numel() for weight in network.parameters())
    assert generator_size(16, 24, image) == (weights, sum(multiplications))


def test_the_papers_generator_has_as_many_weights_as_was_counted():
    assert generator_size(64, 256, ImageShape(1, 32)).weights == 1_705_856


def with_(name: str, **params: object) -> dict[str, object]:
    return {"methods": BASE["methods"] | {name: params}}


def model(**params: object) -> dict[str, object]:
    return {"models": BASE["models"] | {"wgan": {"steps": 1000} | params}}


@pytest.mark.parametrize(
    ("name", "more", "grows"),
    [
        ("wgan", model(steps=2000), "runtime"),
        ("wgan", model(critic_steps=10), "runtime"),
        ("wgan", model(refit=0.1), "runtime"),
        ("wgan", model(width=128), "both"),
        ("wgan", model(batch=256), "both"),
        ("wgan", model(trim=0.5), "both"),
        ("wgan", model(latent=1024), "both"),
        ("wgan", {"datasets": {"mnist": {"size": 64}}}, "both"),
        ("wgan", {"protocol": "leave_one_out"}, "mem_mb"),
        ("adgan", with_("adgan", starts=128), "runtime"),
        ("adgan", with_("adgan", steps=10), "runtime"),
        ("adgan", with_("adgan", update="in_turn"), "runtime"),
        ("adgan", with_("adgan", block=64), "mem_mb"),
        ("adgan", {"test_items": None}, "both"),
        ("adgan", model(width=128), "both"),
        ("conditional_search", {"protocol": "leave_one_out"}, "runtime"),
        ("discriminator", model(width=512), "both"),
        ("kde", {"protocol": "leave_one_out"}, "both"),
        ("kde", with_("kde", features="efficientnet"), "runtime"),
        ("prepare", {"datasets": {"mnist": {"size": 64}}}, "mem_mb"),
        ("split", {"test_items": None}, "mem_mb"),
    ],
)
def test_more_work_asks_for_more(name, more, grows):
    before, after = of(name), of(name, **more)
    assert after.runtime > before.runtime if grows in ("runtime", "both") else after.runtime >= before.runtime
    assert after.mem_mb > before.mem_mb if grows in ("mem_mb", "both") else after.mem_mb >= before.mem_mb


def test_what_is_trained_on_another_model_counts_that_ones_networks():
    models = {"wgan_gp": {"width": 128}, "izi_encoder": {"width": 16}}
    changes = {"models": models, "methods": {"mean_image": {}}, "figures": []}
    small = {**changes, "models": models | {"wgan_gp": {"width": 16}}}
    assert of("izi_encoder", **changes).runtime > of("izi_encoder", **small).runtime


def test_the_evaluation_asks_for_its_resamples_and_a_figure_for_what_it_searches_again():
    plan = planned()
    for more in ({"held_out": "all"}, {"bootstrap": 20_000}, {"seeds": [0, 1]}, {"test_items": None}):
        assert of_evaluation(planned(**more)).mem_mb > of_evaluation(plan).mem_mb
    assert of_evaluation(planned(held_out="all", bootstrap=10_000)).runtime > of_evaluation(plan).runtime
    assert of_figures(plan, "roc") == of_files(plan)
    assert of_figures(plan, "samples").mem_mb == max(of("wgan").mem_mb, of("cgan").mem_mb)
    searched = planned(methods={"mean_image": {}, "adgan": {}})
    assert of_figures(searched, "heatmaps").runtime > of_files(searched).runtime
    assert of_files(planned(seeds=[*range(200)])).runtime > of_files(plan).runtime


@pytest.mark.parametrize("name", ["model", "method"])
def test_every_plugin_asks_for_something(name):
    everything = {
        "models": {other: {} for other in registry.names("model")},
        "methods": {other: {} for other in registry.names("method")},
        "labelled_anomalies": 10,
        "figures": [],
    }
    run = planned(**everything).runs[0]
    for step in (run.trainings if name == "model" else run.scorings).values():
        assert of_step(step).mem_mb >= 1200 and of_step(step).runtime >= 10


def test_a_folder_that_is_not_there_is_taken_for_ten_thousand_images():
    shoes = {"dataset": "image_folder", "folder": "nowhere", "classes": ["old", "new"], "md5": "0" * 32}
    unknown = {"datasets": {"shoes": shoes}, "held_out": ["old"], "test_items": None}
    assert of("prepare", **unknown).mem_mb > 10_000 * 3 * 64**2 / 2**20  # a byte for each number, at least


with open(Path(__file__).with_name("recorded_resources.csv")) as file:
    RECORDED = list(csv.DictReader(file))


@pytest.mark.parametrize("record", RECORDED, ids=lambda record: record["entry"])
def test_real_runs_took_at_most_half_the_time_and_less_memory_than_is_asked_for(record):
    """`recorded_resources.csv` has the worst of each entry's benchmark files, seconds and MiB, on a crowded machine."""
    path = REPOSITORY / "workflow" / "experiments" / "mnist-every-model.yaml"
    plan = Plan(resolve(yaml.safe_load(path.read_text()), where=path.name))
    run, entry = plan.runs[0], record["entry"]
    needs = {
        "prepare": lambda: of_step(run.prepared),
        "split": lambda: of_step(run.split),
        "train": lambda: of_step(run.trainings[entry]),
        "score": lambda: of_step(run.scorings[entry]),
        "evaluate": lambda: of_evaluation(plan),
        "files": lambda: of_files(plan),
        "figure": lambda: of_figures(plan, entry),
    }[record["step"]]()
    assert float(record["max_rss"]) < needs.mem_mb and 2 * float(record["s"]) < 60 * needs.runtime


def test_rates_leave_room_for_what_was_measured_of_large_networks():
    # One thread trains the DCGAN of width 64 on 220 to 280 images a second, of 32 pixels and in batches of 64.
    dcgan = {"models": {"dcgan": {"steps": 10_000}}, "methods": {"mean_image": {}}, "figures": []}
    assert of("dcgan", **dcgan).runtime > 2 * 10_000 * 64 / 220 / 60
    # ADGAN's search from 64 starts took 3.6 to 7.6 s an image, by the code that searches one start, or all, at a time.
    assert of("adgan").runtime > 1.3 * 1600 * 7.6 / 60
