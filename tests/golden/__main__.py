"""Compare two checkouts' numbers, bit for bit: python -m tests.golden BEFORE AFTER

Each is a commit of this repository or a folder with a checkout. Every experiment in tests/golden/experiments runs in a
copy of each, on this machine, and tensors, scores, prepared arrays, labels, splits, loss histories and tables are
compared, whatever digests name them. In AFTER the experiment `resumed` is cut off in its training and in its scoring.
Where BEFORE is a commit, its results are kept in WORK for the next time. The exit status is 1 if anything differs.
"""

import argparse
import contextlib
import shutil
import sys
import time
from pathlib import Path

import yaml

from tests.golden.checkout import Checkout, RunFailed, mirror_with_weights
from tests.golden.comparing import Comparison

EXPERIMENTS = Path(__file__).parent / "experiments"
RESUMED = "resumed"
MIRRORED = {"photographs": ("cifar10", "mnist", "scenes"), "folders": ("xray",)}  # experiments that read a mirror
FULL = {"config.yaml": [2], "workflow/experiments/all-methods-small.yaml": [1]}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__.splitlines()[0])
    parser.add_argument("before", help="a commit or a folder")
    parser.add_argument("after", help="a commit or a folder")
    parser.add_argument("--work", type=Path, required=True, help="folder for the copies and their results")
    parser.add_argument("--mirror", type=Path, help="folder with mnist, cifar10, scenes and xray")
    parser.add_argument("--full", action="store_true", help="the quickstart and all-methods-small on one digit as well")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the experiments")
    parser.add_argument("--cores", type=int, default=1)
    asked = parser.parse_args()

    work = asked.work.resolve()
    mirror = mirror_with_weights(asked.mirror, work / "mirror")
    shutil.rmtree(work / "after", ignore_errors=True)  # finished jobs could not be cut off
    comparison = Comparison()
    with (
        contextlib.closing(Checkout(asked.before, work / "before", mirror, asked.cores)) as before,
        contextlib.closing(Checkout(asked.after, work / "after", mirror, asked.cores)) as after,
    ):
        for name, text in experiments(before.folder, asked.full).items():
            lacking = [dataset for dataset in MIRRORED.get(name, ()) if not (mirror / dataset).is_dir()]
            if lacking:
                print(f"{name}: skipped, because the mirror lacks {' and '.join(lacking)}")
            elif not asked.only or name in asked.only:
                compare(name, text, before, after, comparison)
    print("compared:", ", ".join(f"{count:,} {kind}" for kind, count in comparison.counts.items()))
    for remark in comparison.remarks:
        print("remark:", remark)
    print(f"{len(comparison.differences)} differences" if comparison.differences else "all equal")
    return 1 if comparison.differences or not comparison.counts else 0


def experiments(checkout: Path, full: bool) -> dict[str, str]:
    """Return the text of each experiment by its name; `full` adds two of the checkout's own, on one digit."""
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(EXPERIMENTS.glob("*.yaml"))}
    for file, held_out in FULL.items() if full else ():
        content = yaml.safe_load((checkout / file).read_text(encoding="utf-8"))
        name = f"full-{content['experiment']}"
        found[name] = yaml.safe_dump(content | {"experiment": f"golden-{name}", "held_out": held_out, "figures": []})
    return found


def compare(name: str, text: str, before: Checkout, after: Checkout, comparison: Comparison) -> None:
    """Run an experiment in both checkouts, compare its results, and print what differs."""
    spent, known = [], len(comparison.differences)
    try:
        for checkout in (before, after):
            began = time.time()
            checkout.run(name, text, cut_off=name == RESUMED and checkout is after)
            spent.append(f"{time.time() - began:.0f} s")
        comparison.add(before.folder, after.folder, yaml.safe_load(text)["experiment"])
    except RunFailed as failure:
        comparison.differences.append(f"{name}: {failure}")
    found = comparison.differences[known:]
    print(f"{name}: {f'{len(found)} differences' if found else 'equal'} (ran {' before, '.join(spent)} after)")
    for line in found:
        print(f"  {line}")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
