"""ADGAN's joint search, exact: by the native kernel and by PyTorch, against a loop over starts.

The naive loop is what the paper's Algorithm 1 says: for each starting point a deep copy of the generator and two Adam
optimisers. The same kernel compiled without AVX-512 stands for older processors. PyTorch's path is that of a GPU, here
on the CPU, with blocks that stay in its cache; what compiling costs, about a minute, is not in its times.

How far the kernel's scores are from the loop's is also measured on a trained generator.
"""

import copy
import statistics
from dataclasses import replace

import torch
from torch import Tensor, nn

from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.search.latent import LatentSearch, Settings, squared_error
from heldout.search.native import joint_search
from tests.benchmarks._measuring import Row, Table, checked, in_turn
from tests.benchmarks._networks import built, near, trained_wgan

SETTINGS = Settings(starts=64, steps=5, z_lr=0.25, theta_lr=5e-5, beta1=0.5, beta2=0.999, block=8, backend="native")
AVX2 = "x86-64-v3"
BLOCK = 4  # starting points, and images, at a time by PyTorch
TRAINED_ON, STEPS, WIDTH, COUNT = 1, 300, 32, 50  # of the trained generator, and the images searched with it


def measure(rounds: int) -> list[Row | Table]:
    generator = built("dcgan").generator
    given = near(generator, BLOCK)
    keys = randomness.image_keys(0, range(BLOCK))
    starts = randomness.starting_points(keys, SETTINGS.starts, generator.latent)

    as_written = copy.deepcopy(generator).to(memory_format=torch.contiguous_format)

    def naive() -> Tensor:
        return torch.stack([naively(as_written, given[:1], start) for start in starts[0]])

    def native(machine: str, count: int = 1) -> Tensor:
        return joint_search.search(generator, given[:count], starts[:count], SETTINGS, False, machine=machine)[1]

    def by_pytorch(backend: str, count: int = BLOCK) -> Tensor:
        settings = replace(SETTINGS, block=BLOCK, backend=backend)
        search = LatentSearch(generator, squared_error, settings)
        return search.find((given[:count],), keys[:count]).loss

    contenders = {
        "native": lambda: native("native"),
        "native, AVX2": lambda: native(AVX2),
        "compiled": lambda: by_pytorch("compiled"),
        "PyTorch": lambda: by_pytorch("torch"),
    }
    units = {"compiled": BLOCK, "PyTorch": BLOCK}
    seconds = in_turn(
        {"naive": (naive, 1)} | {name: (call, units.get(name, 1)) for name, call in contenders.items()}, rounds
    )
    expected, what = naive(), f"ADGAN, {SETTINGS.starts} starts, {SETTINGS.steps} joint steps"
    assert torch.equal(native("native", count=2)[0], native("native")[0])
    assert torch.equal(by_pytorch("compiled", count=1)[0], by_pytorch("compiled")[0])
    goals = {"native": 10, "native, AVX2": 5, "compiled": 3.5, "PyTorch": None}
    rows = [
        Row(what, "naive", name, "image", goals[name], seconds, checked(call()[0], expected))
        for name, call in contenders.items()
    ]
    return [*rows, trained()]


def trained() -> Table:
    """Compare the kernel with the loop on a WGAN trained for a minute, on digits that it knows and others."""
    model, digits = trained_wgan(digit=TRAINED_ON, steps=STEPS, width=WIDTH)
    generator, given = model.generator, to_unit_range(digits[:COUNT])
    starts = randomness.starting_points(randomness.image_keys(0, range(COUNT)), SETTINGS.starts, generator.latent)
    _, found, _, _ = joint_search.search(generator, given, starts, SETTINGS, mean=False)
    as_written = copy.deepcopy(generator).to(memory_format=torch.contiguous_format)
    of_each = zip(given, starts, strict=True)
    expected = torch.stack([torch.stack([naively(as_written, x[None], z) for z in own]) for x, own in of_each])
    errors = [checked(*pair) for pair in zip(found, expected, strict=True)]
    scores = [error["error of the score"] for error in errors]
    middle = max(error["median error of a start"] for error in errors)
    cells = [str(COUNT), f"{statistics.median(scores):.2g}", f"{max(scores):.2g}", f"{middle:.2g}"]
    return Table(
        f"relative difference of kernel and loop, WGAN of width {WIDTH} trained on the digit {TRAINED_ON} for {STEPS} "
        f"updates, {SETTINGS.starts} starts, {SETTINGS.steps} joint steps",
        ["images", "of a score, median", "of a score, largest", "of the median start, largest"],
        [cells],
    )


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
