"""Latent paths are those of the search that scores, over the loss of the trained generator; and what figures share."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from heldout.figures import latent_path
from heldout.figures._drawing import draw
from heldout.figures._task import Task
from heldout.numerics import randomness
from heldout.storage.report_inputs import Subject
from heldout.storage.sealed import write_sealed
from tests.figures.reading import FAILED, OPTED_FOR, drawn, on_disk, words


def test_paths_lead_from_the_images_own_starts_to_where_the_search_ends(inputs):
    panels = [ax for ax in drawn("latent_path", inputs).axes if ax.get_xlabel()]
    task = Task(inputs, Subject(stem="", dataset="toys", held_out="cat"))
    positions = np.concatenate(task.some(1))
    with task.read_by("adgan") as (method, model):
        search, _ = method.prepare(model)
        found = search.find((task.images(positions),), task.keys(positions))
    scores = on_disk(inputs, "adgan").score[positions]
    np.testing.assert_allclose(found.loss.mean(dim=1), scores, rtol=1e-6)  # so it is the search that scored
    titles = [f"adgan, normal: cat, score {scores.iloc[0]:.4g}", f"adgan, anomalous: dog, score {scores.iloc[1]:.4g}"]
    assert [ax.get_title(loc="left") for ax in panels] == titles
    starts = randomness.starting_points(randomness.image_keys(3, task.indices[positions]), 3, 2)
    for ax, of_image, end in zip(panels, starts, found.z, strict=True):
        paths = [line.get_xydata() for line in ax.lines if len(line.get_xdata()) == 5][::2]  # four steps; each edged
        np.testing.assert_array_equal([path[0] for path in paths], of_image)
        np.testing.assert_array_equal([path[-1] for path in paths], end)


def test_the_plane_holds_the_loss_at_every_z_and_all_paths():
    generator = nn.Sequential(nn.Linear(2, 12), nn.Unflatten(1, (3, 2, 2)))
    image = torch.rand(3, 2, 2)
    axis = latent_path.axis_around(torch.tensor([[[0.5, -4.0], [1.0, 2.0]]]))
    assert axis[0] < -4 and axis[-1] > 4 and latent_path.axis_around(torch.zeros(1, 1, 2))[-1] == 3
    plane = latent_path.losses(generator, image, axis)
    for row, column in ((0, 0), (2, 7), (40, 1)):
        made = generator(torch.tensor([[axis[column], axis[row]]]))[0]
        assert plane[row, column] == pytest.approx(((image - made) ** 2).sum().item(), rel=1e-5)


def test_where_the_search_has_failed_its_panels_say_so(inputs):
    inputs.content.figures["latent_path"][0].methods[:] = ["failing"]
    assert words(drawn("latent_path", inputs).axes[0])[0].startswith(f"failing {FAILED}")


@pytest.mark.parametrize("kind", OPTED_FOR)
def test_a_figure_is_the_same_to_the_byte_whatever_the_other_seeds_are(inputs, kind):
    def written() -> list[bytes]:
        draw(kind, inputs.path)
        (subject,) = inputs.content.figures[kind]
        return [(inputs.folder / "figures" / f"{subject.stem}.{form}").read_bytes() for form in ("svg", "png")]

    first, text = written(), inputs.path.read_text(encoding="utf-8")
    content = json.loads(text)
    alone = [run for run in content["runs"] if run["seed"] == 3]
    assert len(alone) == 1 and len(inputs.runs) == 2
    torch.manual_seed(7)
    write_sealed(inputs.path, content | {"runs": alone})
    try:
        assert written() == first
    finally:
        inputs.path.write_text(text, encoding="utf-8")
