"""PPO on CartPole with the gradient estimated by direct feedback alignment.

python examples/cartpole.py --updates 60
"""

import argparse

import gymnasium
import torch
from matplotlib.figure import Figure

import tca
from tca.experiments.reinforcement.actor import Actor

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=60, help="of 8 environments, 64 steps each")
parser.add_argument("--rule", default="dfa")
parser.add_argument("--out", default="cartpole.png")
given = parser.parse_args()

lengths: list[float] = []
environments = [gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("CartPole-v1")) for _ in range(8)]
for seed, each in enumerate(environments):
    each.reset(seed=seed)
net = tca.nets.MLP(4, [64], 3, seed=0)  # two actions and the value
learner = tca.Learner(net, tca.RULES[given.rule], seed=0)
agent = tca.Agent(
    steps=64, discount=0.98, trace_decay=0.9, clip=0.2, epochs=4, minibatches=4, standardize_advantages=True
)
actor, parts = Actor(learner, environments, torch.Generator().manual_seed(0)), torch.Generator().manual_seed(1)
optimizer = torch.optim.Adam(net.parameters(), 3e-3)
for _ in range(given.updates):
    episode = actor.act(agent.steps, None)
    for batch in episode.batches(agent, parts, instant=actor.instant):
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
        net.project_()
    ended = [float(length[0]) for each in environments for length in list(each.length_queue)[-3:]]
    lengths.append(sum(ended) / max(len(ended), 1))
print(f"{given.rule}: {lengths[0]:.0f} steps an episode at first, {lengths[-1]:.0f} at the end")
figure = Figure(figsize=(5, 3), layout="constrained")
axes = figure.subplots()
axes.plot(lengths)
axes.set(xlabel="updates", ylabel="steps of an episode", ylim=(0, 510))
figure.savefig(given.out, dpi=150)
print(f"wrote {given.out}")
