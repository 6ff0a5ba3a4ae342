"""What the methods that search a generator's latent space share: parameters, and how they become a search."""

from typing import ClassVar, Literal

from pydantic import Field

from heldout.methods import Backend, MethodParams
from heldout.search.latent import LatentSearch, Settings


class LatentParams(MethodParams):
    """Where a search may take z; the papers' own searches do not restrict it."""

    penalty: float = Field(0.0, ge=0, description="weight beta of ||z||^2 / 2 in what the search lowers")
    restriction: Literal["none", "shell", "clip"] = Field(
        "none", description="after each step: z as it is, put to length sqrt(latent), or clipped to [-bound, bound]"
    )
    bound: float = Field(3.0, gt=0, description="of every dimension of z, for `restriction: clip`")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of the steps, where z alone moves: bfloat16 takes half the time; all after the last is float32",
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
        "together", description="z and the weights in one step, or z first and then the weights; the paper is silent"
    )
    block: int = Field(8, ge=1, description="starting points in one forward; 64 suits a GPU better, and theta_lr 0")
    backend: Literal["auto", "native", "compiled", "torch"] = Field(
        "auto",
        description="of the joint search: a C++ kernel, PyTorch compiled or not; auto: the kernel, on a GPU compiled",
    )

    @property
    def images_per_block(self) -> int:
        return max(1, self.block // self.starts)


def settings(params: LatentParams, **others: float) -> Settings:
    """Return how to search by these parameters, and by `others` for what they lack."""
    return Settings(**params.model_dump(include=set(Settings.__dataclass_fields__)), **others)


def backends(search: LatentSearch) -> dict[str, Backend]:
    """Return what `Method.backends` wants to know of a search."""
    return {} if search.backend is None else {"joint search": Backend(search.backend, search.why)}
