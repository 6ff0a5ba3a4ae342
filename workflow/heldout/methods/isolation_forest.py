"""Isolation forest: an image that few random splits isolate from the training images is anomalous.

    score = 2^(-E[path length] / c(samples)),  in (0, 1)

Source: Liu, Ting, Zhou, ICDM 2008, with their 100 trees of 256 images; scikit-learn's implementation. It is a baseline
of the ADGAN paper (section 4.2), which finds it "largely stable to changes in its parametrization".
Deviations: the input is raw pixels in [-1, 1]; the ADGAN paper applies PCA first (`pca: oracle`).
"""

from pydantic import Field
from sklearn.ensemble import IsolationForest as Forest

from heldout import registry
from heldout.methods._features import PCA_MEANING, WHEN, Detect, Detector, FeatureParams, PcaRule, Vectors


class Params(FeatureParams):
    trees: int = Field(100, ge=1, description="trees (Liu et al., section 5)")
    samples: int = Field(256, ge=2, description="training images per tree, at most all (Liu et al., section 5)")
    pca: PcaRule = Field(None, description=PCA_MEANING)


@registry.method(
    "isolation_forest",
    paper="Liu et al., ICDM 2008",
    reads=("images",),
    cost="trees comparisons",
    cost_class="fit",
    family="shallow",
    when=WHEN,
    small={"trees": 5},
    compared="min(trees, images)",
)
class IsolationForest(Detector):
    def __init__(self, params: Params) -> None:
        self.params = params

    def learn(self, vectors: Vectors, seed: int) -> Detect:
        samples = min(self.params.samples, len(vectors))
        forest = Forest(n_estimators=self.params.trees, max_samples=samples, random_state=seed).fit(vectors)
        return lambda vectors: -forest.score_samples(vectors)
