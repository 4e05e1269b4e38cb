"""The published rules by name, with their parts and papers."""

from __future__ import annotations

from dataclasses import replace

from tca.eligibilities import (
    KFRTRL,
    UORO,
    Diagonal,
    Fluctuations,
    Full,
    Homotopy,
    Instant,
    Leak,
    LearnedKernel,
    NetworkKernel,
    NodeNoise,
    PopulationJacobian,
    PotentialLeak,
    ReverseKFRTRL,
    SnAp,
    TypePropagation,
    WeightNoise,
    Windowed,
)
from tca.losses.expansions import PredictionGates
from tca.rule import Rule
from tca.signals import (
    Adaptive,
    Broadcast,
    CausalHop,
    Decorrelation,
    Direct,
    ErrorDiffusion,
    Exact,
    FeedbackAlignment,
    Filtered,
    FilteredError,
    GlobalVector,
    Hops,
    Horizon,
    Lagged,
    LocalReadout,
    NormalStart,
    OutputError,
    Random,
    RecursiveLeastSquares,
    RewardDifference,
    RewardPredictionError,
    Score,
    SharedRandom,
    SignSymmetric,
    Sparse,
    StationaryDiffusion,
    SyntheticGradient,
    WeightMirror,
)
from tca.signals.error_diffusion import NoCentre, RunningCentre
from tca.signals.feedback_weights import Drawn
from tca.tape.weight_estimates import BlockMean, SynapseMean
from tca.utils.checks import check, checked
from tca.utils.plugins import PluginTable

__all__ = ["RULES", "register_rule"]

_ROWS: dict[str, Rule] = {
    "bptt": Rule(
        Exact(),
        Instant(),
        summary="backpropagation through time, the true gradient",
        reference="Werbos (1990), Proceedings of the IEEE 78:1550",
    ),
    "tbptt": Rule(
        Direct(),
        Windowed(10),
        summary="backpropagation through time within windows of 10 steps",
        reference="Williams and Peng (1990), Neural Computation 2:490",
    ),
    "tbptt_future": Rule(
        Horizon(10),
        Instant(),
        summary="the gradient of the errors of the 10 steps after each step",
        reference="Marschall, Cho and Savin (2020), Journal of Machine Learning Research 21:135",
    ),
    "tbptt_rate_cut": Rule(
        Direct(),
        Windowed(10, keep_leak=True),
        summary="recurrent transmission truncated every 10 steps, the leak never: e-prop between windows",
        reference="Liu et al. (2025), arXiv:2506.06904",
    ),
    "dni": Rule(
        SyntheticGradient(),
        Instant(),
        summary="truncated backpropagation with a learned linear estimate of the errors of later windows",
        reference="Jaderberg et al. (2017), ICML, PMLR 70:1627",
    ),
    "rtrl": Rule(
        Direct(),
        Full(),
        summary="real-time recurrent learning, the true gradient from traces of every path",
        reference="Williams and Zipser (1989), Neural Computation 1:270",
    ),
    "snap1": Rule(
        Direct(),
        Diagonal(),
        summary="eligibility traces through the leak and a cell's synapse onto itself",
        reference="Menick et al. (2021), ICLR, arXiv:2006.07232",
    ),
    "eprop": Rule(
        Direct(),
        Leak(),
        summary="eligibility traces through the leak, output error through the readout weights",
        reference="Bellec et al. (2020), Nature Communications 11:3625",
    ),
    "eprop_random": Rule(
        Random(),
        Leak(),
        summary="eligibility traces through the leak, output error through fixed random weights",
        reference="Bellec et al. (2020), Nature Communications 11:3625",
        form="A",
        otherwise={"B": "rflo", "": "dfa"},
    ),
    "eprop_adaptive": Rule(
        Adaptive(),
        Leak(),
        summary="eligibility traces through the leak, output error through weights that follow the readout",
        reference="Bellec et al. (2020), Nature Communications 11:3625; Kolen and Pollack (1994), IEEE ICNN",
    ),
    "rflo": Rule(
        Random(),
        Leak(),
        summary="random-feedback online learning: leak on the rate, output error through fixed random weights",
        reference="Murray (2019), eLife 8:e43299",
        form="B",
        otherwise={"A": "eprop_random", "": "dfa"},
    ),
    "weight_mirror": Rule(
        WeightMirror(),
        Leak(),
        summary="eligibility traces through the leak, errors through weights that learn the forward weights from noise",
        reference="Akrout et al. (2019), NeurIPS, arXiv:1904.05391; traces of Bellec et al. (2020)",
    ),
    "ottt": Rule(
        Direct(),
        PotentialLeak(),
        summary="online training through time: errors of the step, presynaptic traces through the potential's leak",
        reference="Xiao et al. (2022), NeurIPS, arXiv:2210.04195",
    ),
    "ostl": Rule(
        Direct(),
        PopulationJacobian(),
        summary="online spatio-temporal learning: errors of the step, traces of every path within each layer",
        reference="Bohnstingl et al. (2022), IEEE Trans. Neural Netw. Learn. Syst., arXiv:2007.12723",
    ),
    "superspike": Rule(
        FilteredError(),
        PotentialLeak(),
        summary="SuperSpike: output errors and presynaptic traces filtered by a double-exponential kernel",
        reference="Zenke and Ganguli (2018), Neural Computation 30:1514",
    ),
    "decolle": Rule(
        LocalReadout(),
        PotentialLeak(),
        summary="errors of a local readout with fixed random weights in every layer, presynaptic traces",
        reference="Kaiser, Mostafa and Neftci (2020), Frontiers in Neuroscience 14:424",
    ),
    "three_factor": Rule(
        Direct(),
        Instant(),
        summary="learning signal times slope times presynaptic rate of the same step, no trace",
        reference="Fremaux and Gerstner (2016), Frontiers in Neural Circuits 9:85",
    ),
    "snap2": Rule(
        Direct(),
        SnAp(2),
        summary="influences on the cells within one synapse of the postsynaptic cell; for sparse networks",
        reference="Menick et al. (2021), ICLR, arXiv:2006.07232",
    ),
    "homotopy": Rule(
        Direct(),
        Homotopy(0.5),
        summary="recurrent credit halved at every synapse: half way from e-prop to the true gradient",
        reference="between Bellec et al. (2020), Nature Communications 11:3625, and Werbos (1990)",
    ),
    "one_hop": Rule(
        Hops(1),
        Leak(),
        summary="the part of the true gradient along paths of at most one recurrent synapse",
        reference="the gradient that Liu et al. (2021), PNAS 118:e2111821118, start from",
    ),
    "two_hops": Rule(
        Hops(2),
        Leak(),
        summary="the part of the true gradient along paths of at most two recurrent synapses",
        reference="the gradient that Liu et al. (2021), PNAS 118:e2111821118, start from, one synapse further",
    ),
    "mdgl_exact": Rule(
        Hops(1, receiver_leak=False),
        Leak(),
        summary="e-prop and the errors of the next step over exact weights: MDGL before cell types",
        reference="Liu et al. (2021), PNAS 118:e2111821118",
    ),
    "mdgl": Rule(
        Hops(1, SynapseMean(), receiver_leak=False),
        Leak(),
        summary="e-prop and the errors of the next step over the mean weight of each pair of cell types",
        reference="Liu et al. (2021), PNAS 118:e2111821118",
    ),
    "nl_mdgl": Rule(
        Hops(1, BlockMean(), receiver_leak=False),
        Leak(),
        summary="MDGL with modulators that reach every cell, whether or not there is a synapse",
        reference="Liu et al. (2021), PNAS 118:e2111821118",
    ),
    "mdgl_online": Rule(
        CausalHop(),
        Leak(),
        summary="MDGL for filtered readouts without later errors: present errors, filtered slopes and traces",
        reference="Liu et al. (2021), PNAS 118:e2111821118",
    ),
    "mdgl_one_hop": Rule(
        Hops(1, SynapseMean()),
        Leak(),
        summary="MDGL with the leak of the receiving cells: at most one hop by cell type",
        reference="after Liu et al. (2021), PNAS 118:e2111821118, with the receiver's leak",
    ),
    "modprop": Rule(
        Direct(),
        TypePropagation(0.25),
        summary="eligibility traces that propagate by cell type at a constant slope, over any number of steps",
        reference="Liu et al. (2022), NeurIPS, arXiv:2206.01338",
    ),
    "eprop_sparse": Rule(
        Sparse(),
        Leak(),
        summary="e-prop with sparse feedback: a tenth of the initial readout weights, fixed",
        reference="baseline of Barretto-Bittar et al. (2026), arXiv:2603.08949",
    ),
    "global_broadcast": Rule(
        Broadcast(),
        Leak(),
        summary="eligibility traces through the leak, one signal for all cells: a fixed random sum of the errors",
        reference="Bellec et al. (2020), Nature Communications 11:3625, with errors weighed differently",
    ),
    "diffusion": Rule(
        StationaryDiffusion(),
        Leak(),
        summary="e-prop with sparse feedback and spatial diffusion of the learning signal",
        reference="Barretto-Bittar, Levina, Giannakakis and Zeraati (2026), arXiv:2603.08949",
    ),
    "backprop": Rule(
        Direct(),
        Instant(),
        summary="errors through the transposed weights, within a step: the gradient of a feedforward network",
        reference="Rumelhart, Hinton and Williams (1986), Nature 323:533",
    ),
    "feedback_alignment": Rule(
        FeedbackAlignment(),
        Instant(),
        summary="backpropagation through fixed random weights, layer by layer",
        reference="Lillicrap et al. (2016), Nature Communications 7:13276",
    ),
    "sign_symmetric": Rule(
        SignSymmetric(),
        Instant(),
        summary="backpropagation through weights of random magnitude with the signs of the forward weights",
        reference="Liao, Leibo and Poggio (2016), AAAI, arXiv:1510.05067",
    ),
    "dfa": Rule(
        Random(),
        Instant(),
        summary="direct feedback alignment: output errors through fixed random weights to every layer",
        reference="Nokland (2016), NeurIPS, arXiv:1609.01596",
    ),
    "dfa_sparse": Rule(
        Sparse(Drawn(0.1)),
        Instant(),
        summary="direct feedback alignment through a tenth of the feedback weights",
        reference="Crafton, Parihar, Gebhardt and Raychowdhury (2019), Frontiers in Neuroscience 13:525",
    ),
    "dfa_shared": Rule(
        SharedRandom(),
        Instant(),
        summary="direct feedback alignment through one matrix, a part of it for every layer",
        reference="baseline of Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089; Nokland (2016), NeurIPS",
    ),
    "ebd": Rule(
        Decorrelation(start=NormalStart(1e-3), source=OutputError()),
        Instant(),
        summary="error broadcast and decorrelation: errors through their running cross-correlation with activity",
        reference="Erdogan et al. (2025), arXiv:2504.11558",
    ),
    "sbd": Rule(
        Decorrelation(),
        Leak(),
        summary="score broadcast and decorrelation: scores of any admissible loss, eligibility traces through the leak",
        reference="Uzun, Erdogan, Pehlevan and Erdogan (2026), arXiv:2605.30638; traces derived here",
    ),
    "sbd_expansion": Rule(
        Decorrelation(source=Score(PredictionGates(top=2))),
        Leak(),
        summary="the same with scores gated by the two largest predictions as further channels",
        reference="after Uzun et al. (2026), arXiv:2605.30638; these channels derived here",
    ),
    "sbd_filtered": Rule(
        Decorrelation(reach=Filtered()),
        Leak(),
        summary="scores decorrelated from filtered activity, with filtered eligibility traces",
        reference="derived here, after Uzun et al. (2026), arXiv:2605.30638",
    ),
    "sbd_lagged": Rule(
        Decorrelation(reach=Lagged()),
        Instant(),
        summary="scores decorrelated from the activity of each of the ten steps before, without traces",
        reference="derived here, after Uzun et al. (2026), arXiv:2605.30638",
    ),
    "error_diffusion": Rule(
        ErrorDiffusion(),
        Leak(),
        summary="the centred error of one output to each cell of a dual-stream network, with the sign of its stream",
        reference="Yamada et al. (2026), arXiv:2606.31700, after Kaneko (1999)",
    ),
    "error_diffusion_online": Rule(
        ErrorDiffusion(centring=RunningCentre()),
        Leak(),
        summary="the same with a running mean of the errors instead of the batch mean",
        reference="derived here, after Yamada et al. (2026), arXiv:2606.31700",
    ),
    "kaneko": Rule(
        ErrorDiffusion(centring=NoCentre(), grow_only=True),
        Instant(),
        summary="original error diffusion: magnitudes only grow, from + cells to raise outputs, from - to lower them",
        reference="Kaneko (1999), error diffusion learning algorithm (C program)",
    ),
    "gevb": Rule(
        GlobalVector(),
        Instant(),
        summary="global error-vector broadcast: the output error itself to every vector cell, no feedback weights",
        reference="Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089",
    ),
    "gevb_local": Rule(
        GlobalVector(),
        Leak(),
        summary="the same in a recurrent network, with eligibility traces through the leak",
        reference="derived here, after Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089",
    ),
    "gevb_network": Rule(
        GlobalVector(gated=False),
        NetworkKernel(),
        summary="the same with traces through the mean field of all nonnegative recurrent weights",
        reference="derived here, after Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089",
    ),
    "force": Rule(
        RecursiveLeastSquares(),
        Leak(),
        summary="recursive least squares for the readout, with e-prop for the cells",
        reference="Sussillo and Abbott (2009), Neuron 63:544",
    ),
    "uoro": Rule(
        Direct(),
        UORO(),
        summary="unbiased rank-one approximation of real-time recurrent learning",
        reference="Tallec and Ollivier (2018), ICLR, arXiv:1702.05043",
    ),
    "kf_rtrl": Rule(
        Direct(),
        KFRTRL(),
        summary="the same with a Kronecker product: presynaptic activity times a matrix over cells",
        reference="Mujika, Meier and Steger (2018), NeurIPS, arXiv:1805.10842",
    ),
    "r_kf_rtrl": Rule(
        Direct(),
        ReverseKFRTRL(),
        summary="the same with the random direction over postsynaptic cells",
        reference="Marschall, Cho and Savin (2020), Journal of Machine Learning Research 21:135",
    ),
    "kernl": Rule(
        Direct(),
        LearnedKernel(),
        summary="sensitivities and time constants between cells, learned online from perturbations",
        reference="Roth, Kanitscheider and Fiete (2019), ICLR",
    ),
    "node_perturbation": Rule(
        RewardDifference(),
        NodeNoise(),
        summary="noise in the drive of every cell, times the change of the trial's loss",
        reference="Fiete and Seung (2006), Phys. Rev. Lett. 97:048104; Zuge et al. (2023), Phys. Rev. X 13:021006",
    ),
    "weight_perturbation": Rule(
        RewardDifference(),
        WeightNoise(),
        summary="noise in every weight, times the change of the batch's loss",
        reference="Jabri and Flower (1992), IEEE Trans. Neural Netw. 3:154; Zuge et al. (2023), Phys. Rev. X 13:021006",
    ),
    "miconi": Rule(
        RewardPredictionError(),
        Fluctuations(),
        summary="cubed fluctuations times activity, times the reward prediction error of the trial",
        reference="Miconi (2017), eLife 6:e20899",
    ),
    "reward_eprop": Rule(
        Direct(),
        Leak(),
        summary="reward-based e-prop: an advantage actor-critic",
        reference="Bellec et al. (2020), Nature Communications 11:3625",
    ),
}


def _taken(name: str, rule: object) -> Rule:
    """Return a rule under a name."""
    found: Rule = check("rule", rule, Rule)
    return replace(found, name=name)


RULES: dict[str, Rule] = PluginTable("rule", _ROWS, "tca.rules", _taken)


@checked
def register_rule(name: str, rule: Rule, *, summary: str | None = None, reference: str | None = None) -> Rule:
    """Add a rule to ``tca.RULES`` and return it under its name.

    The name then stands for the rule in `tca.Run`, in sweeps, comparisons and measurements of this process. A record
    keeps the name and the parts with the import paths of their classes, so that other processes read it without the
    registration. A package registers rules for all processes by entry points of the group ``tca.rules``::

        [project.entry-points."tca.rules"]
        mine = "my_package.rules:mine"

    Args:
        name: The name: letters, digits and underscores.
        summary: One line about it; ``None`` (default) for that of the rule.
        reference: Its paper; ``None`` (default) for that of the rule.

    Raises:
        ValueError: The name is not allowed, or that of another rule.
        TypeError: ``rule`` is no `tca.Rule`.

    >>> from tca.signals import Random
    >>> from tca.eligibilities import Diagonal
    >>> register_rule("snap1_random", Rule(Random(), Diagonal())).title
    'snap1_random'
    >>> RULES.pop("snap1_random")
    Rule(signal=Random(scale=1.0), eligibility=Diagonal())
    """
    if not name.isidentifier():
        raise ValueError(f"name must have letters, digits and underscores only, got {name!r}")
    if name in RULES and (RULES[name] != rule or not RULES[name].name):
        raise ValueError(f"name must be a new one, got that of the rule {name!r}: {RULES[name]!r}")
    summary = rule.summary if summary is None else summary
    reference = rule.reference if reference is None else reference
    RULES[name] = replace(rule, name=name, summary=summary, reference=reference)
    return RULES[name]
