"""Bugs in runs in environments that give rewards only, and in segments of recurrent policies."""

from tests.bugs.bug import Bug

RUNS = ("tests/tca/experiments/reinforcement/test_control_runs.py",)
FILM = ("tests/tca/cli/test_film.py",)
CARRIED = ("tests/tca/experiments/reinforcement/test_carried_state.py",)

WITNESS = ("tests/tca/experiments/training/test_whole_updates.py",)
STREAMS = ("tests/tca/signals/test_error_diffusion.py",)

BUGS = [
    Bug(
        "tca/experiments/reinforcement/actor_critic.py",
        "a ratio that overflows makes an update that does not follow it",
        "return -advantage * torch.where(followed, ratio, 0.0)",
        "return -advantage * ratio * followed",
        WITNESS,
    ),
    Bug(
        "tca/experiments/reinforcement/rollout.py",
        "advantages standardised over all minibatches",
        "_standardised(shuffled, cuts)",
        "_standardised(shuffled, [slice(None)])",
        ("tests/tca/experiments/reinforcement/test_ppo.py",),
    ),
    Bug(
        "tca/nets/feedforward/interlayer.py",
        "the mean square a constant",
        "return (signal - normalised * (signal * normalised).mean(-1, keepdim=True)) * inverse",
        "return signal * inverse",
        STREAMS,
    ),
    Bug(
        "tca/experiments/reinforcement/rollout.py",
        "returns without a critic completed by a value",
        "values = self.values if agent.critic else torch.zeros_like(self.values)",
        "values = self.values",
        ("tests/tca/experiments/reinforcement/test_ppo.py",),
    ),
    Bug(
        "tca/experiments/config/control_settings.py",
        "one discount for all tasks",
        "discount=DISCOUNTS.get(task.name, base.discount), ",
        "",
        RUNS,
    ),
    Bug(
        "tca/nets/dual_stream/dual_stream_networks.py",
        "two streams without the operations between them",
        "[DenseLayer(size, then or ()) for size in sizes]",
        "[DenseLayer(size) for size in sizes]",
        ("tests/tca/nets/dual_stream/test_relays.py",),
    ),
    Bug(
        "tasks/control/seeded_environment.py",
        "a restored environment at the start of its episode",
        'state["actions"].numpy():',
        'state["actions"].numpy()[:0]:',
        RUNS,
    ),
    Bug(
        "tca/experiments/reinforcement/episodes.py",
        "tested in the episodes of training",
        "(run.agent.test_episodes, TEST)",
        "(run.agent.test_episodes, TRAINING)",
        RUNS,
    ),
    Bug(
        "tca/experiments/reinforcement/rollout.py",
        "segments learned from the initial state",
        "weights, loss, start=self.start)",
        "weights, loss)",
        CARRIED,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "cells go on from an episode to the next",
        "cells.restart(restarted)",
        "pass",
        CARRIED,
    ),
    Bug(
        "tca/experiments/reinforcement/rollout.py",
        "every piece of a segment from the state carried over",
        "start=batch.start[environment] * (begin == 0).unsqueeze(-1),",
        "start=batch.start[environment],",
        CARRIED,
    ),
    Bug(
        "tca/experiments/reinforcement/rollout.py",
        "a mean over pieces",
        "weights=apart(batch.weights) * (len(begin) / batch.trials),",
        "weights=apart(batch.weights),",
        CARRIED,
    ),
    Bug(
        "tca/nets/spiking/spiking_pass.py",
        "cells refractory at the start for ever",
        "ready.add_((self.wait == t).to(ready))",
        "pass",
        CARRIED,
    ),
    Bug(
        "tca/nets/cell_rnn/block_population.py",
        "a given state of gated cells ignored",
        "states[0] = start if start is not None else into[-1]",
        "states[0] = into[-1]",
        CARRIED,
    ),
    Bug(
        "tca/nets/recurrent.py",
        "the memory of a filtered readout in the step after",
        "alpha=self.readout_leak / (1 - self.readout_leak))",
        "alpha=self.readout_leak)",
        CARRIED,
    ),
    Bug(
        "tca/tape/leaky_tape.py",
        "a carried readout in a compiled pass over the rates alone",
        "(self.readout.back is not None or self.readout.carried)",
        "(self.readout.back is not None)",
        CARRIED,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "a filtered readout that goes on from an episode to the next",
        "self.read = memory[:, cells:].to(self.stepper.rate)",
        "pass",
        CARRIED,
    ),
    Bug(
        "tca/experiments/reinforcement/actor.py",
        "the value after a segment advances the network",
        "following = copy.copy(cells).advance(",
        "following = cells.advance(",
        CARRIED,
    ),
    Bug(
        "tca/cli/film.py",
        "durations rounded one by one",
        "10 * (later - earlier) for earlier, later in pairwise(ticks)",
        "10 * round(100 * (later - earlier)) for earlier, later in pairwise((*times, times[-1] + HOLD))",
        FILM,
    ),
    Bug("tca/cli/film.py", "dithered images", "dither=Image.Dither.NONE", "dither=Image.Dither.FLOYDSTEINBERG", FILM),
    Bug(
        "tca/experiments/reinforcement/trained_policy.py",
        "a film without the last state",
        "if self.state % self.every == 0 or made[2] or made[3]:",
        "if self.state % self.every == 0:",
        RUNS,
    ),
    Bug(
        "tasks/control/control_task.py",
        "the extra for any missing library",
        "if ours else",
        "if True else",
        RUNS,
    ),
]
