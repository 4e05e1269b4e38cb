"""Fixed points of a network that remembers two bits: four stable points, and saddles between them.

python examples/fixed_points.py --updates 400
"""

import argparse

import torch

import analysis
import tasks
import tca
from analysis.dynamics.state_map import state_map
from analysis.figures.state_space import state_space

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=400)
parser.add_argument("--out", default="fixed_points.png")
given = parser.parse_args()

task = tasks.make("flip_flop", bits=2)
train, test = task.split(n_train=400, n_test=100, seed=0)
net = tca.nets.LeakyRNN(task.n_in, 48, task.n_out, tau=60.0, dt=task.dt, seed=0)
learner = tca.Learner(net, tca.RULES["bptt"])
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
for step, batch in enumerate(train.batches(40, seed=0, epochs=1 + given.updates // 10)):
    if step == given.updates:
        break
    optimizer.zero_grad()
    learner.backward(batch)
    optimizer.step()
print(analysis.generalization_gap(net, task, train, test))

batch = test.batch().select(slice(0, 12))
points = analysis.fixed_points(net, torch.zeros(task.n_in), analysis.sampled_states(net, batch.inputs, 100))
print(points)
states = state_map(net).trajectory(batch.inputs)[1:]
state_space(states, points, [f"trial {each}" for each in range(12)]).savefig(given.out, dpi=150)
print(f"wrote {given.out}")
