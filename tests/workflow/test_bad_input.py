"""A mistake gets one clear line and a non-zero exit, and loses nothing."""

import shutil

import pytest

pytestmark = pytest.mark.slow


def complaint(printed: str) -> str:
    """The one line that tells what is wrong."""
    assert "Traceback" not in printed, printed
    lines = {line for line in printed.splitlines() if line.startswith("heldout: error: ")}
    assert len(lines) == 1, printed
    return lines.pop()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sedes": [1]}, "bad.yaml: no key 'sedes'; did you mean 'seeds'?"),
        ({"methods": {"adgn": {}}}, "methods.adgn: no method 'adgn'; did you mean 'adgan'?"),
        ({"held_out": ["ten"]}, "bad.yaml, held_out: no class of mnist5k 'ten'"),
        ({"test_items": -1}, "bad.yaml, test_items: "),
        ({"models": {"wgan": {"steps": -1}, "dcgan": {}}}, "models.wgan.steps: -1 is less than the minimum of 1"),
    ],
)
def test_an_experiment_file(project, changes, line):
    printed = project.snakemake("-n", "--configfile", project.write("bad.yaml", **changes), ok=False)
    assert line in complaint(printed)


FLOOR = {"methods": {"mean_image": {}}, "models": {}, "held_out": [1]}


def test_a_device_that_is_not_there(project):
    models = {"wgan": {"steps": 1, "width": 4}}
    name = project.write("bad.yaml", **FLOOR | {"models": models, "device": "cuda:9"})
    printed = project.snakemake("checkpoints", "--configfile", name, ok=False)
    assert "device: cuda:9 asks for a GPU, but PyTorch sees 0" in complaint(printed)
    assert "Resume with:" in printed and "--configfile bad.yaml" in printed


def test_a_held_out_class_with_too_few_images(project):
    name = project.write("bad.yaml", **FLOOR | {"calibration": 0.999, "split_seed": 5})
    assert "held_out 1: 0 training images, but at least 2 are needed" in complaint(
        project.snakemake("--configfile", name, ok=False)
    )


def test_a_mirror_without_the_file(project):
    name = project.write("bad.yaml", **FLOOR | {"datasets": {"mnist": {}}, "mirror": "/nowhere"})
    line = complaint(project.snakemake("--configfile", name, ok=False))
    assert "the mirror does not give /nowhere/mnist/train-images-idx3-ubyte.gz (no such file)" in line
    assert not (project.folder / "data" / "raw" / "mnist").exists()


def test_a_mirror_with_a_damaged_file(project, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"not an archive")
    name = project.write("bad.yaml", **FLOOR | {"datasets": {"mnist": {}}, "mirror": str(tmp_path)})
    line = complaint(project.snakemake("--configfile", name, ok=False))
    assert "train-images-idx3-ubyte.gz is damaged" in line and "refused and removed" in line
    assert not (project.folder / "data" / "raw" / "mnist").exists()


def test_a_truncated_checkpoint(project):
    wgan = {"models": {"wgan": {"steps": 1, "width": 4}}}
    name = project.write("good.yaml", **FLOOR | wgan)
    project.snakemake("checkpoints", "--configfile", name)
    checkpoint = next((project.folder / "results" / "checkpoints").rglob("wgan-*.safetensors"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    name = project.write("bad.yaml", **FLOOR | wgan | {"methods": {"discriminator": {}}})
    line = complaint(project.snakemake("--until", "score", "--configfile", name, ok=False))
    assert f"{checkpoint.name} is damaged" in line and "delete it and run again" in line
    checkpoint.unlink()
    project.snakemake("--configfile", name)  # the remedy works


def test_a_results_folder_that_cannot_be_written(project):
    shutil.rmtree(project.folder / "results", ignore_errors=True)
    (project.folder / "results").write_text("a file where the folder should be")
    try:
        line = complaint(project.snakemake("--configfile", project.write("bad.yaml", **FLOOR), ok=False))
    finally:
        (project.folder / "results").unlink()
    assert "cannot write results/" in line and "make room or its folder writable" in line
