"""Bugs of losses, expansions of scores, decorrelation and regularisers."""

from __future__ import annotations

from tests.bugs.bug import Bug

LOSSES = ("tests/tca/losses/test_losses.py",)
BREGMAN = ("tests/tca/losses/test_bregman.py",)
ADMISSIBLE = ("tests/tca/losses/test_admissible.py",)
EXPANSIONS = ("tests/tca/losses/expansions/test_expansions.py",)
DECORRELATED = ("tests/tca/signals/decorrelation/test_decorrelation.py",)
IN_TIME = ("tests/tca/signals/decorrelation/test_in_time.py",)
REGULARISED = ("tests/tca/signals/regularisers/test_regularisers.py",)

LOSS = "tca/losses/loss.py"
CLASSES = "tca/losses/classes.py"
SQUARED = "tca/losses/squared.py"
LOGISTIC = "tca/losses/logistic.py"
DECORRELATION, REACHES = "tca/signals/decorrelation/decorrelation.py", "tca/signals/decorrelation/time_lags.py"

BUGS = [
    Bug(SQUARED, "squared error without its half", "return 0.5 * (outputs", "return (outputs", LOSSES),
    Bug(SQUARED, "score of the squared error with the wrong sign", "return outputs - targets\n",
        "return targets - outputs\n", LOSSES),
    Bug(CLASSES, "softmax over trials", "torch.softmax(outputs.movedim(-1, 0).contiguous(), 0).movedim(0, -1)",
        "torch.softmax(outputs, 1)", LOSSES),
    Bug(CLASSES, "softmax of many outputs over trials", "return torch.softmax(outputs, -1)",
        "return torch.softmax(outputs, 1)", LOSSES),
    Bug(LOSS, "loss summed over trials, not averaged", ".sum() / weights.shape[1]", ".sum()", LOSSES),
    Bug(LOGISTIC, "score of the logistic loss doubled", "torch.sigmoid(outputs).sub_(targets)",
        "torch.sigmoid(outputs).sub_(targets).mul_(2)", LOSSES),
    Bug("tca/losses/focal.py", "focus held constant in the score",
        "self.gamma * torch.sigmoid(odds) * functional.logsigmoid(odds) - missed", "-missed", LOSSES),
    Bug("tca/losses/hinge.py", "hinge loss declared admissible", "False, \"it is smallest at a kink, where",
        "True, \"it is smallest at a kink, where", ADMISSIBLE),
    Bug("tca/losses/links.py", "link without its slope",
        "(functional.logsigmoid(outputs) - self.log(outputs)).exp() * cotangent", "cotangent.clone()", BREGMAN),
    Bug("tca/losses/generators.py", "divergence that is the squared error",
        "return outputs.exp() * (outputs - targets)", "return outputs - targets", BREGMAN),
    Bug("tca/losses/families.py", "a gamma distribution that is exponential",
        "return self.shape - targets * (-outputs).exp()", "return 1 - targets * (-outputs).exp()", BREGMAN),
    Bug("tca/losses/moments.py", "odd moments with the sign of even ones", "return -moment if order % 2 else moment",
        "return moment", ADMISSIBLE),
    Bug("tca/losses/expansions/gates.py", "gates and errors swapped", "gates.unsqueeze(-1) * score.unsqueeze(-2)",
        "gates.unsqueeze(-2) * score.unsqueeze(-1)", EXPANSIONS),
    Bug("tca/losses/expansions/score_moments.py", "moments that are not centred", ".sub_(expected).flatten(-2)", ".flatten(-2)",
        EXPANSIONS),
    Bug(DECORRELATION, "average with the wrong sign", "(1 - lam) * lam**later / weight",
        "-(1 - lam) * lam**later / weight", DECORRELATED),
    Bug(DECORRELATION, "steps of a trial that do not fade", "(1 - lam) * lam**later / weight", "(1 - lam) / weight",
        DECORRELATED),
    Bug(DECORRELATION, "scores that skip the filter of the readout",
        "read = self.reach.over(tape.through_readout(weighted))", "read = self.reach.over(weighted)",
        (*IN_TIME, "tests/tca/signals/decorrelation/test_parts.py", "tests/tca/test_conformance.py")),
    Bug(DECORRELATION, "observable without its slope",
        "            self.observable.times_slope_(signal, tape.rate[steps])\n", "", DECORRELATED),
    Bug(REACHES, "filter that leaves out the first step", "range(len(entries) - 2, 0, -1)",
        "range(len(entries) - 2, 1, -1)", IN_TIME),
    Bug(REACHES, "a lag less", "padded.unfold(0, self.lags + 1, 1)", "padded.roll(1, 0).unfold(0, self.lags + 1, 1)",
        IN_TIME),
    Bug("tca/signals/regularisers/activity_regularisers.py", "inverse of a moment that forgets too fast",
        "len(rate) * self.kept / (1 - self.kept)", "len(rate) / (1 - self.kept)", REGULARISED),
    Bug("tca/signals/regularisers/regularised.py", "rate signal of a regulariser taken for a state signal",
        "signal.add_(tape.lift(further, steps))", "signal.add_(further)", REGULARISED),
    Bug("tca/signals/regularisers/activity_regularisers.py", "the floor of maps in dense layers", "FLOOR_OF_MAPS if len(population.shape) == 3 else FLOOR",
        "FLOOR_OF_MAPS", REGULARISED),
    Bug("tca/signals/regularisers/activity_regularisers.py", "the floor of dense layers in maps", "FLOOR_OF_MAPS if len(population.shape) == 3 else FLOOR",
        "FLOOR", REGULARISED),
    Bug("tca/signals/regularisers/activity_regularisers.py", "an inverse that starts without its floor", "(1 + self.floor_of(population))", "1",
        REGULARISED),
    Bug("tasks/measures.py", "trials without a decision counted", "share_B[steps_TB.any(0)].mean()",
        "share_B.mean()",
        ("tests/tasks/test_contract.py::test_accuracy_leaves_out_trials_without_a_decision",)),
    Bug("tca/eligibilities/fluctuations.py", "inputs and biases that learn as well",
        "noisy.links[1:2] if self.recurrent_only else noisy.links", "noisy.links",
        ("tests/tca/signals/perturbation/test_perturbation.py::test_miconi_equals_the_equations",)),
]  # fmt: skip
