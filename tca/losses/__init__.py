"""Losses as frozen values: value, output error, and admissibility for decorrelation."""

from __future__ import annotations

from tca.losses import families, generators, links
from tca.losses.absolute import AbsoluteError
from tca.losses.admissibility import Admissibility
from tca.losses.bregman import Bregman
from tca.losses.brier import Brier
from tca.losses.cross_entropy import CrossEntropy, SmoothedCrossEntropy
from tca.losses.exponential_family import ExponentialFamily
from tca.losses.focal import Focal
from tca.losses.gaussian import GaussianNLL
from tca.losses.hinge import Hinge
from tca.losses.logistic import Logistic
from tca.losses.loss import Likelihood, Loss
from tca.losses.poisson import Poisson
from tca.losses.squared import MSE
from tca.utils.names import Table

__all__ = [
    "LOSSES",
    "MSE",
    "AbsoluteError",
    "Admissibility",
    "Bregman",
    "Brier",
    "CrossEntropy",
    "ExponentialFamily",
    "Focal",
    "GaussianNLL",
    "Hinge",
    "Likelihood",
    "Logistic",
    "Loss",
    "Poisson",
    "SmoothedCrossEntropy",
    "families",
    "generators",
    "links",
]

LOSSES: dict[str, Loss] = Table(
    "loss",
    {
        "mse": MSE(),
        "cross_entropy": CrossEntropy(),
        "logistic": Logistic(),
        "smoothed_cross_entropy": SmoothedCrossEntropy(),
        "focal": Focal(),
        "brier": Brier(),
        "kullback_leibler": Bregman(generators.NegativeEntropy(), links.SoftmaxLink()),
        "itakura_saito": Bregman(generators.ItakuraSaito(), links.ExponentialLink()),
        "poisson": Poisson(),
        "gamma": ExponentialFamily(families.GammaFamily()),
        "gaussian_nll": GaussianNLL(),
        "hinge": Hinge(),
        "absolute_error": AbsoluteError(),
    },
)
