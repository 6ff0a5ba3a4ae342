"""Scoring by encoders, that is GANomaly's three networks, against a plain forward: many images at once, and one."""

import copy

import torch
from torch import Tensor

from heldout.methods.ganomaly import GANomaly, Params
from heldout.numerics import randomness
from heldout.numerics.scoring_steps import score_images
from tests.benchmarks._measuring import Row, in_turn
from tests.benchmarks._networks import built, images

BATCHES = {256: 2, 1: 50}  # images at once, calls in one timing


def measure(rounds: int) -> list[Row]:
    model = built("ganomaly")
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)

    @torch.no_grad()
    def forward(given: Tensor) -> Tensor:
        z = plain.encoder(given)
        return (z - plain.second_encoder(plain.decoder(z))).square().mean(1)

    rows = []
    for count, calls in BATCHES.items():
        given, keys = images(count), randomness.image_keys(0, range(count))
        method = GANomaly(Params(block=count))

        def repeated(call, calls: int = calls) -> None:
            for _ in range(calls):
                call()

        def score(given: Tensor = given, keys: Tensor = keys, method: GANomaly = method) -> Tensor:
            return score_images(method, model, given, keys)["score"]

        seconds = in_turn(
            {
                "plain forward": (lambda given=given: repeated(lambda: forward(given)), calls * count),
                "heldout": (lambda: repeated(score), calls * count),
            },
            rounds,
        )
        found, expected = score(), forward(given)
        error = ((found - expected).abs() / expected).max().item()
        assert error <= 1e-4, error
        what = f"scoring by GANomaly, {count} at once"
        rows.append(Row(what, "plain forward", "heldout", "image", 2, seconds, {"largest error": error}))
    return rows
