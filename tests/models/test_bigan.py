"""BiGAN: a step against its three objectives written out, and the averages against their definition."""

import copy

import torch
from torch import nn

from heldout import registry
from heldout.networks.joint import JointDiscriminator
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness, training_steps
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise, train_spec

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "bigan") | params
    return registry.create("model", "bigan", params, IMAGE, randomness.generator(0, "weights"))


def test_a_step_is_the_discriminators_and_then_the_other_twos_against_it():
    rate = 0.01  # so large that a loss against the updated discriminator is far from that against the old one
    model = fresh(batch=6, learning_rate=rate, dropout=0)
    literal = copy.deepcopy(model)
    images = noise(20, 1, 16)
    model.start(images)
    found = model.step(randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z"))

    settings = {"lr": rate, "betas": (0.5, 0.999)}
    e, g, d = literal.encoder, literal.generator, literal.joint_discriminator
    adam_d, adam_g, adam_e = (torch.optim.Adam(network.parameters(), **settings) for network in (d, g, e))
    draw, rng = randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z")
    x, z = draw(), torch.randn(6, literal.params.latent, generator=rng)
    value = d(x, e(x)).sigmoid().log().mean() + (1 - d(g(z), z).sigmoid()).log().mean()
    adam_d.zero_grad(), (-value).backward(), adam_d.step()
    x, z = draw(), torch.randn(6, literal.params.latent, generator=rng)
    loss_g = -d(g(z), z).sigmoid().log().mean()
    loss_e = -(1 - d(x, e(x)).sigmoid()).log().mean()
    adam_g.zero_grad(), loss_g.backward(), adam_g.step()
    adam_e.zero_grad(), loss_e.backward(), adam_e.step()

    for name, loss in {"discriminator": -value, "generator": loss_g, "encoder": loss_e}.items():
        torch.testing.assert_close(found[name], loss.detach(), rtol=1e-3, atol=1e-6)
    for (name, weight), expected in zip(model.named_parameters(), literal.parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name


def test_what_is_kept_is_the_average_of_the_weights_over_the_steps():
    decay, spec = 0.6, train_spec("bigan")
    images = noise(20, 1, 16)
    last, kept = fresh(steps=4, ema=0, learning_rate=0.01), fresh(steps=4, ema=decay, learning_rate=0.01)
    wanted: dict[str, torch.Tensor] = {}
    for _ in training_steps.Training(lambda: last, images, spec):
        for name, weight in last.named_parameters():
            now = weight.detach().clone()
            wanted[name] = decay * wanted[name] + (1 - decay) * now if name in wanted else now
    for _ in training_steps.Training(lambda: kept, images, spec):
        pass
    for name, weight in kept.named_parameters():
        torch.testing.assert_close(weight.detach(), wanted[name], rtol=1e-5, atol=1e-7)
    assert not torch.equal(kept.generator.blocks[0].weight, last.generator.blocks[0].weight)
    assert set(kept.state_dict()) == set(last.state_dict())


def test_the_joint_discriminator_has_the_published_codes_dense_layers():
    judge = JointDiscriminator(200, 64, ImageShape(1, 32))
    shapes = [tuple(part.weight.shape) for part in (judge.code_features, judge.joint_features, judge.decision)]
    assert shapes == [(512, 200), (1024, 256 * 4 * 4 + 512), (1, 1024)]


def test_a_decision_is_a_linear_map_of_the_features_of_image_and_code():
    judge = JointDiscriminator(8, 4, IMAGE).eval()
    images, z = to_unit_range(noise(3, 1, 16)), torch.randn(3, 8)
    leaky = nn.LeakyReLU(0.1)
    both = torch.cat([judge.image_features(images).flatten(1), leaky(judge.code_features(z))], dim=1)
    features = leaky(judge.joint_features(both))
    torch.testing.assert_close(judge.features(images, z), features)
    torch.testing.assert_close(judge(images, z), judge.decision(features)[:, 0])


def test_dropout_drops_its_share_by_the_generators_draws_and_keeps_the_mean():
    judge = JointDiscriminator(8, 4, IMAGE, dropout=0.25)
    features = torch.ones(200, 500)
    first, again, other = (judge._drop(features, randomness.generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert set(first.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    error = (0.25 * 0.75 / features.numel()) ** 0.5  # standard error of a share
    assert abs((first == 0).float().mean() - 0.25) < 4 * error
    assert torch.equal(judge._drop(features, None), features)
