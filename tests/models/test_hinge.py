"""The hinge GAN: its losses by hand, spectral normalisation by a power method and singular values of our own."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu

from heldout import registry
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.scoring_steps import score_images
from heldout.storage import checkpoints
from tests.conftest import noise, record, train_spec, trained

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "hinge") | params
    return registry.create("model", "hinge", params, IMAGE, randomness.generator(0, "weights"))


def normalised_layers(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]


def test_the_losses_of_known_outputs_are_those_of_the_paper():
    model = fresh()
    model.discriminator = nn.Flatten(0)  # D(x) = x, one number each
    real, fake = torch.tensor([3.0, 0.5, -1.0]), torch.tensor([-2.0, 0.0, 0.5])
    torch.testing.assert_close(
        model.discriminator_loss(real, fake), torch.tensor((0 + 0.5 + 2) / 3 + (0 + 1 + 1.5) / 3)
    )
    torch.testing.assert_close(model.generator_loss(fake), torch.tensor(0.5))


class LiteralDiscriminator:
    """D at 16 pixels with raw weights W, each forward with W / (u W v), after one step of the power method."""

    def __init__(self, network: nn.Module) -> None:
        self.weights, self.biases, self.u, self.v = [], [], [], []
        for layer in normalised_layers(network):
            listed = layer.parametrizations.weight
            self.weights.append(listed.original.detach().clone().requires_grad_())
            self.biases.append(layer.bias.detach().clone().requires_grad_())
            self.u.append(listed[0]._u.clone()), self.v.append(listed[0]._v.clone())

    def parameters(self) -> list[Tensor]:
        return [tensor for pair in zip(self.weights, self.biases, strict=True) for tensor in pair]

    def __call__(self, x: Tensor) -> Tensor:
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            matrix = weight.reshape(len(weight), -1)
            with torch.no_grad():
                u = matrix @ self.v[number]
                self.u[number] = u / u.square().sum().sqrt()
                v = matrix.T @ self.u[number]
                self.v[number] = v / v.square().sum().sqrt()
            weight = weight / (self.u[number] @ matrix @ self.v[number])
            last = number == len(self.weights) - 1
            x = conv2d(x, weight, bias) if last else leaky_relu(conv2d(x, weight, bias, stride=2, padding=1), 0.2)
        return x.flatten()


def test_a_step_is_the_papers_with_a_power_iteration_per_forward():
    rate = 1e-3
    model, literal_g = fresh(learning_rate=rate, batch=6, discriminator_steps=3), fresh().generator
    d = LiteralDiscriminator(model.discriminator)
    images = noise(20, 1, 16)
    model.start(images)
    draw, rng = randomness.batches(images, 6, randomness.generator(0, "batches")), randomness.generator(0, "z")
    losses = [model.step(draw, rng) for _ in range(2)]

    draw, rng = randomness.batches(images, 6, randomness.generator(0, "batches")), randomness.generator(0, "z")
    adam_d = torch.optim.Adam(d.parameters(), lr=rate, betas=(0.0, 0.9))
    adam_g = torch.optim.Adam(literal_g.parameters(), lr=rate, betas=(0.0, 0.9))
    for _ in range(2):
        for _ in range(3):
            fake = literal_g(torch.randn(6, model.params.latent, generator=rng)).detach()
            loss_d = (1 - d(draw())).clamp(min=0).mean() + (1 + d(fake)).clamp(min=0).mean()
            adam_d.zero_grad(), loss_d.backward(), adam_d.step()
        loss_g = -d(literal_g(torch.randn(6, model.params.latent, generator=rng))).mean()
        adam_g.zero_grad(), loss_g.backward(), adam_g.step()

    torch.testing.assert_close(losses[-1]["discriminator"], loss_d.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses[-1]["generator"], loss_g.detach(), rtol=1e-3, atol=1e-6)
    trained_d = [
        tensor
        for layer in normalised_layers(model.discriminator)
        for tensor in (layer.parametrizations.weight.original, layer.bias)
    ]
    pairs = [*zip(trained_d, d.parameters(), strict=True)]
    pairs += zip(model.generator.parameters(), literal_g.parameters(), strict=True)
    for weight, expected in pairs:
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7


def test_every_weight_of_the_discriminator_has_largest_singular_value_1():
    model = trained("hinge", IMAGE, steps=5)
    for _ in range(200):  # the power method follows the weights; here it may catch up with them
        model.discriminator(to_unit_range(noise(2, 1, 16)))
    layers = normalised_layers(model.eval().discriminator)
    assert len(layers) == 3
    for layer in layers:
        assert abs(torch.linalg.svdvals(layer.weight.flatten(1))[0] - 1) < 1e-4  # of the iteration, not of rounding
        assert abs(torch.linalg.svdvals(layer.parametrizations.weight.original.flatten(1))[0] - 1) > 0.01


def test_the_first_singular_vectors_come_from_the_given_generator_alone():
    def vector(seed: int) -> Tensor:
        network = nn.Conv2d(3, 5, 4)
        nn.init.eye_(network.weight.flatten(1))
        before = torch.get_rng_state()
        dcgan.spectrally_normalised(network, randomness.generator(seed, "weights"))
        assert torch.equal(torch.get_rng_state(), before)
        return network.parametrizations.weight[0]._u

    torch.manual_seed(1)
    first = vector(0)
    torch.manual_seed(2)
    assert torch.equal(vector(0), first)
    assert not torch.equal(vector(1), first)


@pytest.mark.parametrize("method", ["discriminator", "anogan"])
def test_scores_of_a_saved_and_loaded_model_are_the_same_and_scoring_moves_no_singular_vector(method, tmp_path):
    model = trained("hinge", IMAGE).eval().requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    scorer = registry.create("method", method, registry.small("method", method))
    images, keys = to_unit_range(noise(5, 1, 16, seed=1)), randomness.image_keys(0, range(5))
    score = score_images(scorer, scorer.prepare(model), images, keys)["score"]
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)

    path = tmp_path / "model.safetensors"
    spec = train_spec("hinge")
    checkpoints.write(path, spec, model.state_dict())
    record(path, spec.content)
    other = trained("hinge", IMAGE, seed=1).eval().requires_grad_(False)
    checkpoints.restore(other, checkpoints.load(path, spec.digest), path)
    again = score_images(scorer, scorer.prepare(other), images, keys)["score"]
    torch.testing.assert_close(again, score, rtol=0, atol=0)
