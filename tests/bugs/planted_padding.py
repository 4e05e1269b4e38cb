"""Bugs of padding: steps after the end of a trial that count, and noise that depends on them."""

from __future__ import annotations

from tests.bugs.bug import Bug

PADDING = ("tests/tca/test_padding.py",)
ROW = ("tests/tca/test_conformance.py::test_padding_changes_nothing",)
BATCH, TAPE, FULL = "tca/batch.py", "tca/tape/tape.py", "tca/eligibilities/full.py"
MEASURES, ACTIVITY = ("tests/analysis/test_padding_measures.py",), "analysis/representations/activity.py"
RATE, KERNEL = "tca/signals/regularisers/firing_rate.py", "tca/eligibilities/kernel.py"
TRIALS, REWARD, DIFFUSED = (
    "tca/signals/perturbation/reward_difference.py",
    "tca/signals/perturbation/reward_prediction_error.py",
    "tca/signals/error_diffusion.py",
)

BUGS = [
    Bug("tca/batch.py", "padding forgotten by the check of values", "_padded=(padded,", "_padded=(False,",
        ("tests/tca/test_conformance.py::test_padding_changes_nothing[tbptt-reverse]",)),
    Bug(BATCH, "a trial that ends at its first weight", "torch.where(self.weights != 0, steps, 0).amax(0)",
        "torch.where(self.weights != 0, steps, self.steps).amin(0)", PADDING),
    Bug(BATCH, "a delay without weight taken for padding", "torch.where(self.weights != 0, steps, 0).amax(0)",
        "(self.weights != 0).sum(0)", ("tests/tca/test_padding.py::test_explicit_lengths_end_trials",)),
    Bug(BATCH, "one step of padding counted", "device=self.weights.device).unsqueeze(1) < self.trial_lengths",
        "device=self.weights.device).unsqueeze(1) <= self.trial_lengths", PADDING),
    Bug(TAPE, "samples of padding", "self.rate[1:][~self.over[1:]]", "self.rate[1:].flatten(0, 1)", PADDING),
    Bug(TAPE, "infinite scores of padding", "raw.masked_fill_(tape.over.unsqueeze(-1), 0.0)", "pass", PADDING),
    Bug(TAPE, "trials that end together", "(self.steps if self.lengths is None else self.lengths) - t",
        "self.steps - t", ROW),
    Bug(FULL, "windows of different trials that keep their leak", "later if self.keep_leak else passing", "later", ROW),
    Bug(FULL, "windows of different trials that lose their leak", "later if self.keep_leak else passing", "passing",
        ROW),
    Bug("tca/execution.py", "a signal that goes on after the trial", "    if over is None:\n        return read",
        "    if True:\n        return read", PADDING),
    Bug(RATE, "rates of all trials alike", "self.weight / count", "self.weight / (tape.steps * tape.rate.shape[1])",
        PADDING),
    Bug(RATE, "spikes of padding", 'tape.rate[1:].masked_fill(tape.over[1:].unsqueeze(-1), 0.0)', "tape.rate[1:]",
        PADDING),
    Bug(KERNEL, "kernels that learn from trials that are over", "if isinstance(to_go, Tensor):", "if False:",
        ("tests/tca/test_padding.py::test_what_a_rule_remembers_is_not_changed",)),
    Bug(TRIALS, "trials judged at the end of the batch", "if tape.lengths is not None:", "if False:", ROW),
    Bug(REWARD, "trials that were not shown are met", "(tape.trials_shown.trial_lengths > 0)",
        "(tape.trials_shown.trial_lengths >= 0)", PADDING),
    Bug("tca/eligibilities/deviations.py", "drives that go on after the trial", "if noisy.over is not None:",
        "if False:", PADDING),
    Bug("tca/signals/decorrelation/decorrelation.py", "a mean over trials that are over", "runs = ~over.unsqueeze(-1)",
        "runs = torch.ones_like(over).unsqueeze(-1)", PADDING),
    Bug("tca/signals/diffusion/field_pass.py", "a field that comes back from after the trial", "if tape.over is not None:",
        "if False:", PADDING),
    Bug(DIFFUSED, "a warning that padding silences", "torch.where(counts, classes, classes.max())", "classes",
        PADDING),
    Bug("tca/utils/noise.py", "noise drawn from the last step to the first",
        "return torch.stack([draw() for _ in range(steps)])",
        "return torch.stack([draw() for _ in range(steps)]).flip(0)", PADDING),
    Bug("tca/learner.py", "noise drawn for padding", "if batch.padded else batch.steps", "if False else batch.steps",
        PADDING),
    Bug("tca/online.py", "a field received after the trial", "over = (self.time > self.steps)",
        "over = (self.time > self.steps + 99)",
        PADDING),
    Bug("tca/losses/loss.py", "infinite losses without weight", "torch.where(weights != 0, weights * ",
        "torch.where(weights >= 0, weights * ", PADDING),
    Bug(ACTIVITY, "rates after the end of trials", "else found[batch.inside]", "else found[:longest]",
        ("tests/analysis/test_padding_measures.py::test_padding_changes_no_measure",)),
    Bug(ACTIVITY, "rates of padding that all trials share", "found[:longest].clone() if", "found.clone() if", MEASURES),
    Bug(ACTIVITY, "trials not cut at their end", "found[:length, trial]", "found[:, trial]", MEASURES),
    Bug("analysis/broadcast_measures.py", "diagnostics of padding", "rates = tape.samples",
        "rates = tape.rate[1:].flatten(0, 1)", MEASURES),
    Bug("analysis/generalization/conditions.py", "noise of inputs from the last step on",
        "by_steps(len(inputs), partial(draw, generator=torch.Generator().manual_seed(seed)))",
        "by_steps(len(inputs), partial(draw, generator=torch.Generator().manual_seed(seed))).flip(0)", MEASURES),
    Bug("analysis/dynamics/dsa.py", "trials joined to each other", "torch.cat([each[1:] for each in components])",
        "torch.cat(components)[len(components):]", MEASURES),
    Bug("analysis/figures/state_space.py", "states of padding drawn", "return window & batch.inside", "return window",
        MEASURES),
    Bug("studies/published_spiking.py", "spikes of padding", "float(rates(learner.net, batch).mean())",
        "float(rates(learner.net, batch.inputs).mean())", MEASURES),
    Bug("tca/batch.py", "lengths lost where pieces are put together", "torch.cat([part.trial_lengths for part in parts]) if timed else None",
        "None", MEASURES),
]  # fmt: skip
