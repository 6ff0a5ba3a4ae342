"""How long `snakemake -n` takes on the quickstart; the goal is 3 seconds.

Run it in the repository: python -m tests.benchmarks.planning
"""

import statistics
import subprocess
import time

RUNS = 5


def main() -> None:
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(["snakemake", "-n", "--quiet", "all"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    print(f"snakemake -n: median {middle:.2f} s of {RUNS} runs, {low:.2f} to {high:.2f}")


if __name__ == "__main__":
    main()
