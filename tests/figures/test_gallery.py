"""A gallery shows the outermost images of the score files."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from heldout.errors import HeldoutError
from heldout.figures import gallery
from heldout.storage.score_files import Scores, read_scores, write_scores
from tests.conftest import record
from tests.figures.reading import FAILED, drawn, on_disk, pixels, rows, stored, words


@pytest.mark.parametrize("method", ["mean_image", "adgan"])
@pytest.mark.parametrize(("end", "ascending"), [("most anomalous", False), ("least anomalous", True)])
def test_a_gallery_shows_the_outermost_images_their_class_and_score(inputs, method, end, ascending):
    strips = dict(rows(drawn("gallery", inputs)))[f"{method}\n{end}"]
    table = on_disk(inputs, method).sort_values("score", ascending=ascending)
    assert len(table) == 20 and set(table.name) == {"cat", "dog"}
    for ax, among in zip(strips, (table, table[table.name == "cat"]), strict=True):
        expected = among.head(8)
        assert words(ax) == [f"{row['name']}\n{row.score:.4g}" for _, row in expected.iterrows()]
        np.testing.assert_allclose(pixels(ax), stored(inputs, expected["index"]), atol=1e-6)
        framed = [patch.get_x() for patch in ax.patches if isinstance(patch, Rectangle)]
        places = [image.get_extent()[0] for image in ax.images]
        assert framed == [place for place, name in zip(places, expected.name, strict=True) if name == "dog"]


def test_of_equal_scores_the_earlier_image_is_first_at_both_ends():
    scores = np.array([1.0, 2.0, 1.0, 2.0, 3.0])
    assert gallery.outermost(scores, np.arange(5), 1).tolist() == [0, 2, 1, 3, 4]
    assert gallery.outermost(scores, np.arange(5), -1).tolist() == [4, 1, 3, 0, 2]
    assert gallery.outermost(scores, np.array([1, 3]), 1).tolist() == [1, 3]


def test_a_title_names_the_class_its_role_and_the_seed(inputs):
    assert drawn("gallery", inputs).get_suptitle() == "toys, normal class: cat, seed 3; framed: anomalous"


def test_a_failed_method_is_a_row_that_says_so(inputs):
    strips = dict(rows(drawn("gallery", inputs)))["failing"]
    assert words(strips[0])[0].startswith(FAILED) and not any(ax.images for ax in strips)


def test_labels_of_something_else_are_refused(inputs, tmp_path):
    text = (inputs.folder.parent.parent / inputs.runs[0].labels).read_text(encoding="utf-8")
    index = on_disk(inputs, "adgan")["index"][0]
    assert f"\n{index},cat," in text
    inputs.runs[0] = replace(inputs.runs[0], labels=str(tmp_path / "labels.csv"))
    (tmp_path / "labels.csv").write_text(text.replace(f"\n{index},cat,", f"\n{index},dog,"), encoding="utf-8")
    with pytest.raises(HeldoutError, match="labels.csv differs from the labels that the split used"):
        drawn("gallery", inputs)


def test_scores_of_something_else_are_refused(inputs, tmp_path):
    scores = inputs.runs[0].scores
    other = tmp_path / "adgan-000000000000.parquet"
    spec = read_scores(scores["adgan"]).spec
    write_scores(other, Scores(spec, {"index": [], "part": [], "score": []}, None))
    record(other, spec.content)
    scores["adgan"] = str(other)
    with pytest.raises(HeldoutError, match="adgan-000000000000.parquet contains other scores"):
        drawn("gallery", inputs)
