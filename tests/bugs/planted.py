"""The bugs that ``tests.bugs.run`` plants: each is one change of text that a tired hand might make."""

from __future__ import annotations

from dataclasses import dataclass

RULES = ("tests/test_conformance.py", "tests/test_facts_recurrent.py")
ONLINE = ("tests/test_streaming.py",)
NETWORKS = ("tests/test_networks.py",)
LOSSES = ("tests/test_losses.py",)


@dataclass(frozen=True)
class Bug:
    """``old``, found ``places`` times in ``file``, becomes ``new``; one of ``tests`` must fail."""

    file: str
    title: str
    old: str
    new: str
    tests: tuple[str, ...] = RULES
    places: int = 1


TAPE, CONNECTIONS, EXECUTIONS, STREAM = "tca/tape.py", "tca/connections.py", "tca/executions.py", "tca/stream.py"
BASE, TRACES, FULL = "tca/eligibilities/base.py", "tca/eligibilities/traces.py", "tca/eligibilities/full.py"
LEAK, DIAGONAL, INSTANT = (f"tca/eligibilities/{name}.py" for name in ("leak", "diagonal", "instant"))
EXACT, FEEDBACK, DIRECT = (f"tca/signals/{name}.py" for name in ("exact", "feedback", "direct"))
INSTANT_SIGNAL, ACTIVATIONS, LOSS = "tca/signals/base.py", "tca/activations.py", "tca/losses.py"
FORMS, OPTIONS, NET = "tca/nets/forms.py", "tca/nets/options.py", "tca/nets/leaky_rnn.py"
RULE, TABLE, BATCH = "tca/rule.py", "tca/rules.py", "tca/batch.py"

BUGS = [
    Bug(TAPE, "leak of the reverse filter 1 % short", "into.add_(later, alpha=self.leak)",
        "into.add_(later, alpha=0.99 * self.leak)"),
    Bug(TAPE, "per-cell leak dropped from the reverse filter", "into.addcmul_(later, self.leak)", "into.add_(later)"),
    Bug(TAPE, "recurrent weights transposed on the way back", "through(later, weights, out=returned)",
        "through(later, weights.t(), out=returned)"),
    Bug(TAPE, "slope of the wrong step on the way back", "before, now = self._activities[t - 1], self._activities[t]",
        "before, now = self._activities[t], self._activities[t - 1]", places=2),
    Bug(TAPE, "slope dropped on the way back, form B", "self.activation.times_slope_(sent, now)", "pass"),
    Bug(TAPE, "slope dropped on the way back, form A", "self.activation.times_slope_(returned, before)", "pass"),
    Bug(TAPE, "gain missing from the transmission", "return self.recurrent * (self.gain if", "return self.recurrent * (1.0 if"),
    Bug(TAPE, "gain missing from the gradient", "gradient.mul_(gain if", "gradient.mul_(1.0 if"),
    Bug(TAPE, "state signal without the slope", "self.activation.times_slope_(signal, self.activity[steps])",
        "self.activation.times_slope_(signal, self.activity[steps.start - 1 : steps.stop - 1])", places=2),
    Bug(TAPE, "filtered readout ignored by the score", "if not self.readout_leak:", "if True:"),
    Bug(TAPE, "score filtered over one step only", "entries[t].add_(entries[t + 1],", "entries[t].add_(raw[t + 1],"),
    Bug(TAPE, "score filter 1 % short", "alpha=self.readout_leak)", "alpha=0.99 * self.readout_leak)"),
    Bug(TAPE, "score filter without its gain", "filtered = raw * (1 - self.readout_leak)", "filtered = raw.clone()"),
    Bug(TAPE, "autapse of SnAp-1 without its slope", "self.gain * self.recurrent.diagonal() * self.slope_before",
        "self.gain * self.recurrent.diagonal()"),
    Bug(TAPE, "a window skips a step", "yield slice(max(1, stop - size), stop)", "yield slice(max(1, stop - size + 1), stop)"),
    Bug(TAPE, "steps to go off by one", "to_go=self.steps - t,", "to_go=self.steps - t - 1,"),
    Bug(TAPE, "Jacobian carried forwards transposed", "self.gain.unsqueeze(-1) * self.recurrent *",
        "self.gain.unsqueeze(-1) * self.recurrent.mT *"),
    Bug(CONNECTIONS, "presynaptic activity one step late", "self.pre[steps.start - 1 : steps.stop - 1]",
        "self.pre[steps.start - 1 : steps.stop - 1].roll(1, 0)"),
    Bug(CONNECTIONS, "mask ignored by the gradient", "if self.mask is None else gradient * self.mask", ""),
    Bug(CONNECTIONS, "mask ignored by the drive", "return weight if self.mask is None else weight * self.mask",
        "return weight", NETWORKS),
    Bug(CONNECTIONS, "bias averaged over steps and trials", "signal.shape[-1]).sum(0)", "signal.shape[-1]).mean(0)"),
    Bug(CONNECTIONS, "initial state never heard of", "impulse: ClassVar[float] = 1.0", "impulse: ClassVar[float] = 0.0"),
    Bug(BASE, "propagator of the step before", "self.fade_(tape, steps.start + index + 1,", "self.fade_(tape, steps.start + index,"),
    Bug(BASE, "nothing crosses from window to window", "if later is not None:", "if False:"),
    Bug(INSTANT, "an instantaneous rule that remembers", 'remembers: ClassVar[bool] = False\n',
        'remembers: ClassVar[bool] = True\n    fade_ = lambda self, tape, t, into, later: tape.leak_(into, later)\n'),
    Bug(LEAK, "e-prop that transmits", "tape.leak_(into, later)", "tape.leak_(into, later), tape.transmit_(t, into, later)"),
    Bug(LEAK, "trace 1 % short where the leak is on the rate", "lambda now: now.leak)", "lambda now: 0.99 * now.leak)"),
    Bug(DIAGONAL, "SnAp-1 without the synapse onto itself", "tape.transmit_own_(t, into, later)", "pass"),
    Bug(DIAGONAL, "SnAp-1 without the leak", "tape.leak_(into, later)", "pass"),
    Bug(FULL, "cut one step late", "return (to_go + 1) % self.steps == 0", "return to_go % self.steps == 0"),
    Bug(FULL, "cut counted over one step more", "(to_go + 1) % self.steps", "(to_go + 1) % (self.steps + 1)"),
    Bug(FULL, "rate-only cut also cuts the leak", "if not cut or self.keep_leak:", "if not cut:"),
    Bug(FULL, "whole cut keeps the leak", "if not cut or self.keep_leak:", "if True:"),
    Bug(FULL, "leak missing from the influence", "torch.diag_embed(_leak(now)) + now.transmission()", "now.transmission()"),
    Bug(TRACES, "presynaptic trace 1 % short", "self.value.mul_(self.leaks)", "self.value.mul_(0.99 * self.leaks)"),
    Bug(TRACES, "presynaptic trace that starts one step late", "self.value.mul_(self.leaks).add_(pre)",
        "self.value.add_(pre).mul_(self.leaks)"),
    Bug(TRACES, "trace per synapse without its gain", "self.value.addcmul_(moment.gain.unsqueeze(-1), pre.unsqueeze(-2))",
        "self.value.add_(pre.unsqueeze(-2))"),
    Bug(TRACES, "influence passed on the wrong way", "self.propagator(moment) @", "self.propagator(moment).mT @"),
    Bug(TRACES, "trials averaged over instead of summed", "return (signal * self.gain).t() @ self.pre",
        "return (signal * self.gain).t() @ self.pre / len(signal)"),
    Bug(TRACES, "filtered trace without the slope", "add_(slope * dense, alpha=1 - self.leak)",
        "add_(dense, alpha=1 - self.leak)", ONLINE),
    Bug(TRACES, "filtered trace 1 % short", "self.value.mul_(self.leak).add_(slope", "self.value.mul_(0.99 * self.leak).add_(slope", ONLINE),
    Bug(EXACT, "sign of what is remembered", "return adjoint - remembered", "return adjoint + remembered"),
    Bug(EXACT, "memory of the wrong step", "eligibility.fade_(tape, steps.start + index + 1,", "eligibility.fade_(tape, steps.start + index,"),
    Bug(EXACT, "adjoint not carried between windows", "Full().filter_(tape, adjoint, steps, later)", "Full().filter_(tape, adjoint, steps, None)"),
    Bug(EXACT, "horizon one step short", "range(min(self.steps, tape.steps))", "range(min(self.steps, tape.steps) - 1)"),
    Bug(EXACT, "horizon without the leak", "tape.leak_(further[:-1], adjoint[1:])", "pass"),
    Bug(DIRECT, "sign of the direct signal", "return score @ readout", "return -(score @ readout)"),
    Bug(FEEDBACK, "random feedback through the readout", 'return score @ buffers["feedback"].t()', "return score @ readout"),
    Bug(FEEDBACK, "feedback of another size", "draw * self.scale / math.sqrt(n_cells)", "draw * self.scale"),
    Bug(FEEDBACK, "Kolen-Pollack decay of the feedback dropped", "add_(change.t()).mul_(1 - self.decay)", "add_(change.t())"),
    Bug(FEEDBACK, "Kolen-Pollack decay of the readout dropped", "        readout.mul_(1 - self.decay)\n", ""),
    Bug(FEEDBACK, "feedback follows the readout backwards", "add_(change.t())", "sub_(change.t())"),
    Bug(FEEDBACK, "decay without an update", "if not change.any():", "if False:"),
    Bug(INSTANT_SIGNAL, "rate signal taken for a state signal", "tape.lift_(signal, steps)", "pass"),
    Bug(INSTANT_SIGNAL, "error one step early", "tape.score[steps], tape.readout", "tape.score.roll(-1, 0)[steps], tape.readout"),
    Bug(ACTIVATIONS, "slope of softplus", "activity.neg().expm1_().neg_()", "activity.neg().exp_()"),
    Bug(ACTIVATIONS, "slope of the rectified tanh never zero", "        ReLU().times_slope_(signal, activity)\n", ""),
    Bug(LOSS, "squared error without its half", "return 0.5 * (outputs", "return (outputs", LOSSES),
    Bug(LOSS, "score of the squared error with the wrong sign", "return outputs - targets\n", "return targets - outputs\n"),
    Bug(LOSS, "softmax over trials", "torch.softmax(outputs.movedim(-1, 0).contiguous(), 0).movedim(0, -1)", "torch.softmax(outputs, 1)"),
    Bug(LOSS, "softmax of many outputs over trials", "return torch.softmax(outputs, -1)", "return torch.softmax(outputs, 1)", LOSSES),
    Bug(LOSS, "loss summed over trials, not averaged", ".sum() / weights.shape[1]", ".sum()", LOSSES),
    Bug(LOSS, "score of the logistic loss doubled", "torch.sigmoid(outputs).sub_(targets)", "torch.sigmoid(outputs).sub_(targets).mul_(2)"),
    Bug(EXECUTIONS, "signal shifted by a step against the traces", "trace.gradient(told[t])", "trace.gradient(told[t - 1])"),
    Bug(EXECUTIONS, "filtered signal that ends each window twice", "later = filtered[0].clone()", "later = filtered[-1].clone()"),
    Bug(EXECUTIONS, "bias of a filtered readout told the filtered score", "(tape.score, tape.raw_score)", "(tape.score, tape.score)"),
    Bug(EXECUTIONS, "gain applied to the initial state", "            tape.scale_gain_(", "            pass\n        tape.scale_gain_("),
    Bug(RULE, "weights of the steps ignored", "batch.weights.unsqueeze(-1) / batch.trials", "1.0 / batch.trials"),
    Bug(RULE, "score not averaged over trials", "batch.weights.unsqueeze(-1) / batch.trials", "batch.weights.unsqueeze(-1)"),
    Bug(RULE, "gradients replace what was there", "else parameter.grad.add_(gradients[name])", "else gradients[name]"),
    Bug(RULE, "feedback does not follow the optimizer", "        self.sync_()\n", ""),
    Bug(RULE, "seed of the signal ignored", "torch.Generator().manual_seed(seed)", "torch.Generator().manual_seed(0)"),
    Bug(RULE, "training without the network's noise", "noise=self.net.draw_noise(batch.steps, batch.trials)", "noise=None", NETWORKS),
    Bug(RULE, "orphan parameters let through", "if owned.count(id(parameter)) != 1:", "if owned.count(id(parameter)) > 1:"),
    Bug(TABLE, "e-prop and SnAp-1 swapped", '"snap1": Rule(\n        Direct(),\n        Diagonal(),', '"snap1": Rule(\n        Direct(),\n        Leak(),'),
    Bug(TABLE, "RFLO with symmetric feedback", '"rflo": Rule(\n        Random(),', '"rflo": Rule(\n        Direct(),'),
    Bug(TABLE, "both windows keep the leak", "        Windowed(10),", "        Windowed(10, keep_leak=True),"),
    Bug(TABLE, "a window of another length", "        Windowed(10),", "        Windowed(9),"),
    Bug(TABLE, "a horizon of another length", "Horizon(10)", "Horizon(9)"),
    Bug(TABLE, "e-prop that is exact", '"eprop": Rule(\n        Direct(),', '"eprop": Rule(\n        Exact(),'),
    Bug(TABLE, "BPTT that is e-prop", '"bptt": Rule(\n        Exact(),\n        Instant(),', '"bptt": Rule(\n        Direct(),\n        Leak(),'),
    Bug(TABLE, "a rule without a row in the tests", "RULES: dict[str, Rule] = {\n", 'RULES: dict[str, Rule] = {\n    "mine": Rule(Direct(), Leak(), summary="?", reference="?"),\n'),
    Bug(BATCH, "trials chosen from the inputs only", "targets=self.targets[:, trials]", "targets=self.targets[:, : self.inputs[:, trials].shape[1]]"),
    Bug(FORMS, "form A leaks 1 % too fast", "now.add_(before, alpha=leak)", "now.add_(before, alpha=0.99 * leak)"),
    Bug(FORMS, "form B forgets its per-cell leak", "rates[t].addcmul_(rates[t - 1], leak)", "rates[t].add_(rates[t - 1])"),
    Bug(FORMS, "form B without its gain", "torch.mul(activity, gain, out=rates[t])", "rates[t].copy_(activity)"),
    Bug(FORMS, "form A emits the potential of the start", "rates[0].copy_(activation(before))", "rates[0].copy_(before)"),
    Bug(FORMS, "differentiable form B leaks the activity", "rate = leak * state + gain * activity", "rate = leak * activity + gain * state", NETWORKS),
    Bug(NET, "recurrent weights transposed forward", 'weights, rates = masked["w_rec"].t(), []', 'weights, rates = masked["w_rec"], []', NETWORKS),
    Bug(NET, "readout filter without its gain", "(1 - self.readout_leak) * each", "each"),
    Bug(NET, "noise not scaled by the gain", "drive[1:].addcmul_(noise, fold(torch.ones_like(self.b)))", "drive[1:].add_(noise)", NETWORKS),
    Bug(NET, "noise of the wrong size", "((1 + leak) / (1 - leak)).sqrt()", "((1 + leak) / (1 - leak))", NETWORKS),
    Bug(NET, "the same noise at every trial", "self.noise_state.copy_(generator.get_state())", "pass", NETWORKS),
    Bug(NET, "no-autapse option ignored", "if not autapses:", "if False:"),
    Bug(NET, "missing synapses grow back", "self.get_parameter(name).mul_(mask)", "pass", NETWORKS),
    Bug(OPTIONS, "exponential and Euler leak swapped", "lambda ratio: (torch.exp(-ratio), -torch.expm1(-ratio))", "lambda ratio: (1 - ratio, ratio)"),
    Bug(STREAM, "slope of the step before", "slope=self.slope,", "slope=slope_before,", ONLINE),
    Bug(STREAM, "state not reset", "self.state = initial.expand(self.trials, -1).clone()",
        'self.state = getattr(self, "state", initial.expand(self.trials, -1).clone())', ONLINE),
    Bug(STREAM, "traces not reset", "self.traces: tuple[Trace | ReadoutFilteredTrace, ...] = ()",
        'self.traces = getattr(self, "traces", ())', ONLINE),
    Bug(STREAM, "readout reads the unfiltered rate", "self.read = net.readout_leak * self.read + (1 - net.readout_leak) * self.rate",
        "self.read = self.rate", ONLINE),
    Bug(STREAM, "score not averaged over trials", "(weights / self.trials)", "weights", ONLINE),
    Bug(STREAM, "change of the step replaces that of the others", "else parameter.grad.add_(change)", "else change", ONLINE),
    Bug(STREAM, "rate signal taken for a state signal", "told if filtered else told * moment.slope", "told", ONLINE),
    Bug(STREAM, "noise ignored", "drive if noise is None else drive + noise", "drive", ONLINE),
    Bug(STREAM, "feedback does not follow inside a trial", "        self.learner.sync_()\n", "", ONLINE),
    Bug(STREAM, "steps to go off by one", "else self.steps - self.time", "else self.steps - self.time - 1", ONLINE),
]  # fmt: skip
