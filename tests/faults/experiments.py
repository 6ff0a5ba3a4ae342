"""Experiment files, planned as Snakemake plans them."""

from pathlib import Path

from heldout.errors import LONGEST, HeldoutError
from heldout.planning.experiment_file import of_run
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.resources import require_possible


def plan(content: str | bytes, folder: Path, *settings: str) -> Plan:
    """Write an experiment file into a folder and plan it, with settings of `--config`."""
    path = folder / "trial.yaml"
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    planned = Plan(resolve(*of_run([path], settings)), without_folders=True)
    require_possible(planned)
    return planned


def refused(content: str | bytes, folder: Path, *settings: str) -> str | None:
    """Return the line that refuses an experiment file; None: it is planned."""
    try:
        plan(content, folder, *settings)
    except HeldoutError as error:
        line = str(error)
        assert len(line) <= LONGEST + len(" ... "), line
        assert line.isprintable(), line
        return line
    return None
