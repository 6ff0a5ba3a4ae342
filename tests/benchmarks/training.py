"""A training of GANomaly against its authors' loop, and what keeping a history costs.

The loop is that of samet-akcay/ganomaly (lib/model.py), written from its description: plain Adam, contiguous layout,
the discriminator run again for each loss, gradients of its weights that the generator's loss does not need.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, l1_loss, mse_loss

from heldout.numerics import randomness, training_steps
from heldout.stages.train import History, _watch
from tests.benchmarks._measuring import Row, in_turn
from tests.benchmarks._networks import built, images
from tests.conftest import train_spec

STEPS = 6  # in one timing
COUNT = 2000
PRECISIONS = ("float32", "bfloat16")
MOST_FOR_HISTORY = 0.02  # of a training's time


def measure(rounds: int) -> list[Row]:
    given = ((images(COUNT) + 1) * 127.5).round().to(torch.uint8)
    batch = built("ganomaly").params.batch
    naive = _authors(built("ganomaly"), given)
    ours = {precision: _training(precision, given) for precision in PRECISIONS}
    watched, history = _training("float32", given), History()
    first, (ours_first, _) = next(naive), next(ours["float32"])
    error = abs(ours_first["discriminator"] / first - 1)
    assert error <= 1e-4, error

    def advance(training: Iterator) -> None:
        for _ in itertools.islice(training, STEPS):
            pass

    def with_history() -> None:
        for losses, drawn in itertools.islice(watched, STEPS):
            _watch(watched, history, losses, drawn)

    seconds = in_turn(
        {"the authors' loop": (lambda: advance(naive), STEPS * batch)}
        | {name: (lambda each=each: advance(each), STEPS * batch) for name, each in ours.items()}
        | {"with history": (with_history, STEPS * batch)},
        rounds,
    )
    watched_s, trained_s = history.watching_s / (rounds + 1), sum(seconds["with history"]) / rounds * STEPS * batch
    share = watched_s / trained_s
    assert share <= MOST_FOR_HISTORY, share
    what = f"training GANomaly, batch {batch}"
    errors = {"difference of the first loss": error, "share of the history": share}
    return [
        Row(what, "the authors' loop", "float32", "image", None, seconds, errors),
        Row(what, "the authors' loop", "bfloat16", "image", 3, seconds),
    ]


def _training(precision: str, given: Tensor) -> training_steps.Training:
    model = built("ganomaly").requires_grad_(True)
    return training_steps.Training(lambda: model, given, replace(train_spec("ganomaly"), precision=precision))


def _authors(model: nn.Module, given: Tensor) -> Iterator[float]:
    model.train().requires_grad_(True).to(memory_format=torch.contiguous_format)
    parts = (model.encoder, model.decoder, model.second_encoder)
    betas = (model.params.beta1, model.params.beta2)
    optim_g = torch.optim.Adam(itertools.chain(*(part.parameters() for part in parts)), 2e-4, betas)
    optim_d = torch.optim.Adam(model.discriminator.parameters(), 2e-4, betas)
    features, decision = model.discriminator.features, model.discriminator.decision
    draw = randomness.batches(given, model.params.batch, randomness.batch_order(0, "ganomaly"))
    while True:
        real = draw().contiguous()
        z = model.encoder(real)
        made = model.decoder(z)
        z_of_made = model.second_encoder(made)
        of_real = decision(features(real)).sigmoid().flatten()
        of_made = decision(features(made.detach())).sigmoid().flatten()
        optim_g.zero_grad()
        adversarial = mse_loss(features(made), features(real))
        (adversarial + 50 * l1_loss(made, real) + mse_loss(z_of_made, z)).backward(retain_graph=True)
        optim_g.step()
        optim_d.zero_grad()
        ones, zeros = torch.ones_like(of_real), torch.zeros_like(of_made)
        loss = (binary_cross_entropy(of_real, ones) + binary_cross_entropy(of_made, zeros)) / 2
        loss.backward()
        optim_d.step()
        yield loss.item()
