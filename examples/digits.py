"""Backpropagation, direct feedback alignment and sign-symmetric feedback on the digits of scikit-learn.

python examples/digits.py --updates 400
"""

import argparse

import torch

import analysis
import tasks
import tca
from analysis import figures

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=400)
parser.add_argument("--out", default="digits.png")
given = parser.parse_args()

task = tasks.images("digits")
train, test = task.split(n_train=1000, n_test=500, seed=0)
curves = []
for rule in ("backprop", "dfa", "sign_symmetric"):
    net = tca.nets.MLP(task.n_in, [128, 64], task.n_out, seed=0)
    learner = tca.Learner(net, tca.RULES[rule], seed=0)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    steps, accuracy = [], []
    for step, batch in enumerate(train.batches(32, seed=0, epochs=1 + given.updates // 30)):
        if step % 20 == 0:
            steps.append(step)
            accuracy.append(analysis.generalization_gap(net, task, train, test).test.accuracy)
        if step == given.updates:
            break
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
    print(f"{rule}: test accuracy {accuracy[-1]:.3f}")
    curves.append(figures.Series("digits", rule, 0, steps, accuracy))
figures.learning_curves(curves, chance={"digits": task.chance}).savefig(given.out, dpi=150)
print(f"wrote {given.out}")
