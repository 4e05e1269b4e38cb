"""Bugs of what a run makes of its rule and how it ends: forms, outcomes, limits of time, recipes and losses."""

from __future__ import annotations

from tests.bugs.bug import Bug

FORM, OVERFLOW, REWARD = ("tests/test_leak_form.py",), ("tests/test_overflow.py",), ("tests/test_reward.py",)
LOSS, TYPES = ("tests/test_check_loss.py",), ("tests/test_cell_types_warning.py",)
RECIPE = ("tests/test_recipes.py",)

BUGS = [
    Bug("tca/experiments/config/recipes.py", "one recipe whatever the loss", "fitting.get(type(loss)) or ", "", RECIPE),
    Bug(
        "tca/experiments/config/recipes.py",
        "a recipe for locally connected presets",
        "isinstance(layer, DenseLayer | ConvLayer)",
        "isinstance(layer, object)",
        RECIPE,
    ),
    Bug(
        "tca/experiments/config/run.py",
        "what is given overruled by what is recommended",
        "        if self.optimizer is None:\n",
        "        if True:\n",
        RECIPE,
    ),
    Bug(
        "tca/experiments/config/run.py", "the recipe of the rule before", 'changes["optimizer"] = None', "pass", RECIPE
    ),
    Bug(
        "tca/__main__.py", "a given rate that is the default not seen", "options.optimizer = None  #", "pass  #", RECIPE
    ),
    Bug(
        "tca/experiments/sweep/grids.py",
        "sweeps that leave form and recipe behind",
        "whole = whole.with_rule(rules[-1])",
        "pass",
        RECIPE,
    ),
    Bug(
        "tca/signals/cell_type_check.py",
        "one pair of types by chance is enough",
        "<= ERRORS * error).all())",
        "<= ERRORS * error).any())",
        TYPES,
    ),
    Bug(
        "tca/signals/cell_type_check.py",
        "missing synapses counted",
        "torch.ones_like(weights) if mask is None else mask.to(weights)",
        "torch.ones_like(weights)",
        TYPES,
    ),
    Bug(
        "tca/signals/cell_type_check.py",
        "rules by cell type without an estimate overlooked",
        "BlockMean, TypePropagation, TypeReturn)",
        "BlockMean)",
        TYPES,
    ),
    Bug(
        "tca/learner.py",
        "rules that are e-prop bound without a word",
        "        warn_if_typeless(net, rule)\n",
        "",
        TYPES,
    ),
    Bug(
        "tca/cli/comparison_table.py",
        "rows that are e-prop shown without a word",
        "if rules := _typeless(measured):",
        "if rules := []:",
        TYPES,
    ),
    Bug(
        "tca/losses/loss_check.py",
        "scores compared in sign and size of the first output only",
        "wrong = ~((found - wanted)",
        "wrong = ~((found - wanted)[..., :1]",
        LOSS,
    ),
    Bug(
        "tca/losses/loss_check.py",
        "trials that depend on each other overlooked",
        "torch.linspace(0, 1, value.numel()",
        "torch.linspace(0, 0, value.numel()",
        LOSS,
    ),
    Bug(
        "tca/losses/loss.py",
        "a part of one's own taken for the library's",
        "return not own or any(",
        "return not own and any(",
        LOSS,
    ),
    Bug(
        "tca/losses/loss_check.py",
        "outputs overwritten by a score overlooked",
        "not torch.equal(scored, outputs) or ",
        "",
        LOSS,
    ),
    Bug(
        "tca/learner.py",
        "losses of one's own never looked at",
        "if not foreign(batch.loss):",
        "if foreign(batch.loss):",
        LOSS,
    ),
    Bug("tca/learner.py", "a loss looked at in every batch", "self._checked = batch.loss", "pass", LOSS),
    Bug(
        "tca/online.py",
        "losses not looked at online",
        "self.learner.check_loss(batch, outputs.unsqueeze(0))",
        "pass",
        LOSS,
    ),
    Bug(
        "tca/experiments/config/network_config.py",
        "a stack left in the form that its rule is not",
        'if "layers" in options:\n            options["layers"] = [put',
        'if False:\n            options["layers"] = [put',
        FORM,
    ),
    Bug(
        "tca/experiments/config/network_config.py",
        "the form of a rule overruling that of the network",
        '(anew or population["form"] is None)',
        "True",
        FORM,
    ),
    Bug(
        "tca/learner.py", "a rule bound to cells of any form", "rule.check_form(place.form, place.title)", "pass", FORM
    ),
    Bug("tca/nets/stacked_rnn.py", "stacks taken for form A", "form=cells.leak_form", 'form="A"', FORM),
    Bug(
        "tca/rules.py",
        "another rule meant elsewhere",
        '{"A": "eprop_random", "": "dfa"}',
        '{"A": "eprop", "": "dfa"}',
        FORM,
    ),
    Bug(
        "tca/experiments/training/training_loop.py",
        "weights beyond all numbers are a success",
        "if trouble := self._overflow():",
        "if trouble := '':",
        OVERFLOW,
    ),
    Bug(
        "tca/experiments/training/training_loop.py",
        "the loss of the last measurement not looked at",
        "in _losses(last)",
        "in ()",
        OVERFLOW,
    ),
    Bug(
        "tca/experiments/training/training_loop.py",
        "biases and the readout not looked at",
        "yield from self.net.named_parameters()",
        'yield "w_rec", self.net.w_rec',
        OVERFLOW,
    ),
    Bug(
        "tca/experiments/training/training_loop.py",
        "the optimizer's state not looked at",
        "if isinstance(each, Tensor):",
        "if False:",
        OVERFLOW,
    ),
    Bug(
        "tca/experiments/training/training_loop.py",
        "the rule's state not looked at",
        "in self.learner.buffers.items():",
        "in ():",
        OVERFLOW,
    ),
    Bug(
        "tca/experiments/records/result.py",
        "minus infinity is below all losses",
        "-math.inf < each.train_loss",
        "each.train_loss",
        OVERFLOW,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "a truncated trial goes on",
        "each.reset()[0] if end or limit else observed",
        "each.reset()[0] if end else observed",
        REWARD,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "truncation taken for termination",
        "or bool(end) for _, _, end, _, info",
        "or bool(end or cut) for _, _, end, cut, info",
        REWARD,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "termination at the limit taken for truncation",
        "bool(limit) and not done for",
        "bool(limit) for",
        REWARD,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "the value of a truncated trial advances the network",
        "self._advance(copy.copy(cells), read,",
        "self._advance(cells, read,",
        REWARD,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "the value of a truncated trial without private noise",
        "noises[t + 1], cut)",
        "None, cut)",
        REWARD,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "the first state of the next trial instead of the last",
        "[observed for observed, *_ in results], noises",
        "[each.reset()[0] for each in self.environments], noises",
        REWARD,
    ),
    Bug(
        "tca/experiments/reinforcement/actor_critic.py",
        "no value after a truncated trial",
        "after = torch.where(truncated & continues, final_values, after)",
        "pass",
        REWARD,
    ),
    Bug(
        "tca/experiments/reinforcement/actor_critic.py",
        "temporal-difference errors reach over a truncation",
        "continues = continues & ~truncated",
        "pass",
        REWARD,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "a policy of NaN ends in torch's error",
        "if not torch.isfinite(policy).all():",
        "if False:",
        ("tests/test_train_by_reward.py::test_a_policy_that_is_not_finite_is_an_outcome",),
    ),
]
