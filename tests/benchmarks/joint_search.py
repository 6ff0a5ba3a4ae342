"""ADGAN's joint search, exact: by the native kernel, against a loop over starts.

The naive loop is what the paper's Algorithm 1 says: for each starting point a deep copy of the generator and two Adam
optimisers. The same kernel compiled without AVX-512 stands for older processors.
"""

import copy

import torch
from torch import Tensor, nn

from heldout import randomness
from heldout.native import joint_search
from heldout.search import Settings, squared_error
from tests.benchmarks._measuring import Row, checked, in_turn
from tests.benchmarks._networks import built, images

SETTINGS = Settings(starts=64, steps=5, z_lr=0.25, theta_lr=5e-5, beta1=0.5, beta2=0.999, block=8, backend="native")
AVX2 = "x86-64-v3"


def measure(rounds: int) -> list[Row]:
    generator, image = built("dcgan").generator, images(2)
    starts = randomness.starting_points(randomness.image_keys(0, [0, 1]), SETTINGS.starts, generator.latent)

    def naive() -> Tensor:
        return torch.stack([naively(generator, image[:1], start) for start in starts[0]])

    def native(machine: str, count: int = 1) -> Tensor:
        return joint_search.search(generator, image[:count], starts[:count], SETTINGS, False, machine=machine)[1]

    seconds = in_turn(
        {"naive": (naive, 1), "native": (lambda: native("native"), 1), "native, AVX2": (lambda: native(AVX2), 1)},
        rounds,
    )
    expected, what = naive(), f"ADGAN, {SETTINGS.starts} starts, {SETTINGS.steps} joint steps"
    errors = {machine: checked(native(machine)[0], expected) for machine in ("native", AVX2)}
    assert torch.equal(native("native", count=2)[0], native("native")[0])
    return [
        Row(what, "naive", "native", "image", 10, seconds, errors["native"]),
        Row(f"{what}, without AVX-512", "naive", "native, AVX2", "image", 5, seconds, errors[AVX2]),
    ]


def naively(generator: nn.Module, image: Tensor, start: Tensor) -> Tensor:
    """Return the loss `()` at which one starting point ends."""
    private = copy.deepcopy(generator).requires_grad_(True)
    z = start[None].clone().requires_grad_()
    betas = (SETTINGS.beta1, SETTINGS.beta2)
    adams = [
        torch.optim.Adam([z], SETTINGS.z_lr, betas),
        torch.optim.Adam(private.parameters(), SETTINGS.theta_lr, betas),
    ]
    for _ in range(SETTINGS.steps):
        for adam in adams:
            adam.zero_grad()
        squared_error(private(z), image).sum().backward()
        for adam in adams:
            adam.step()
    with torch.no_grad():
        return squared_error(private(z), image)[0]
