"""Bugs of runs that are trained together."""

from __future__ import annotations

from tests.bugs.bug import Bug

FILE = "tests/tca/experiments/together/test_train_together.py"
EQUAL = tuple(f"{FILE}::test_every_run_equals_its_single_run_after_100_updates[{case}]"
              for case in ("Direct-B-eager", "Exact-A-eager", "Random-B-compiled", "Decorrelation-A-compiled"))  # fmt: skip
RULES = (f"{FILE}::test_every_rule_that_is_accepted",)
OPTIMIZERS = (f"{FILE}::test_optimizers_may_differ",)
RESUMED = (f"{FILE}::test_a_killed_group_resumes_and_finished_records_are_read",)
DIVERGED = (f"{FILE}::test_a_run_that_diverges_leaves_the_others",)
LEFT = (f"{FILE}::test_a_run_that_is_left_counts_its_own_steps",)
SWEPT = ("tests/tca/experiments/sweep/test_sweep_together.py",)
CONNECTIONS, TAPE, NETS = "tca/connections/ensemble.py", "tca/tape/ensemble_tape.py", "tca/nets/leaky/leaky_ensemble.py"
FOLDER = "tca/experiments/together"

BUGS = [
    Bug(CONNECTIONS, "the weights of another network", "torch.bmm(rows(values), weights)",
        "torch.bmm(rows(values), weights.flip(0))", EQUAL),
    Bug(TAPE, "gain of all cells forgotten", "if isinstance(gain, Tensor) else gain)", "if isinstance(gain, Tensor) else 1.0)",
        RULES),
    Bug(TAPE, "autapses of the first rows for the diagonal", ".diagonal(dim1=1, dim2=2)", "[:, 0]", RULES),
    Bug(TAPE, "lengths of trials ignored", "view(-1, 1, 1) > self.lengths", "view(-1, 1, 1) > self.lengths.amax()",
        (f"{FILE}::test_other_settings[changes5]",)),
    Bug(NETS, "the mask of the first network for all", "torch.stack(masks) if masks", "torch.stack(masks[:1] * len(masks)) if masks",
        EQUAL),
    Bug(NETS, "noise without the gain of form A", "self._fold(torch.ones_like(b[0]), 0)", "torch.ones_like(b[0])", EQUAL),
    Bug(f"{FOLDER}/learner_ensemble.py", "errors divided by the trials of all networks",
        "(trials.weights / count).unsqueeze(-1)", "(trials.weights / count / networks).unsqueeze(-1)", EQUAL),
    Bug(f"{FOLDER}/learner_ensemble.py", "statistics of the signal forgotten",
        "self.rule.signal.update_statistics_(one, learner.buffers)", "one.outputs", EQUAL),
    Bug(f"{FOLDER}/joint_updates.py", "all clipped as the first run", "witnesses.new_tensor(factors)",
        "witnesses.new_tensor(factors[:1] * len(factors))", OPTIMIZERS),
    Bug(f"{FOLDER}/joint_updates.py", "rates of the first run for all", "key=_settings)", "key=lambda each: each.chosen.name)", OPTIMIZERS),
    Bug(f"{FOLDER}/joint_updates.py", "an optimizer that forgets what a run has been through",
        "            if states[0]:\n", "            if not states:\n", RESUMED),
    Bug(f"{FOLDER}/joint_updates.py", "state that stays with the other runs", "if self._linked:\n            self._hand_out(torch.clone)",
        "if False:\n            self._hand_out(torch.clone)", LEFT),
    Bug(f"{FOLDER}/group.py", "the reason of a signal that diverges is lost", "ensemble.errors.get(place, trouble)", "trouble",
        (f"{FILE}::test_a_signal_that_diverges_in_one_run_leaves_the_others",)),
    Bug(f"{FOLDER}/train_together.py", "the trials of the first run for all", "drawn.get(run.seeds.data)",
        "next(iter(drawn.values()), None)", RULES),
    Bug(f"{FOLDER}/group.py", "runs ahead go on by themselves", "least = min(self", "least = max(self", RESUMED),
    Bug(f"{FOLDER}/group.py", "one divergence ends all", "if place not in troubles}", "if not troubles}", DIVERGED),
    Bug(f"{FOLDER}/compatibility.py", "runs of other lengths in a group", 'FREE = ("seeds", "optimizer")',
        'FREE = ("seeds", "optimizer", "steps")', (f"{FILE}::test_runs_that_differ_in_more_are_refused_and_grouped",)),
    Bug("tca/experiments/sweep/schedule.py", "groups larger than asked for", "found = groups(list(self.open.values()), size)",
        "found = groups(list(self.open.values()), size + 1)", SWEPT),
]  # fmt: skip
