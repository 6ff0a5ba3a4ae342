"""Timing files: time, memory and device of a training or scoring."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from heldout.errors import HeldoutError
from heldout.storage.files import write_json
from heldout.storage.sealed import parsed
from heldout.storage.sidecars import TIMING, read_beside, remade, sidecar
from heldout.storage.specs import Record


@dataclass(frozen=True, kw_only=True)
class Timing(Record):
    """The fields that both kinds of timings have.

    Attributes:
        peak_memory_mib: of the process; on a GPU, of the GPU's memory.
        device: the GPU's name, or `cpu` with the architecture.
        processor: its model and instruction set; None: an earlier version wrote the file.
        threads: CPU threads.
        failed: the reason of a numerical failure; None: there was none.
    """

    peak_memory_mib: float
    device: str
    threads: int
    failed: str | None
    processor: str | None = None

    @property
    def machine(self) -> str:
        """The hardware that the time depends on: the processor, after the GPU if there is one."""
        if self.device.startswith("cpu"):
            return self.processor or self.device
        return f"{self.device}, {self.processor}" if self.processor else self.device

    @classmethod
    def beside(cls, path: Path | str) -> Self:
        """Read the timing beside a checkpoint or a score file, after comparing its hash with the spec file.

        Raises:
            NotThere: there is none.
            HeldoutError: it is damaged.
        """
        file, content = sidecar(path, TIMING), read_beside(path, TIMING)
        values = parsed(content, file, remade(path))
        try:
            return cls.of(values)
        except HeldoutError as error:
            raise HeldoutError(f"{file} is no timing ({error}); {remade(path)}") from error

    def write_beside(self, path: Path) -> None:
        write_json(sidecar(path, TIMING), asdict(self))


@dataclass(frozen=True, kw_only=True)
class TrainTiming(Timing):
    """The timing of a training.

    Attributes:
        wall_s: seconds in the loop, without the time of the history.
        images_per_s: training images drawn per second.
        steps: the model's parameter.
    """

    wall_s: float
    images_per_s: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class ScoreTiming(Timing):
    """The timing of a scoring.

    Attributes:
        fit_s: seconds to fit the method to images; None: it is not fitted.
        ms_per_image: after a warm-up; None: no image was scored.
        images: number of images behind `ms_per_image`.
        backends: the backend of each computation that has several.
    """

    fit_s: float | None
    ms_per_image: float | None
    images: int
    backends: dict[str, str] = field(default_factory=dict)
