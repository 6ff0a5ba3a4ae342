"""The settings of splits, for a whole experiment or for one entry of `datasets`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Seed = Annotated[int, Field(ge=0)]


class SplitSettings(BaseModel):
    """Which images are trained on, tested and kept for calibration; `stages/split.py` applies it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: Literal["official", "all_anomalies", "pooled"] = Field(
        "official",
        description="test images: the official test part; its normal images and every anomaly; or a random fifth of "
        "all normal images and every anomaly (GANomaly, EGBAD)",
    )
    split_seed: Seed = Field(0, description="seed of the split, shared by all runs")
    train_items: int | None = Field(
        None, ge=2, description="number of random normal training images, stratified by class; none: all"
    )
    test_items: int | None = Field(
        None, ge=2, description="number of random test images per run, stratified by class; none: all"
    )
    calibration: float = Field(0.0, ge=0, lt=1, description="fraction of the normal training images for calibration")
    contamination: float = Field(
        0.0, ge=0, le=0.5, description="fraction of unlabelled anomalies among the training images"
    )
    labelled_anomalies: int = Field(0, ge=0, description="number of labelled anomalies for supervised methods")
    drop_duplicates: bool = Field(
        False, description="leave out test images that are pixel-identical to an image of another part"
    )

    @field_validator("split_seed", "train_items", "test_items", "labelled_anomalies", mode="before")
    @classmethod
    def _counts(cls, value: Any) -> Any:
        """Convert strings: Snakemake reads `--config test_items=5e3` as one."""
        return as_number(value, {"type": "integer"})


def as_number(value: Any, rule: dict[str, Any]) -> Any:
    """Convert a value to its schema's number type: Snakemake reads `5e-5` as a string, YAML `5.0` as a float."""
    types = {option.get("type") for option in rule.get("anyOf", [rule])}
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not types & {"integer", "number"}:
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    if "number" in types:
        return number
    return int(number) if number.is_integer() else value
