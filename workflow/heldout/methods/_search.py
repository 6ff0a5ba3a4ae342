"""Parameters of the methods that search a generator's latent space, and their conversion to search settings."""

from typing import ClassVar, Literal

from pydantic import Field

from heldout.methods import Backend, MethodParams
from heldout.search.latent import LatentSearch, Settings


class LatentParams(MethodParams):
    """Restrictions of z in a search; the papers use none."""

    penalty: float = Field(0.0, ge=0, description="weight beta of the penalty ||z||^2 / 2 in the objective")
    restriction: Literal["none", "shell", "clip"] = Field(
        "none", description="after each step: none; shell: scale z to norm sqrt(latent); clip z to [-bound, bound]"
    )
    bound: float = Field(3.0, gt=0, description="largest |z_d| of each dimension d, for `restriction: clip`")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of the steps in a search of z alone; bfloat16 takes half the time; results are in float32",
    )


class SearchParams(LatentParams):
    """The joint search of ADGAN's Algorithm 1."""

    rows: ClassVar[Literal["images", "starts"]] = "starts"
    starts: int = Field(64, ge=1, description="starting points per image (n_seed)")
    steps: int = Field(5, ge=0, description="Adam steps from each starting point (k)")
    z_lr: float = Field(0.25, gt=0, description="Adam's step size on z (footnote 5)")
    theta_lr: float = Field(5e-5, ge=0, description="Adam's step size on the weights (footnote 5); 0 searches z alone")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient (footnote 5)")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient (footnote 5)")
    update: Literal["together", "in_turn"] = Field(
        "together", description="update z and the weights in one step, or z first; the paper does not say which"
    )
    block: int = Field(8, ge=1, description="starting points in one forward; 64 is better on a GPU or with theta_lr 0")
    backend: Literal["auto", "native", "compiled", "torch"] = Field(
        "auto",
        description="joint search by the C++ kernel or PyTorch; auto: the kernel on a CPU, compiled PyTorch on a GPU",
    )

    @property
    def images_per_block(self) -> int:
        return max(1, self.block // self.starts)


def settings(params: LatentParams, **others: float) -> Settings:
    """Return search settings from these parameters, and from `others` for settings that are not parameters."""
    return Settings(**params.model_dump(include=set(Settings.__dataclass_fields__)), **others)


def backends(search: LatentSearch) -> dict[str, Backend]:
    """Return `Method.backends` for a search."""
    return {} if search.backend is None else {"joint search": Backend(search.backend, search.why)}
