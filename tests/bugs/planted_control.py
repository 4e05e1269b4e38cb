"""Bugs in runs in environments that give rewards only, and in segments of recurrent policies."""

from tests.bugs.bug import Bug

RUNS = ("tests/tca/experiments/reinforcement/test_control_runs.py",)
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
        "tca/experiments/reinforcement/actor.py",
        "the value after a segment advances the network",
        "following = copy.copy(cells).advance(",
        "following = cells.advance(",
        CARRIED,
    ),
]
