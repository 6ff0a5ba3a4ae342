"""Runs of Snakemake in this folder: whether one is in progress, and what to print when one ends."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from heldout.errors import HeldoutError
from heldout.planning.plan import Plan
from heldout.storage.leftovers import leftovers

TAIL_LINES = 15
LOCKS = Path(".snakemake", "locks")
_LOG_OF_A_FAILED_JOB = re.compile(r"^ +log: (.+?) \(check log file", re.MULTILINE)


def explain(snakemake_logs: Iterable[str | Path], command: str) -> str:
    """Return the last lines of every failed job's log, and the line that resumes.

    Args:
        snakemake_logs: the log files of the Snakemake run itself.
        command: the command that was run.
    """
    logs = [Path(log) for log in snakemake_logs]
    text = "".join(log.read_text(encoding="utf-8", errors="replace") for log in logs if log.is_file())
    parts = [_tail(Path(name)) for name in dict.fromkeys(_LOG_OF_A_FAILED_JOB.findall(text))]
    parts.append(f"Finished files stay valid. Resume with:\n    {command}")
    return "\n".join(["", *parts])


class Ending:
    """The lines to print at the end of a successful run; created while planning, to detect the changes of the run."""

    def __init__(self, plan: Plan) -> None:
        figures = [path for paths in plan.figures.values() for path in paths]
        summary = [path for path in figures if Path(path).stem.endswith("-all")]  # all classes in one figure
        self._folder, self._manifest = plan.folder, Path(plan.manifest)
        self._to_open = [f"{plan.folder}/tables/auroc.md", *(summary or figures)[:1]]
        self._leftovers = list(leftovers(Path(plan.folder), [*plan.tables, *figures, plan.metrics]))
        self._before = self._written()

    def lines(self) -> list[str]:
        """Return what to open and what was removed; nothing if the run did not finish the experiment."""
        if self._written() in (None, self._before):
            return []
        lines = [f"Results to open: {', '.join(self._to_open)}"]
        kept = [path for path in self._leftovers if path.exists()]
        removed = [path for path in self._leftovers if path not in kept]
        for verb, paths in (("Removed from", removed), ("Changed since an earlier run made it, so kept in", kept)):
            if paths:
                names = ", ".join(str(path.relative_to(self._folder)) for path in paths)
                lines.append(f"{verb} {self._folder}: {names}")
        return lines

    def _written(self) -> int | None:
        return self._manifest.stat().st_mtime_ns if self._manifest.is_file() else None


def already_running() -> str | None:
    """Return a line about another run in this folder, or None; Snakemake refuses a run that shares a file with it."""
    if not _is_locked():
        return None
    import psutil  # a requirement of Snakemake; imported only where there is a lock

    try:
        related = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
        processes = list(psutil.process_iter(["cmdline", "cwd"]))
    except psutil.Error:  # a system may hide the processes of others
        return None
    for process in processes:
        is_here = process.info["cwd"] == str(Path.cwd()) and process.pid not in related
        if is_here and "snakemake" in map(_name, (process.info["cmdline"] or [])[:2]):
            return (
                f"process {process.pid} is running snakemake in this folder; if this run is refused, wait for it, "
                "or put both experiments into one file, or give each a clone of its own"
            )
    return None


def refuse_while_one_runs() -> None:
    """Raise HeldoutError while a run of Snakemake may write or read files here."""
    if _is_locked():
        raise HeldoutError(
            "a Snakemake run holds this folder; wait until it ends or, if none is running, type: snakemake --unlock"
        )


def _is_locked() -> bool:
    return LOCKS.is_dir() and any(LOCKS.iterdir())


def _name(word: str) -> str:
    return Path(word).name


def _tail(log: Path) -> str:
    if not log.is_file():
        return f"{log}: no log was written"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join([f"--- {log}", *lines, ""])
