"""Node perturbation: learn from the change of one number a trial, without any derivative.

python examples/perturbation.py --updates 400
"""

import argparse

import torch

import analysis
import tasks
import tca
from analysis import figures

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=400)
parser.add_argument("--out", default="perturbation.png")
given = parser.parse_args()

task = tasks.make("delayed_xor")
train, test = task.split(n_train=200, n_test=200, seed=0)
curves = []
for rule in ("bptt", "node_perturbation"):
    net = tca.nets.LeakyRNN(task.n_in, 32, task.n_out, tau=100.0, dt=task.dt, seed=0)
    learner = tca.Learner(net, tca.RULES[rule], seed=0)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    steps, losses = [], []
    for step, batch in enumerate(train.batches(50, seed=0, epochs=1 + given.updates // 4)):
        if step % 20 == 0:
            steps.append(step)
            losses.append(analysis.generalization_gap(net, task, train, test).test.accuracy)
        if step == given.updates:
            break
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
    print(f"{rule}: test accuracy {losses[-1]:.3f}")
    curves.append(figures.Series("delayed exclusive or", rule, 0, steps, losses))
figures.learning_curves(curves, chance={"delayed exclusive or": task.chance}).savefig(given.out, dpi=150)
print(f"wrote {given.out}")
