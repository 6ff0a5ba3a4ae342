"""What an experiment says of its splits, for all its datasets or in the entry of one of them. Imports no plug-in."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Seed = Annotated[int, Field(ge=0)]


class SplitSettings(BaseModel):
    """Which images play which part; `stages/split.py` does what it says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    variant: Literal["official", "all_anomalies", "pooled"] = Field(
        "official",
        description="what is tested: the official test part; its normal images and every anomaly; or a random fifth of "
        "all normal images and every anomaly (GANomaly, EGBAD)",
    )
    split_seed: Seed = Field(0, description="draws the split; runs share it")
    train_items: int | None = Field(
        None, ge=2, description="random normal images to train on, stratified by class; none: all"
    )
    test_items: int | None = Field(None, ge=2, description="random test images per run, stratified by class; none: all")
    calibration: float = Field(0.0, ge=0, lt=1, description="share of the training normals kept for thresholds")
    contamination: float = Field(
        0.0, ge=0, le=0.5, description="share of the training images that are anomalies, of which nothing is told"
    )
    labelled_anomalies: int = Field(
        0, ge=0, description="anomalous training images whose label is given to methods that ask for it, by name"
    )
    drop_duplicates: bool = Field(
        False, description="whether test images that are also training images, pixel for pixel, are left out"
    )

    @field_validator("split_seed", "train_items", "test_items", "labelled_anomalies", mode="before")
    @classmethod
    def _counts(cls, value: Any) -> Any:
        """`--config test_items=5e3` comes as a string."""
        return as_number(value, {"type": "integer"})


def as_number(value: Any, rule: dict[str, Any]) -> Any:
    """Return a number where the rule wants one: Snakemake reads `5e-5` as a string, YAML `5.0` as no integer."""
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
