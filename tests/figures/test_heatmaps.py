"""Heat maps are the differences that the methods' scores are made of."""

import numpy as np
import torch

from heldout.figures import heatmaps
from heldout.figures._task import Task
from heldout.numerics import randomness
from heldout.storage.report_inputs import Subject
from tests.figures.reading import FAILED, drawn, on_disk, pixels, rows, stored, words

MAPS = "|x - x'|, score"


def test_images_are_chosen_by_their_keys_half_of_them_normal(inputs):
    task = Task(inputs, Subject(stem="", dataset="toys", held_out="cat"))
    table = on_disk(inputs, "adgan")
    table = table.assign(key=[randomness.derive(3, "image", index) for index in table["index"]]).sort_values("key")
    expected = [table[table.name == name].head(4) for name in ("cat", "dog")]
    for positions, four in zip(task.some(4), expected, strict=True):
        assert task.indices[positions].tolist() == four["index"].tolist()
    (strip,) = dict(rows(drawn("heatmaps", inputs)))["test image"]
    assert words(strip) == ["cat"] * 4 + ["dog"] * 4
    indices = np.concatenate([four["index"] for four in expected])
    np.testing.assert_allclose(pixels(strip), np.load(inputs.runs[0].images)[indices, 0] / 255, atol=1e-6)


def test_the_heat_map_of_an_autoencoder_adds_up_to_the_score_in_the_file(inputs):
    labels, strips = zip(*rows(drawn("heatmaps", inputs)), strict=True)
    place = labels.index("reconstruction: x'")
    assert labels[place + 1] == MAPS
    (image,), (made,), (map_,) = strips[0], strips[place], strips[place + 1]
    np.testing.assert_allclose(2 * np.abs(pixels(image) - pixels(made)), pixels(map_), atol=1e-5)  # drawn in [0, 1]
    table = on_disk(inputs, "reconstruction")
    shown = [int(np.abs(stored(inputs, table["index"]) - one).sum(axis=(1, 2)).argmin()) for one in pixels(image)]
    np.testing.assert_allclose(np.square(pixels(map_)).sum(axis=(1, 2)), table.score[shown], rtol=1e-4)
    assert words(map_) == [f"{score:.4g}" for score in table.score[shown]]


def test_a_residual_is_the_mean_over_channels():
    images, made = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    made[1, 0], made[1, 1] = 0.3, -0.6
    residual = heatmaps.residual(images, made)
    assert residual.shape == (2, 4, 4) and (residual[0] == 0).all()
    torch.testing.assert_close(residual[1], torch.full((4, 4), 0.3))


def test_a_method_has_one_scale_of_colours(inputs):
    maps = [strip for label, (strip,) in rows(drawn("heatmaps", inputs)) if label == MAPS]
    assert len(maps) == 2
    for strip in maps:
        assert {image.get_clim() for image in strip.images} == {(0, pixels(strip).max())}


def test_a_failed_method_is_a_row_that_says_so(inputs):
    (strip,) = dict(rows(drawn("heatmaps", inputs)))["failing"]
    assert words(strip)[0].startswith(FAILED) and not strip.images
