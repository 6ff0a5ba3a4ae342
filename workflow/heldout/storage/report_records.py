"""Records of the steps that write an experiment's results, such as `results/<experiment>/records/tables-<digest>.json`.

A record states the inputs of its step and the SHA-256 of each file that the step read and wrote. Planning decides by
the records, not by modification times, whether results are of today's experiment; readers compare what they read with
them. Each step has one record.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from heldout import shapes_no_number
from heldout.errors import HeldoutError
from heldout.storage.hashing import sha256_of_bytes
from heldout.storage.sealed import read_sealed, write_sealed
from heldout.storage.specs import Record

AGAIN = "delete it and run snakemake again"


@shapes_no_number
@dataclass(frozen=True, kw_only=True)
class ReportRecord(Record):
    """What a step was made from and wrote.

    Attributes:
        inputs: the SHA-256 of the list of inputs, `inputs.json`.
        read: the SHA-256 of each score file, checkpoint and table that the step read, by path.
        written: the SHA-256 of each file that it wrote, by path.
    """

    inputs: str
    read: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)


@shapes_no_number
def paths(folder: Path, step: str) -> list[Path]:
    """Return the records of a step, `*` for all steps, in an experiment's folder."""
    return sorted((folder / "records").glob(f"{step}-*.json"))


@shapes_no_number
def path_of(folder: Path, step: str, name: str) -> Path:
    """Return the path of a step's record; `name` is a digest."""
    return folder / "records" / f"{step}-{name}.json"


@shapes_no_number
def all_of(folder: Path, step: str = "*") -> dict[Path, ReportRecord]:
    """Return the records of a step, or of all, in an experiment's folder; a damaged one counts as missing."""
    found = {}
    for path in paths(folder, step):
        with suppress(FileNotFoundError, HeldoutError):  # its step may have begun anew meanwhile
            found[path] = read(path)
    return found


@shapes_no_number
def read(path: Path) -> ReportRecord:
    """Read a record.

    Raises:
        FileNotFoundError: there is none.
        HeldoutError: it is damaged.
    """
    content = read_sealed(path, AGAIN)
    try:
        return ReportRecord.of(content)
    except HeldoutError as error:
        raise HeldoutError(f"{path} is damaged ({error}); {AGAIN}") from error


@shapes_no_number
def write(path: Path, record: ReportRecord) -> None:
    write_sealed(path, asdict(record))


@shapes_no_number
def checked(path: Path, sha256: str) -> bytes:
    """Return the content of a file that a step wrote, after comparing its hash with the recorded one.

    Raises:
        HeldoutError: the file is missing or damaged.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise HeldoutError(f"{path} is missing; run snakemake again") from error
    if sha256_of_bytes(content) != sha256:
        raise HeldoutError(f"{path} is damaged, or was changed after it was written; {AGAIN}")
    return content
