"""The neurogym ids that can be supervised, so that they can be listed without loading neurogym.

`tasks.make` decides by the trials of an environment; a test compares this table with its decision on every id.
"""

from __future__ import annotations

__all__ = ["CAVEATS", "SUPERVISED"]

SUPERVISED: dict[str, str] = {
    "AntiReach-v0": "Reach to the place opposite to the stimulus on a ring.",
    "ContextDecisionMaking-v0": "Decide on one of two noisy modalities and ignore the other.",
    "DelayComparison-v0": "Compare the strengths of two stimuli with a delay between them.",
    "DelayMatchCategory-v0": "Say whether sample and test are of the same category.",
    "DelayMatchSample-v0": "Say whether sample and test, with a delay between them, are the same.",
    "DelayMatchSampleDistractor1D-v0": "Respond to the one of three test stimuli that is the sample.",
    "DelayPairedAssociation-v0": "Go or stay, as the pair of two stimuli with a delay between them asks.",
    "DualDelayMatchSample-v0": "Keep two samples and compare each with its test, in the order that is cued.",
    "GoNogo-v0": "Go or stay after a delay, as the stimulus asked.",
    "HierarchicalReasoning-v0": "Judge an interval under a rule that holds for a block and that no input shows.",
    "IntervalDiscrimination-v0": "Say which of two stimuli lasted longer.",
    "MotorTiming-v0": "Respond a cued time after a signal.",
    "MultiSensoryIntegration-v0": "Decide on noisy evidence from two modalities together.",
    "OneTwoThreeGo-v0": "Continue a rhythm of three beats.",
    "PerceptualDecisionMaking-v0": "Say which of two noisy stimuli is the stronger.",
    "PerceptualDecisionMakingDelayResponse-v0": "Say which of two noisy stimuli was the stronger, after a delay.",
    "PostDecisionWager-v0": "Say which of two noisy stimuli is the stronger; the sure option is never the target.",
    "ProbabilisticReasoning-v0": "Add up the evidence of four shapes; the answer follows it with some chance.",
    "PulseDecisionMaking-v0": "Say on which of two channels there were more pulses.",
    "ReachingDelayResponse-v0": "Report a remembered value on a continuous scale after the go cue.",
    "ReadySetGo-v0": "Measure an interval and produce it.",
    "SpatialSuppressMotion-v0": "Report the perceived direction of motion over its frames.",
    "ToneDetection-v0": "Say at which of three times there was a tone in noise; asked for from the first step on.",
    "perceptualdecisionmaking.ibl20-v0": "Say which of two noisy stimuli is the stronger; blocks favour a side.",
    "perceptualdecisionmaking.roitman02-v0": "Say which of two noisy stimuli is the stronger, in a reaction-time task.",
    "yang19.anti-v0": "Respond away from the stimulus, shown in one of two modalities, after it is over.",
    "yang19.ctxdlydm1-v0": "Choose the stronger of two successive stimuli by the first modality, ignoring the second.",
    "yang19.ctxdlydm2-v0": "Choose the stronger of two successive stimuli by the second modality, ignoring the first.",
    "yang19.ctxdm1-v0": "Choose the stronger of two stimuli by the first modality, ignoring the second.",
    "yang19.ctxdm2-v0": "Choose the stronger of two stimuli by the second modality, ignoring the first.",
    "yang19.dlyanti-v0": "Respond away from the remembered stimulus, shown in one of two modalities, after a delay.",
    "yang19.dlydm1-v0": "Choose the stronger of two successive stimuli in the first modality.",
    "yang19.dlydm2-v0": "Choose the stronger of two successive stimuli in the second modality.",
    "yang19.dlygo-v0": "Respond towards the remembered stimulus, shown in one of two modalities, after a delay.",
    "yang19.dm1-v0": "Choose the stronger of two stimuli shown together in the first modality.",
    "yang19.dm2-v0": "Choose the stronger of two stimuli shown together in the second modality.",
    "yang19.dmc-v0": "Respond towards the test stimulus if it is of the sample's category, else keep fixating.",
    "yang19.dms-v0": "Respond towards the test stimulus if it is the sample, else keep fixating.",
    "yang19.dnmc-v0": "Respond towards the test stimulus if it is not of the sample's category, else keep fixating.",
    "yang19.dnms-v0": "Respond towards the test stimulus if it is not the sample, else keep fixating.",
    "yang19.go-v0": "Respond towards the stimulus, shown in one of two modalities, after it is over.",
    "yang19.multidlydm-v0": "Choose the stronger of two successive stimuli by both modalities together.",
    "yang19.multidm-v0": "Choose the stronger of two stimuli by both modalities together.",
    "yang19.rtanti-v0": "Respond away from the stimulus, shown in one of two modalities, as soon as it comes.",
    "yang19.rtgo-v0": "Respond towards the stimulus, shown in one of two modalities, as soon as it comes.",
}

_FIXATION = "the fixation input is on in the first period only, the right action is to fixate until the decision"
_STAYS = "the fixation input stays on while an answer is asked for"
_YANG = (
    "ctxdlydm1", "ctxdlydm2", "ctxdm1", "ctxdm2", "dlydm1", "dlydm2", "dm1", "dm2", "dms", "dnms", "multidlydm",
    "multidm",
)  # fmt: skip
_BOUNDARY = "; a stimulus at pi is of the first category as sample and of the second as test"

CAVEATS: dict[str, str] = {
    "ContextDecisionMaking-v0": f"{_FIXATION}; the context never changes, or is shown from the first step to the last "
    "with use_expl_context=True",
    "DelayMatchCategory-v0": "the two inputs of the default, cosines of the angle to 0 and to pi, are alike in both "
    "categories, so that the answer is not in them; dim_ring above 2 shows it",
    "DelayMatchSampleDistractor1D-v0": f"{_FIXATION}; the option sigma adds no noise",
    "DelayPairedAssociation-v0": "the option sigma adds no noise",
    "DualDelayMatchSample-v0": _STAYS,
    "HierarchicalReasoning-v0": f"{_STAYS}; the delay that is shown and the interval that is judged are drawn apart, "
    "so that the answer is not in the inputs; the threshold is the second of the intervals and not their median",
    "IntervalDiscrimination-v0": "of two equally long stimuli, a quarter of the trials by default, the second counts "
    "as the longer",
    "MotorTiming-v0": "the signal of 50 ms is not shown at steps above 50 ms, such as the default of 80 ms; both "
    "intervals are produced by one action",
    "MultiSensoryIntegration-v0": "both modalities always point to the same answer",
    "OneTwoThreeGo-v0": _STAYS,
    "PostDecisionWager-v0": "rewards contradict the ground truth: where the second answer is right the first is paid, "
    "where the first is right neither is",
    "ProbabilisticReasoning-v0": "no delays separate the shapes, and each stays on until the last has been shown",
    "ReadySetGo-v0": "the right step is one signal late: its interval begins where the second signal ends, and both "
    "the measured interval and the rewarded one are from onset to onset",
    "SpatialSuppressMotion-v0": "probabilities of directions across the motion fall to -.015; there are no rewards",
    "ToneDetection-v0": "there are no rewards",
    **dict.fromkeys(
        (
            "PerceptualDecisionMaking-v0",
            "perceptualdecisionmaking.ibl20-v0",
            *(f"yang19.{name}-v0" for name in _YANG),
        ),
        _FIXATION,
    ),
    "perceptualdecisionmaking.roitman02-v0": f"{_FIXATION}; it is PerceptualDecisionMaking-v0, with a decision period "
    "and without reaction times",
    **dict.fromkeys(("yang19.dmc-v0", "yang19.dnmc-v0"), _FIXATION + _BOUNDARY),
}
"""Where inputs, ground truth or rewards of an id of neurogym 2.3.1 differ from the description of its task."""
