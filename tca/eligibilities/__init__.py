"""Eligibilities: propagators and their eligibility traces, one per file."""

from tca.eligibilities.diagonal import Diagonal
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.fluctuations import Fluctuations
from tca.eligibilities.full import Full, Windowed
from tca.eligibilities.homotopy import Homotopy
from tca.eligibilities.instant import Instant
from tca.eligibilities.kernel import LearnedKernel
from tca.eligibilities.kronecker import KFRTRL, ReverseKFRTRL
from tca.eligibilities.leak import Leak
from tca.eligibilities.network_kernel import NetworkKernel
from tca.eligibilities.paths import Paths
from tca.eligibilities.perturbations import NodeNoise, WeightNoise
from tca.eligibilities.population_jacobian import PopulationJacobian
from tca.eligibilities.potential_leak import PotentialLeak
from tca.eligibilities.sketch import Sketch
from tca.eligibilities.snap import SnAp
from tca.eligibilities.type_propagation import TypePropagation
from tca.eligibilities.uoro import UORO

__all__ = [
    "KFRTRL",
    "UORO",
    "Diagonal",
    "Eligibility",
    "Fluctuations",
    "Full",
    "Homotopy",
    "Instant",
    "Leak",
    "LearnedKernel",
    "NetworkKernel",
    "NodeNoise",
    "Paths",
    "PopulationJacobian",
    "PotentialLeak",
    "ReverseKFRTRL",
    "Sketch",
    "SnAp",
    "TypePropagation",
    "WeightNoise",
    "Windowed",
]
