"""Bugs of global error vectors, error diffusion, decorrelation and what a rule refuses."""

from __future__ import annotations

from tests.bugs.bug import Bug

RECURRENT = (
    "tests/tca/signals/test_global_vector.py",
    "tests/tca/signals/test_recurrent_global_vector.py",
)
VECTORS = (
    "tests/tca/nets/vector/test_vector_networks.py",
    "tests/tca/nets/vector/test_vector_start.py",
)
STREAMS = ("tests/tca/signals/test_error_diffusion.py",)
DIFFUSED = ("tests/tca/rules/test_error_diffusion_facts.py",)
CARELESS = ("tests/tca/test_learner_arguments.py",)
DRAWN = ("tests/tca/eligibilities/test_stochastic.py::test_what_cannot_be_is_refused",)

PRODUCTS, SIGNAL, GATES, CELLS = (
    "tca/connections/vector_products.py",
    "tca/signals/global_vector.py",
    "tca/nets/vector/vector_gates.py",
    "tca/nets/vector/vector_rnn.py",
)
DUAL, ERRORS, MAGNITUDES = (
    "tca/nets/dual_stream/dual_stream_rnn.py",
    "tca/signals/error_diffusion.py",
    "tca/connections/signed.py",
)
RULE = "tca/rule.py"

BUGS = [
    Bug(
        PRODUCTS,
        "a step of the behind filter left out",
        "range(len(entries) - 2, 0, -1)",
        "range(len(entries) - 3, 0, -1)",
        RECURRENT,
    ),
    Bug(
        PRODUCTS,
        "activity not filtered behind",
        "always, trace, alpha=self.behind)",
        "always, trace, alpha=1.0)",
        RECURRENT,
    ),
    Bug(
        PRODUCTS,
        "score of another step",
        "self.error[t + 1 - len(held) : t + 1]",
        "self.error[t - len(held) : t]",
        RECURRENT,
    ),
    Bug(
        PRODUCTS,
        "the last step with an error left out",
        "slice(steps[0], steps[-1] + 1) if steps else slice(1, 1)",
        "slice(steps[0], steps[-1]) if steps else slice(1, 1)",
        RECURRENT,
    ),
    Bug(SIGNAL, "gates and filters mixed up", "    (Leak, True): lambda", "    (Leak, False): lambda", RECURRENT),
    Bug(
        "tca/connections/vector_weights.py",
        "components and inputs mixed up",
        ".view(len(gradient), -1, gradient.shape[1]).transpose(1, 2))",
        ".view(len(gradient), gradient.shape[1], -1))",
        (*VECTORS, *RECURRENT),
    ),
    Bug(
        CELLS, "biases left out of the drive", "lerp_(drive.add_(bias), self.gain)", "lerp_(drive, self.gain)", VECTORS
    ),
    Bug(
        GATES, "gates of the step before", "self.vectors[1:], strict=True)", "self.vectors[:-1], strict=True)", VECTORS
    ),
    Bug(
        DUAL,
        "bound taken from all magnitudes",
        "room = (most - least.sum(1, keepdim=True)).clamp(min=0.0)",
        "room = torch.full_like(least[:, :1], most)",
        DIFFUSED,
    ),
    Bug(
        DUAL,
        "bound pushes below the floor",
        "least = self.floor * (self.w_rec > 0).to(self.w_rec)",
        "least = torch.zeros_like(self.w_rec)",
        DIFFUSED,
    ),
    Bug(
        ERRORS,
        "streams with different outputs",
        "both = torch.cat([routed, routed], -1)",
        "both = torch.cat([routed, routed.flip(-1)], -1)",
        (*STREAMS, *DIFFUSED),
    ),
    Bug(ERRORS, "original rule carried forwards", 'return ("reverse",) if self.grow_only else', "return", STREAMS),
    Bug(
        ERRORS,
        "original rule in dense connections only",
        "isinstance(link.connection, Signed)",
        "type(link.connection).__name__ == 'SignedDense'",
        STREAMS,
    ),
    Bug(
        MAGNITUDES,
        "both streams grow alike",
        "(slice(half, None), signed_signal.clamp(min=0))",
        "(slice(half, None), signed_signal.clamp(max=0))",
        STREAMS,
    ),
    Bug(
        "tca/signals/regularisers/regularised.py",
        "terms added lift what a signal forbids",
        "if isinstance(self.signal, CustomSignal) and self.signal.factored:",
        "if True:",
        STREAMS,
    ),
    Bug(
        "tca/signals/diffusion/fields/physical_propagators.py",
        "implicit step a hundredth short",
        "1 / (1 + self.dt * self.loss(eigenvalues))",
        "1 / (1 + 0.99 * self.dt * self.loss(eigenvalues))",
        ("tests/tca/rules/test_diffusion_facts.py",),
    ),
    Bug(
        "tca/signals/modprop.py",
        "slope of the other form",
        "or not tape.slope_at_emission",
        "or tape.slope_at_emission",
        ("tests/tca/rules/test_cell_types.py",),
    ),
    Bug(
        "analysis/stability/critical_rate.py",
        "predicted share of the trace",
        "_along(product, top) / largest.item()",
        "_along(product, top) / product.trace().item()",
        ("tests/tca/rules/test_stability.py",),
    ),
    Bug(
        RULE,
        "signals filtered by what cannot filter",
        'if self.signal.unfilters and "reverse" not in',
        "if False and 1 not in",
        DRAWN,
    ),
    Bug("tca/signals/causal_hop.py", "errors of no readout reported", "        _ = population.readout\n", "", CARELESS),
    Bug(
        "tca/experiments/training/outcome.py",
        "a rule that cannot begin called diverged",
        "    if not loop.step:\n        raise error\n",
        "",
        ("tests/tca/experiments/training/test_train.py",),
    ),
    Bug(
        "tasks/native/sequential_digits.py",
        "no answer at the last row",
        'answer="blank" if decision else "last"',
        'answer="blank"',
        ("tests/tasks/native/test_solvers.py",),
    ),
    Bug(
        "tca/signals/decorrelation/score_sources.py",
        "smoothed classes taken for plain ones",
        "loss.smoothing if isinstance(loss, SmoothedCrossEntropy) else 0.0",
        "0.0",
        ("tests/tca/signals/test_broadcast_arguments.py",),
    ),
    Bug(
        "tca/signals/error_diffusion.py",
        "the score in the place of the error",
        'return output_error(tape.outputs, batch, "ErrorDiffusion").neg_()',
        "return -batch.loss.output_error(tape.outputs, batch.targets)",
        ("tests/tca/signals/test_broadcast_arguments.py",),
    ),
    Bug(
        "tca/losses/expansions/expansion.py",
        "changed channels that keep their warrant",
        'if "further" in vars(cls) and',
        "if False and",
        ("tests/tca/signals/test_broadcast_arguments.py",),
    ),
    Bug(
        "tca/online.py",
        "later errors blamed for what is made from whole trials",
        '"is made from whole trials only" if rule_signal.horizon == 0 else "needs later errors"',
        '"needs later errors"',
        ("tests/tca/signals/test_broadcast_arguments.py",),
    ),
]
