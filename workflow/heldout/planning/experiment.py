"""The settings of an experiment file: names, types, ranges and defaults; `resolve.py` checks its entries."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, field_validator

from heldout.errors import LONGEST_WORD, HeldoutError, short, unknown
from heldout.planning.split_settings import Seed, SplitSettings

MIRROR_VARIABLE = "HELDOUT_MIRROR"
SAVE_EVERY_S = 60
JOBS_PER_GPU = 4

SHARED_FOLDERS = ("checkpoints", "scores", "logs", "benchmarks")  # below results/, beside the experiments

LONGEST_NAME = 64  # several make a file's name, of which file systems take 255 bytes
Name = Annotated[str, StringConstraints(max_length=LONGEST_NAME, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Device = Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
Entries = dict[Name, dict[str, Any]]


class Settings(SplitSettings):
    """All keys of an experiment file; unknown keys are errors."""

    model_config = ConfigDict(title="heldout experiment")

    experiment: Name = Field(description="name of the folder in results/")
    datasets: Entries = Field(min_length=1, description="datasets to train and test on; `heldout datasets` lists them")
    protocol: Literal["one_class", "leave_one_out", "folders"] = Field(
        "one_class", description="rule for the normal classes; `folders`: those in the dataset's option `normal`"
    )
    held_out: Literal["all"] | list[str | int] = Field("all", description="held-out classes, by name or number")
    seeds: list[Seed] = Field([0], min_length=1, description="one training per seed")
    models: Entries = Field({}, description="models to train; `heldout models` lists them")
    methods: Entries = Field(min_length=1, description="methods that score images; `heldout methods` lists them")
    device: Device = Field("auto", description="auto, cpu, cuda or cuda:N")
    jobs_per_gpu: int = Field(
        JOBS_PER_GPU, ge=1, le=1024, description="maximum number of trainings and scorings on a GPU; others wait"
    )
    memory: int | None = Field(None, ge=1, le=2**30, description="memory limit of a scoring in MiB; none: no limit")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="floating-point type of trainings")
    threads: int = Field(1, ge=1, le=1024, description="CPU threads of a training or scoring; part of its digest")
    save_every: int = Field(
        SAVE_EVERY_S, ge=1, le=10**6, description="seconds between saves of unfinished trainings and scorings"
    )
    mirror: str | None = Field(None, description="folder or address with the datasets' files; see HELDOUT_MIRROR")
    bootstrap: int = Field(1000, ge=100, le=10**6, description="number of bootstrap resamples of the test images")
    figures: list[str] = Field(["roc", "scores", "samples"], description="figures to draw: files in heldout/figures/")

    @field_validator("datasets", "models", "methods", mode="before")
    @classmethod
    def _empty_entries(cls, entries: Any) -> Any:
        """`adgan:` without a value is `adgan: {}`."""
        if not isinstance(entries, dict):
            return entries
        return {name: {} if params is None else params for name, params in entries.items()}

    @field_validator("experiment")
    @classmethod
    def _not_a_shared_folder(cls, name: str) -> str:
        if name in SHARED_FOLDERS:
            raise ValueError(f"all experiments share the folder results/{name}; choose another name")
        return name

    @field_validator("held_out", mode="before")
    @classmethod
    def _all_or_a_list(cls, classes: Any) -> Any:
        if classes != "all" and not isinstance(classes, list):
            raise ValueError(f"`all`, or a list such as [{short(classes, LONGEST_WORD)}]")
        return classes

    @field_validator("held_out", "seeds")
    @classmethod
    def _not_empty_and_distinct(cls, values: Any) -> Any:
        if isinstance(values, list) and (not values or len(set(map(str, values))) < len(values)):
            raise ValueError("the list is empty or contains a value twice")
        return values


def explained(error: ValidationError, where: str) -> HeldoutError:
    """Return a failed validation as an error of one line."""
    errors = error.errors()
    misspelt = [each for each in errors if each["type"] == "extra_forbidden"]  # often why another key is missing
    first = (misspelt or errors)[0]
    internal = ("literal[", "list[", "constrained")  # pydantic adds the alternatives of a union to the path
    parts = [short(part, LONGEST_WORD) for part in first["loc"] if part != "[key]"]
    place = ".".join(part for part in parts if not part.startswith(internal))
    if first["type"] == "extra_forbidden":
        return unknown(where, "key", first["loc"][-1], Settings.model_fields)
    if first["type"] == "missing":
        return HeldoutError(f"{where}: the key {place!r} is missing")
    wanted = {
        "dict_type": "expected entries such as {NAME: {}}",
        "list_type": f"expected a list such as [{short(first['input'], LONGEST_WORD)}]",
        "string_pattern_mismatch": "a name consists of letters, digits, '_', '-' and '.'",
        "string_too_long": f"a name has at most {LONGEST_NAME} characters",
    }
    if place == "device":
        wanted["string_pattern_mismatch"] = "expected auto, cpu, cuda or cuda:N"
    message = wanted.get(first["type"], first["msg"].removeprefix("Value error, "))
    return HeldoutError(f"{where}, {place}: {message} (it is {short(repr(first['input']), LONGEST_WORD)})")
