"""A copy of a checkout in which the experiments run; the checkout itself stays as it is."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.serving import served

WEIGHTS = "alexnet-owt-7be5be79.pth"
PUBLISHED = re.compile(
    "sha256:7be5be79[0-9a-f]*"
)  # AlexNet's registered checksum; older commits state its first digits
CUT_OFF = ("train", "score")  # the rules whose jobs are interrupted once each
DEADLINE_S = 300


class RunFailed(Exception):
    """Why an experiment has no results."""


class Checkout:
    """A copy of a commit or of a folder's files.

    Args:
        source: a commit of this repository, or a folder with a checkout.
        place: where copies of commits stay, with their results: a second run takes them as they are.
        mirror: a folder made by `mirror_with_weights`.
        cores: for Snakemake.
    """

    def __init__(self, source: str, place: Path, mirror: Path, cores: int) -> None:
        self.cores = cores
        self._forks: dict[str, str] = {}
        self._stack = contextlib.ExitStack()
        if Path(source).is_dir():
            listing = _output("git", "-C", source, "ls-files", "-co", "--exclude-standard")
            self.folder = place / "folder"
            shutil.rmtree(self.folder, ignore_errors=True)  # of earlier content, under the same digests
            for name in filter(lambda name: (Path(source) / name).is_file(), listing.splitlines()):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(source) / name, self.folder / name)
        else:
            self.folder = place / _output("git", "rev-parse", "--verify", f"{source}^{{commit}}").strip()
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True)
                with subprocess.Popen(["git", "archive", source], stdout=subprocess.PIPE) as archive:
                    subprocess.run(["tar", "x", "-C", self.folder], stdin=archive.stdout, check=True)
        paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = os.environ | {
            "PATH": os.pathsep.join(paths),
            "PYTHONPATH": str(self.folder / "workflow"),
            "HELDOUT_MIRROR": str(mirror),
            "CUDA_VISIBLE_DEVICES": "",
        }
        self._expect_weights(mirror / "alexnet" / WEIGHTS)
        for name in ("scenes", "xray"):
            if (mirror / name).is_dir() and not (self.folder / "data" / name).exists():
                (self.folder / "data").mkdir(exist_ok=True)
                (self.folder / "data" / name).symlink_to((mirror / name).resolve())

    def run(self, name: str, text: str, cut_off: bool) -> None:
        """Run an experiment, unless it has finished here; `cut_off` interrupts its jobs on the way."""
        file, experiment = self.folder / f"golden-{name}.yaml", yaml.safe_load(text)["experiment"]
        finished = self.folder / "results" / experiment / "manifest.json"
        if finished.is_file() and file.is_file() and file.read_text(encoding="utf-8") == text:
            return
        finished.unlink(missing_ok=True)
        file.write_text(text, encoding="utf-8")
        arguments = ["--configfile", file.name, "--rerun-incomplete", "--quiet", "rules", "progress"]
        if cut_off:
            logs = [log for rule in CUT_OFF for log in self._interrupt(rule, arguments)]
            self._snakemake(arguments)
            for log in logs:
                if not re.search(r"^[^%]* [1-9]\d?%\|", log.read_text(encoding="utf-8")):  # the bar's first state
                    raise RunFailed(f"{log}: after it was cut off, the job started anew")
            return
        self._forks = self._forks or self._stack.enter_context(served(self.environment, self.folder))
        self._snakemake(arguments, self._forks)

    def _snakemake(self, arguments: list[str], environment: dict[str, str] | None = None) -> None:
        with self._running(arguments, environment) as process:
            printed, _ = process.communicate()
        if process.returncode:
            raise RunFailed(f"{self.folder}: snakemake {' '.join(arguments)} failed\n{printed}")

    def _interrupt(self, rule: str, arguments: list[str]) -> list[Path]:
        """End a run by SIGTERM once a job of the rule has saved a state; return the logs of what was cut off."""
        logs, began = self.folder / "results" / "logs" / rule, time.time()
        cut: list[Path] = []
        with self._running(arguments) as process:
            while not cut:
                if process.poll() is not None or time.time() - began > DEADLINE_S:
                    raise RunFailed(f"{self.folder}: no job of the rule {rule} could be cut off; make its work longer")
                time.sleep(0.05)
                saved = {path.stem for path in self.folder.glob("results/.resume/saves/*")}
                cut = [log for log in logs.rglob("*.log") if log.stem in saved]
        self._snakemake(["--unlock", *arguments])
        return cut

    @contextlib.contextmanager
    def _running(
        self, arguments: list[str], environment: dict[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """Run Snakemake; whatever of it is left at the end is asked to stop."""
        process = subprocess.Popen(
            ["snakemake", "--cores", str(self.cores), *arguments],
            cwd=self.folder,
            env=self.environment | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a group of its own, for signals
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.communicate()

    def close(self) -> None:
        """End the process that serves `heldout`, if one was needed."""
        self._stack.close()

    def _expect_weights(self, weights: Path) -> None:
        """Register the checksum of the weights that lie in the mirror in place of the published one."""
        changed = False
        checksum = f"sha256:{hashlib.sha256(weights.read_bytes()).hexdigest()[:8]}"
        for path in [*(self.folder / "workflow").rglob("*.py"), *(self.folder / "workflow").rglob("*.json")]:
            text = path.read_text(encoding="utf-8")
            if PUBLISHED.search(text):
                path.write_text(PUBLISHED.sub(checksum, text), encoding="utf-8")
                changed = True
        if changed:  # not in a copy that was kept
            subprocess.run(
                ["heldout", "schema"], cwd=self.folder, env=self.environment, check=True, stdout=subprocess.DEVNULL
            )


def mirror_with_weights(mirror: Path | None, folder: Path) -> Path:
    """Return a mirror with what another one holds and random weights of AlexNet, kept in `folder`."""
    weights = folder / "alexnet" / WEIGHTS
    if not weights.is_file():
        import torch
        from torchvision.models import alexnet

        weights.parent.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        torch.save(alexnet().state_dict(), weights)
    for given in mirror.iterdir() if mirror else []:
        if not (folder / given.name).exists():
            (folder / given.name).symlink_to(given.resolve())
    return folder


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
