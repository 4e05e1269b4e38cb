"""Train a recurrent network by BPTT, e-prop and random feedback on a delayed match to sample.

python examples/delayed_match.py --updates 200
"""

import argparse

import torch

import analysis
import tasks
import tca
from analysis import figures

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=200)
parser.add_argument("--seeds", type=int, default=2)
parser.add_argument("--out", default="delayed_match.png")
given = parser.parse_args()

task = tasks.make("delayed_match")
train, test = task.split(n_train=500, n_test=300, seed=0)
curves = []
for rule in ("bptt", "eprop", "eprop_random"):
    for seed in range(given.seeds):
        net = tca.nets.LeakyRNN(task.n_in, 64, task.n_out, tau=300.0, dt=task.dt, seed=seed)
        learner = tca.Learner(net, tca.RULES[rule], seed=seed)
        optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
        steps, accuracy = [], []
        for step, batch in enumerate(train.batches(50, seed=seed, epochs=1 + given.updates // 10)):
            if step % 20 == 0:
                steps.append(step)
                accuracy.append(analysis.generalization_gap(net, task, train, test).test.accuracy)
            if step == given.updates:
                break
            optimizer.zero_grad()
            learner.backward(batch)  # fills .grad
            optimizer.step()
        curves.append(figures.Series("delayed match to sample", rule, seed, steps, accuracy))
        print(f"{rule}, seed {seed}: test accuracy {accuracy[-1]:.3f}")
figures.learning_curves(curves, chance={"delayed match to sample": task.chance}).savefig(given.out, dpi=150)
print(f"wrote {given.out}")
