"""What an experiment file may say, and the one line that answers a mistake."""

import pytest

from heldout.errors import HeldoutError
from heldout.planning.resolve import Resolved, resolve

GOOD = {
    "experiment": "trial",
    "datasets": {"mnist5k": None},
    "held_out": [1, "8"],
    "models": {"wgan": {"steps": 3}, "dcgan": {}},
    "methods": {"adgan": {}, "adgan-k1": {"method": "adgan", "steps": 1, "model": "dcgan"}, "mean_image": None},
}


FOLDER = {"dataset": "image_folder", "folder": "data/shoes", "classes": ["old", "new"]}


def read(**changes: object) -> Resolved:
    return resolve({**GOOD, **changes}, where="trial.yaml")


def test_an_entry_of_datasets_may_state_its_own_split():
    datasets = {"mnist5k": {"train_items": 50}, "polluted": {"dataset": "mnist5k", "contamination": 0.1}}
    found = read(datasets=datasets, train_items=100, calibration=0.2).datasets
    assert (found["mnist5k"].split.train_items, found["polluted"].split.train_items) == (50, 100)
    assert (found["mnist5k"].split.contamination, found["polluted"].split.contamination) == (0, 0.1)
    assert all(each.split.calibration == 0.2 for each in found.values())
    assert found["polluted"].params == found["mnist5k"].params == {"size": None}
    with pytest.raises(HeldoutError, match=r"trial.yaml, datasets.mnist5k, contamination: .* or equal to 0.5"):
        read(datasets={"mnist5k": {"contamination": 0.9}})


def test_entries_are_completed_with_the_papers_values():
    experiment = read()
    assert experiment.methods["adgan"].params["starts"] == 64
    assert experiment.methods["adgan"].params["theta_lr"] == 5e-5
    assert experiment.models["wgan"].params["clip"] == 0.01
    assert experiment.models["wgan"].params["steps"] == 3


def test_a_variant_is_a_line():
    variant = read().methods["adgan-k1"]
    assert (variant.plugin, variant.model, variant.params["steps"]) == ("adgan", "dcgan", 1)
    assert read().methods["adgan"].model == "wgan"
    assert read().methods["mean_image"].model is None


def test_a_class_by_number_and_by_name_is_the_same():
    by_number = read(datasets={"fashion_mnist": {}}, held_out=[0, 4])
    by_name = read(datasets={"fashion_mnist": {}}, held_out=["t_shirt_top", "coat"])
    assert by_number.held_out == by_name.held_out == {"fashion_mnist": ["t_shirt_top", "coat"]}
    assert len(read(held_out="all").held_out["mnist5k"]) == 10


@pytest.mark.parametrize("written", ["5e-5", 5e-5, "0.00005"])
def test_numbers_are_coerced_before_anything_is_hashed(written):
    params = read(methods={"adgan": {"theta_lr": written, "z_lr": 1, "steps": "3"}}).methods["adgan"].params
    assert params["theta_lr"] == 5e-5
    assert isinstance(params["z_lr"], float) and params["z_lr"] == 1.0
    assert params["steps"] == 3 and isinstance(params["steps"], int)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [(20, 20), ("20", 20), (20.0, 20), ("variance", "variance"), ("oracle", "oracle"), (None, None)],
)
def test_a_parameter_may_be_a_number_or_a_word(written, read_as):
    told = {"calibration": 0.1, "labelled_anomalies": 9}  # what `oracle` asks for
    pca = read(methods={"kde": {"pca": written}}, **told).methods["kde"].params["pca"]
    assert pca == read_as and type(pca) is type(read_as)


def test_whole_numbers_may_come_as_powers_of_ten():
    assert read(test_items="5e3").settings.test_items == 5000


def test_seeds_may_come_as_strings_from_the_command_line():
    assert read(seeds=["1", "2"]).settings.seeds == [1, 2]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sedes": [1]}, "trial.yaml: no key 'sedes'; did you mean 'seeds'?"),
        ({"methods": {"adgn": {}}}, "trial.yaml, methods.adgn: no method 'adgn'; did you mean 'adgan'?"),
        ({"methods": {"x": {"method": "adgn"}}}, "trial.yaml, methods.x: no method 'adgn'; did you mean 'adgan'?"),
        (
            {"methods": {"adgan": {"start": 3}}},
            "methods.adgan: no parameter of adgan 'start'; did you mean 'starts'? See: heldout methods adgan",
        ),
        ({"methods": {"adgan": {"steps": -1}}}, "trial.yaml, methods.adgan.steps: -1 is less than the minimum of 0"),
        ({"methods": {"adgan": {"steps": 1.5}}}, "trial.yaml, methods.adgan.steps: 1.5 is not of type 'integer'"),
        ({"models": {"wgan": {"learning_rate": "fast"}}}, "models.wgan.learning_rate: 'fast' is not of type 'number'"),
        ({"models": {"wgan": {"learning_rate": 0}}}, "models.wgan.learning_rate: 0.0 is less than or equal to"),
        (
            {"models": {"dcgan": {}}},
            "it reads the model 'wgan'; add that, or name one with `model:` (dcgan)",
        ),
        ({"methods": {"adgan": {"model": "wgn"}}}, "methods.adgan: no entry of models 'wgn'; did you mean 'wgan'?"),
        ({"seeds": 3}, "trial.yaml, seeds: expected a list such as [3] (it is 3)"),
        ({"datasets": "mnist5k"}, "trial.yaml, datasets: expected entries such as {NAME: {}} (it is 'mnist5k')"),
        ({"experiment": "My Exp"}, "trial.yaml, experiment: a name consists of letters, digits, '_', '-' and '.'"),
        ({"models": {}}, "methods.adgan: it reads the model 'wgan'; add `models: {wgan: {}}`"),
        ({"methods": {"mean_image": {"model": "wgan"}}}, "reads no model; drop `model`"),
        ({"held_out": ["shoe"]}, "trial.yaml, held_out: no class of mnist5k 'shoe'; there are: 0, 1,"),
        (
            {"datasets": {"cifar10": {}}, "held_out": ["airplan"]},
            "trial.yaml, held_out: no class of cifar10 'airplan'; did you mean 'airplane'?",
        ),
        ({"datasets": {"cifar10": {}}, "held_out": [0, "airplane"]}, "by its name and by its number; keep one"),
        ({"held_out": []}, "trial.yaml, held_out: the list is empty or contains a value twice (it is [])"),
        ({"held_out": 8}, "trial.yaml, held_out: `all`, or a list such as [8] (it is 8)"),
        ({"experiment": "scores"}, "all experiments share the folder results/scores; choose another name"),
        ({"datasets": {"mnist5": {}}}, "trial.yaml, datasets.mnist5: no dataset 'mnist5'; did you mean 'mnist5k'?"),
        ({"seeds": [-1]}, "trial.yaml, seeds.0: Input should be greater than or equal to 0 (it is -1)"),
        ({"seeds": [0, 0]}, "trial.yaml, seeds: "),
        ({"calibration": -0.1}, "trial.yaml, calibration: Input should be greater than or equal to 0"),
        ({"test_items": -5}, "trial.yaml, test_items: "),
        ({"jobs_per_gpu": 0}, "trial.yaml, jobs_per_gpu: Input should be greater than or equal to 1 (it is 0)"),
        ({"memory": "2 GB"}, "trial.yaml, memory: "),
        ({"device": "gpu"}, "trial.yaml, device: expected auto, cpu, cuda or cuda:N (it is 'gpu')"),
        ({"experiment": "../elsewhere"}, "trial.yaml, experiment: "),
        ({"models": {"wgan": {"learning_rate": float("nan")}}}, "models.wgan.learning_rate: nan is not a number"),
        ({"methods": {"x": {"method": ["adgan"]}}}, "trial.yaml, methods.x: no method"),
        ({"models": {"wgan": {"method": "adgan"}}}, "models.wgan: no parameter of wgan 'method'"),
        ({"methods": {"mean_image": {}, "adgan": {"model": ["wgan"]}}}, "methods.adgan: no entry of models"),
        ({"methods": ["adgan"]}, "trial.yaml, methods: "),
        ({"methods": {"adgan": {"begin": "encoder"}}}, "methods.adgan: adgan reads encoder, which wgan lacks"),
        (
            {"methods": {"combine": {}}},
            "methods.combine: a combination needs other methods' scores, as in of:",
        ),
        (
            {"methods": {"adgan": {}, "combine": {"of": ["adgn"]}}, "calibration": 0.1},
            "methods.combine.of: no entry of methods that joins no others 'adgn'; did you mean 'adgan'?",
        ),
        ({"methods": {"adgan": {}, "combine": {"of": ["adgan"]}}}, "set calibration: 0.1 or so"),
        (
            {"methods": {"adgan": {}, "combine": {"of": ["adgan:residual"]}}, "calibration": 0.1},
            "methods.combine.of: no component of adgan 'residual'; there are: score",
        ),
        (
            {"methods": {"adgan": {}, "combine": {"of": ["adgan"], "by": "fixed", "weights": [1, 2]}}},
            "methods.combine.weights: 2 weights for 1 of `of`. See: heldout combinations fixed",
        ),
        (
            {"methods": {"adgan": {}, "combine": {"of": ["adgan"], "weights": [1]}}, "calibration": 0.1},
            "methods.combine: no parameter of zscore 'weights'; there are: block, pool",
        ),
        ({"methods": {"combine": {"of": ["x"]}, "x": {"method": ["adgan"]}}}, "methods.x: no method"),
        (
            {"methods": {"adgan": {}, "combine": {"of": ["adgan"], "by": "svm"}}, "calibration": 0.1},
            "it learns from labelled anomalies (semi-supervised); set labelled_anomalies: 50 or so",
        ),
        (
            {"protocol": "folders", "held_out": "all"},
            "trial.yaml, datasets.mnist5k: mnist5k has no option `normal`; choose one_class or leave_one_out",
        ),
        (
            {"protocol": "folders", "held_out": "all", "datasets": {"shoes": FOLDER | {"normal": ["old", "new"]}}},
            "trial.yaml, datasets.shoes.normal names every class; under the protocol folders it names",
        ),
        (
            {"protocol": "folders", "held_out": "all", "datasets": {"shoes": FOLDER}},
            "trial.yaml, datasets.shoes.normal is missing; under the protocol folders",
        ),
        (
            {"protocol": "folders", "datasets": {"shoes": FOLDER | {"normal": ["old"]}}},
            "trial.yaml, held_out: the protocol folders has no held-out class; remove this key",
        ),
        ({"protocol": "leave_one"}, "trial.yaml, protocol: Input should be 'one_class', 'leave_one_out' or 'folders'"),
        ({"figures": ["galery"]}, "trial.yaml, figures: no figure 'galery'; did you mean 'gallery'?"),
        ({"figures": "roc"}, "trial.yaml, figures: expected a list such as [roc] (it is 'roc')"),
        (
            {"figures": ["latent_path"]},
            "figures: latent_path needs adgan or anogan on a model with latent: 2, and there is none; add one, or",
        ),
        ({"figures": ["heatmaps"], "methods": {"mean_image": {}}}, "trial.yaml, figures: heatmaps needs adgan or"),
    ],
)
def test_a_mistake_is_one_line_that_says_where(changes, line):
    with pytest.raises(HeldoutError) as error:
        read(**changes)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_a_missing_key_is_named():
    with pytest.raises(HeldoutError, match="trial.yaml: the key 'methods' is missing"):
        resolve({"experiment": "trial", "datasets": {"mnist5k": {}}}, where="trial.yaml")


def test_a_figure_of_searches_takes_those_in_two_dimensions_by_way_of_a_parent_too():
    models = {"wgan": {"latent": 2}, "dcgan": {}, "wgan_gp": {"latent": 2}, "izi_encoder": {}}
    methods = {
        "adgan": {},
        "other": {"method": "adgan", "model": "dcgan"},
        "from-code": {"method": "adgan", "model": "izi_encoder", "begin": "encoder"},
        "prior": {},
    }
    experiment = read(models=models, methods=methods, figures=["latent_path", "heatmaps", "roc"])
    assert experiment.figures["latent_path"] == ["adgan", "from-code"]
    assert experiment.figures["heatmaps"] == ["adgan", "other", "from-code"]
