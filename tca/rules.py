"""The published rules by name: what each is made of, and its paper."""

from __future__ import annotations

from tca.eligibilities import (
    Diagonal,
    Full,
    Homotopy,
    Instant,
    Leak,
    NetworkKernel,
    Reachable,
    TypePropagation,
    Windowed,
)
from tca.estimates import BlockMean, SynapseMean
from tca.expansions import PredictionGates
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
    GlobalVector,
    Hops,
    Horizon,
    Lagged,
    Normal,
    OutputError,
    Random,
    Score,
    SharedRandom,
    SignSymmetric,
    Sparse,
    StationaryDiffusion,
)
from tca.signals.error_diffusion import NoCentre, RunningCentre
from tca.signals.weights import Drawn

__all__ = ["RULES"]

RULES: dict[str, Rule] = {
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
        summary="each step hears of the errors of the 10 steps that follow it",
        reference="Marschall, Cho and Savin (2020), Journal of Machine Learning Research 21:135",
    ),
    "tbptt_rate_cut": Rule(
        Direct(),
        Windowed(10, keep_leak=True),
        summary="transmission cut every 10 steps while the leak crosses the cuts: between windows it is e-prop",
        reference="Liu et al. (2025), arXiv:2506.06904",
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
        summary="traces through the leak and a cell's synapse onto itself",
        reference="Menick et al. (2021), ICLR, arXiv:2006.07232",
    ),
    "eprop": Rule(
        Direct(),
        Leak(),
        summary="traces through the leak, error through the readout's own weights",
        reference="Bellec et al. (2020), Nature Communications 11:3625",
    ),
    "eprop_random": Rule(
        Random(),
        Leak(),
        summary="traces through the leak, error through fixed random weights",
        reference="Bellec et al. (2020), Nature Communications 11:3625",
    ),
    "eprop_adaptive": Rule(
        Adaptive(),
        Leak(),
        summary="traces through the leak, error through weights that follow the readout",
        reference="Bellec et al. (2020), Nature Communications 11:3625; Kolen and Pollack (1994), IEEE ICNN",
    ),
    "rflo": Rule(
        Random(),
        Leak(),
        summary="random-feedback online learning: leak on the rate, error through fixed random weights",
        reference="Murray (2019), eLife 8:e43299",
        form="B",
    ),
    "three_factor": Rule(
        Direct(),
        Instant(),
        summary="error times slope times presynaptic rate of the same instant, no trace",
        reference="Fremaux and Gerstner (2016), Frontiers in Neural Circuits 9:85",
    ),
    "snap2": Rule(
        Direct(),
        Reachable(2),
        summary="traces through all paths among the cells that a cell reaches over one synapse; for sparse networks",
        reference="Menick et al. (2021), ICLR, arXiv:2006.07232",
    ),
    "homotopy": Rule(
        Direct(),
        Homotopy(0.5),
        summary="recurrent synapses pass on half of the credit: half way from e-prop to the true gradient",
        reference="between Bellec et al. (2020), Nature Communications 11:3625, and Werbos (1990)",
    ),
    "one_hop": Rule(
        Hops(1),
        Leak(),
        summary="the part of the true gradient that has passed at most one recurrent synapse",
        reference="the gradient that Liu et al. (2021), PNAS 118:e2111821118, start from",
    ),
    "two_hops": Rule(
        Hops(2),
        Leak(),
        summary="the part of the true gradient that has passed at most two recurrent synapses",
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
        summary="MDGL for filtered readouts without later errors: errors of the moment, filtered slopes and traces",
        reference="Liu et al. (2021), PNAS 118:e2111821118",
    ),
    "mdgl_one_hop": Rule(
        Hops(1, SynapseMean()),
        Leak(),
        summary="MDGL whose errors stay in the leak of the receiving cells: at most one hop by cell type",
        reference="after Liu et al. (2021), PNAS 118:e2111821118, with the receiver's leak",
    ),
    "modprop": Rule(
        Direct(),
        TypePropagation(0.25),
        summary="traces that spread by cell type at a constant slope, over any number of steps",
        reference="Liu et al. (2022), NeurIPS, arXiv:2206.01338",
    ),
    "eprop_sparse": Rule(
        Sparse(),
        Leak(),
        summary="e-prop that tells few cells: a tenth of the readout's own weights, frozen at the start",
        reference="baseline of Barretto-Bittar et al. (2026), arXiv:2603.08949",
    ),
    "global_broadcast": Rule(
        Broadcast(),
        Leak(),
        summary="traces through the leak, one number for all cells: the errors in fixed random proportions",
        reference="Bellec et al. (2020), Nature Communications 11:3625, with errors weighed differently",
    ),
    "diffusion": Rule(
        StationaryDiffusion(),
        Leak(),
        summary="e-prop that tells few cells, whose errors diffuse to the others on a grid within a step",
        reference="Barretto-Bittar, Levina, Giannakakis and Zeraati (2026), arXiv:2603.08949",
    ),
    "backprop": Rule(
        Direct(),
        Instant(),
        summary="errors through the network's own weights, within a step: the gradient of a feedforward network",
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
        summary="backpropagation through weights of random sizes that have the signs of the network's own",
        reference="Liao, Leibo and Poggio (2016), AAAI, arXiv:1510.05067",
    ),
    "dfa": Rule(
        Random(),
        Instant(),
        summary="direct feedback alignment: errors through fixed random weights straight to every layer",
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
        summary="direct feedback alignment through one matrix from which every layer takes its part",
        reference="baseline of Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089; Nokland (2016), NeurIPS",
    ),
    "ebd": Rule(
        Decorrelation(start=Normal(1e-3), source=OutputError()),
        Instant(),
        summary="error broadcast and decorrelation: errors through weights that average their product with activity",
        reference="Erdogan et al. (2025), arXiv:2504.11558",
    ),
    "sbd": Rule(
        Decorrelation(),
        Leak(),
        summary="score broadcast and decorrelation: scores of any admissible loss, traces through the leak",
        reference="arXiv:2605.30638, after Erdogan et al. (2025), arXiv:2504.11558; traces derived here",
    ),
    "sbd_expansion": Rule(
        Decorrelation(source=Score(PredictionGates())),
        Leak(),
        summary="the same with scores gated by the prediction as further channels",
        reference="after arXiv:2605.30638, whose channels are unknown; these derived here",
    ),
    "sbd_filtered": Rule(
        Decorrelation(reach=Filtered()),
        Leak(),
        summary="scores decorrelated from filtered activity, met by filtered traces",
        reference="derived here, after arXiv:2605.30638",
    ),
    "sbd_lagged": Rule(
        Decorrelation(reach=Lagged()),
        Instant(),
        summary="scores decorrelated from the activity of each of the ten steps before, without traces",
        reference="derived here, after arXiv:2605.30638",
    ),
    "error_diffusion": Rule(
        ErrorDiffusion(),
        Leak(),
        summary="each cell of a dual-stream network hears the centred error of one output, with the sign of its stream",
        reference="Yamada et al. (2026), arXiv:2606.31700, after Kaneko (1999)",
    ),
    "error_diffusion_online": Rule(
        ErrorDiffusion(centring=RunningCentre()),
        Leak(),
        summary="the same with a running mean of the errors in the place of that of the batch",
        reference="derived here, after Yamada et al. (2026), arXiv:2606.31700",
    ),
    "kaneko": Rule(
        ErrorDiffusion(centring=NoCentre(), grow_only=True),
        Instant(),
        summary="the original error diffusion: magnitudes only grow, from + cells to raise outputs, from - to lower",
        reference="Kaneko (1999), error diffusion learning algorithm (C program)",
    ),
    "gevb": Rule(
        GlobalVector(),
        Instant(),
        summary="every cell of a network of vectors is told the score itself: no feedback weights",
        reference="Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089",
    ),
    "gevb_local": Rule(
        GlobalVector(),
        Leak(),
        summary="the same in a recurrent network, with traces through the leak",
        reference="derived here, after Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089",
    ),
    "gevb_network": Rule(
        GlobalVector(gated=False),
        NetworkKernel(),
        summary="the same with traces through the mean field of all nonnegative recurrent weights",
        reference="derived here, after Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089",
    ),
}
