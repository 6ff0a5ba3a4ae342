"""The settings of splits, for a whole experiment or for one entry of `datasets`."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what every generator of random numbers takes
MOST_IMAGES = 10**9


class SplitSettings(BaseModel):
    """Which images are trained on, tested and kept for calibration; `stages/split.py` applies it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    variant: Literal["official", "all_anomalies", "pooled"] = Field(
        "official",
        description="test images: the official test part; its normal images and every anomaly; or a random fifth of "
        "all normal images and every anomaly (GANomaly, EGBAD)",
    )
    split_seed: Seed = Field(0, description="seed of the split, shared by all runs")
    train_items: int | None = Field(
        None,
        ge=2,
        le=MOST_IMAGES,
        description="number of random normal training images, stratified by class; none: all",
    )
    test_items: int | None = Field(
        None, ge=2, le=MOST_IMAGES, description="number of random test images per run, stratified by class; none: all"
    )
    calibration: float = Field(0.0, ge=0, lt=1, description="fraction of the normal training images for calibration")
    contamination: float = Field(
        0.0, ge=0, le=0.5, description="fraction of unlabelled anomalies among the training images"
    )
    labelled_anomalies: int = Field(
        0, ge=0, le=MOST_IMAGES, description="number of labelled anomalies for supervised methods"
    )
    drop_duplicates: bool = Field(
        False, description="leave out test images that are pixel-identical to an image of another part"
    )
