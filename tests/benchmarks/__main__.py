"""Measure how fast things are, against literal loops: python -m tests.benchmarks [NAME ...]

Each file here without an underscore is a benchmark. Baseline and ours run in turn, and what is exact is checked to be
the same; medians and ratios are printed. results/performance/ keeps all figures, and a drawing of the ratios.
"""

import argparse
import importlib
import json
import os
import pkgutil

from threadpoolctl import threadpool_limits

import tests.benchmarks
from heldout.numerics.determinism import reproducible
from tests.benchmarks import _measuring

NAMES = [module.name for module in pkgutil.iter_modules(tests.benchmarks.__path__) if not module.name.startswith("_")]


def main() -> None:
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command `heldout` does
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    # Not `choices`: argparse holds a default that is a list against them as if it were one name.
    arguments.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    arguments.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch; all processors by default")
    arguments.add_argument("--rounds", type=int, default=5)
    asked = arguments.parse_args()
    if unknown := [name for name in asked.names if name not in NAMES]:
        arguments.error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    with reproducible(asked.threads), threadpool_limits(asked.threads):
        print(json.dumps(_measuring.machine()), flush=True)
        for name in asked.names:
            results = importlib.import_module(f"tests.benchmarks.{name}").measure(asked.rounds)
            _measuring.write(name, results)
            print(f"\n{name}\n\n{_measuring.text(results)}", flush=True)
    _measuring.draw_ratios()


if __name__ == "__main__":
    main()
