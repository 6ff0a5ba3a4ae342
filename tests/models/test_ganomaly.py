"""GANomaly against its equations written out, in the code's form and in the paper's."""

import copy

import pytest
import torch
from torch import nn

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness, training_steps
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise, train_spec, trained

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "ganomaly") | params
    return registry.create("model", "ganomaly", params, IMAGE, randomness.generator(0, "weights"))


def literal_terms(model: nn.Module, x: torch.Tensor, norms: str) -> tuple[torch.Tensor, ...]:
    """L_adv, L_con, L_enc and x'; the paper's as sums of squares and absolute values of one image after another."""
    z = model.encoder(x)
    made = model.decoder(z)
    z_made, f, f_made = model.second_encoder(made), model.discriminator.features(x), model.discriminator.features(made)
    if norms == "code":
        return ((f - f_made) ** 2).mean(), (x - made).abs().mean(), ((z - z_made) ** 2).mean(), made
    count, expected = len(x), sum(f_made) / len(x)
    adversarial = sum(((f[n] - expected) ** 2).sum() ** 0.5 for n in range(count)) / count
    contextual = sum((x[n] - made[n]).abs().sum() for n in range(count)) / count
    encoder = sum(((z[n] - z_made[n]) ** 2).sum() ** 0.5 for n in range(count)) / count
    return adversarial, contextual, encoder, made


@pytest.mark.parametrize("norms", ["code", "paper"])
def test_a_step_is_the_two_updates_from_one_forward(norms):
    rate = 0.01  # so large that a loss after the other's update is far from that before it
    model = fresh(batch=6, learning_rate=rate, norms=norms, contextual_weight=7, encoder_weight=3)
    literal = copy.deepcopy(model)
    images = noise(20, 1, 16)
    model.start(images)
    draw, rng = randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z")
    found = [model.step(draw, rng) for _ in range(2)][-1]

    settings = {"lr": rate, "betas": (0.5, 0.999)}
    d = literal.discriminator
    others = [weight for name, weight in literal.named_parameters() if not name.startswith("discriminator")]
    adam_g, adam_d = torch.optim.Adam(others, **settings), torch.optim.Adam(d.parameters(), **settings)
    draw = randomness.batches(images, 6, randomness.generator(0, "b"))
    for _ in range(2):
        x = draw()
        adversarial, contextual, encoder, made = literal_terms(literal, x, norms)
        log = torch.nn.functional.logsigmoid
        loss_d = -(log(d(x)).mean() + log(-d(made.detach())).mean()) / 2
        gradients_g = torch.autograd.grad(adversarial + 7 * contextual + 3 * encoder, others)
        gradients_d = torch.autograd.grad(loss_d, list(d.parameters()))
        for weights, gradients in ((others, gradients_g), (d.parameters(), gradients_d)):
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
        adam_g.step(), adam_d.step()

    expected = {"adversarial": adversarial, "contextual": contextual, "encoder": encoder, "discriminator": loss_d}
    for name, loss in expected.items():
        torch.testing.assert_close(found[name], loss.detach(), rtol=1e-3, atol=1e-6)
    for (name, weight), wanted in zip(model.named_parameters(), literal.parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - wanted).abs().median() < 1e-7, name


def test_the_adversarial_loss_before_feature_matching_is_minus_log_d():
    model = fresh(adversarial="cross_entropy")
    real, made = to_unit_range(noise(6, 1, 16)), to_unit_range(noise(6, 1, 16, seed=1))
    wanted = -model.discriminator(made).sigmoid().log().mean()
    seen, seen_made = (model.discriminator.features(each) for each in (real, made))
    torch.testing.assert_close(model.adversarial_loss(seen, seen_made), wanted, rtol=1e-5, atol=1e-6)


def test_a_discriminator_that_has_won_is_drawn_anew_and_no_other_is():
    images = noise(20, 1, 16)
    spread = {}
    for threshold in (0.0, 100.0):
        model = fresh(batch=6, learning_rate=0.1, width=16, reinitialise_below=threshold)
        model.start(images)
        first = model.discriminator.features[2].weight.clone()
        model.step(randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z"))
        weight = model.discriminator.features[2].weight
        assert not torch.equal(weight, first)
        spread[threshold] = weight.std().item()
        assert model.encoder.code.weight.std() > 0.09  # one step of Adam moves every weight by 0.1
    assert spread[0.0] > 0.09
    error = 0.02 / (2 * weight.numel()) ** 0.5  # standard error of a deviation
    assert abs(spread[100.0] - 0.02) < 4 * error


def test_the_range_is_that_of_the_training_images_scores_after_the_last_step():
    model = trained("ganomaly", IMAGE).eval()
    with torch.no_grad():
        images = to_unit_range(noise(20, 1, 16))
        z = model.encoder(images)
        difference = z - model.second_encoder(model.decoder(z))
    distances = [(difference**2).mean(1), difference.abs().sum(1), torch.linalg.vector_norm(difference, dim=1)]
    wanted = torch.tensor([[values.min(), values.max()] for values in distances])
    assert (wanted[:, 1] > wanted[:, 0]).all()
    torch.testing.assert_close(model.latent_range, wanted, rtol=1e-4, atol=1e-9)


def test_a_training_ends_in_training_mode_and_with_the_range_in_the_checkpoint():
    model = trained("ganomaly", IMAGE)
    assert model.training and "latent_range" in model.state_dict()


def test_finish_runs_once_after_the_last_step_in_eval_mode_without_gradients(monkeypatch):
    model, seen = fresh(steps=3), []

    def finish(images: torch.Tensor) -> None:
        seen.append((len(images), model.training, torch.is_grad_enabled()))

    monkeypatch.setattr(model, "finish", finish)
    training = training_steps.Training(lambda: model, noise(20, 1, 16), train_spec("ganomaly"))
    yielded = [len(seen) for _ in training]
    assert yielded == [0, 0, 0] and seen == [(20, False, False)]


def test_the_decoder_and_encoders_are_the_codes_networks_at_32_pixels():
    model = registry.create("model", "ganomaly", {}, ImageShape(1, 32), randomness.generator(0, "weights"))
    normalised = 2 * (128 + 256)
    encoder = 16 * (64 + 64 * 128 + 128 * 256 + 256 * 100) + normalised
    biases = 64  # of the first convolution, a deviation
    decoder = 16 * (100 * 256 + 256 * 128 + 128 * 64 + 64) + normalised + 2 * 64
    count = {name: sum(weight.numel() for weight in part.parameters()) for name, part in model.named_children()}
    assert count["encoder"] == count["second_encoder"] == encoder + biases
    assert count["decoder"] == decoder
    assert count["discriminator"] == 16 * (64 + 64 * 128 + 128 * 256 + 256) + normalised + biases + 1
