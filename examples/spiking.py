"""E-prop and BPTT through surrogate gradients in a spiking network that reads digits row by row.

python examples/spiking.py --updates 200
"""

import argparse

import torch

import analysis
import tasks
import tca
from analysis import figures

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=200)
parser.add_argument("--out", default="spiking.png")
given = parser.parse_args()

task = tasks.make("sequential_digits")
train, test = task.split(n_train=1000, n_test=400, seed=0)
curves = []
for rule in ("bptt", "eprop"):
    net = tca.nets.SpikingRNN(
        task.n_in, 64, task.n_out, dt=task.dt, tau=60.0, adaptive=0.0, refractory=0.0, readout_tau=60.0, gain_in=3.0
    )
    learner = tca.Learner(net, tca.RULES[rule])
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    steps, accuracy = [], []
    for step, batch in enumerate(train.batches(50, seed=0, epochs=1 + given.updates // 20)):
        if step % 20 == 0:
            steps.append(step)
            accuracy.append(analysis.generalization_gap(net, task, train, test).test.accuracy)
        if step == given.updates:
            break
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
    spikes = analysis.rates(net, test.batch()).mean().item()
    print(f"{rule}: test accuracy {accuracy[-1]:.3f}, {spikes:.2f} spikes a step and cell")
    curves.append(figures.Series("digits by rows, spikes", rule, 0, steps, accuracy))
figures.learning_curves(curves, chance={"digits by rows, spikes": task.chance}).savefig(given.out, dpi=150)
print(f"wrote {given.out}")
