"""E-prop online: weights change at every step of a trial, with memory that does not grow with its length.

python examples/online.py --updates 400
"""

import argparse

import torch
from matplotlib.figure import Figure

import tasks
import tca

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=400, help="trials, of 8 side by side")
parser.add_argument("--out", default="online.png")
given = parser.parse_args()

task = tasks.make("flip_flop", bits=2)
train, _ = task.split(n_train=400, n_test=8, seed=0)
net = tca.nets.LeakyRNN(task.n_in, 48, task.n_out, tau=60.0, dt=task.dt, seed=0)
learner = tca.Learner(net, tca.RULES["eprop"])
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
losses = []
for count, batch in enumerate(train.batches(8, seed=0, epochs=1 + given.updates // 50)):
    if count == given.updates:
        break
    stream, total = learner.stream(batch.trials), 0.0
    for x, target, weight in zip(batch.inputs, batch.targets, batch.weights, strict=True):
        optimizer.zero_grad()
        outputs = stream.step(x, target, weight, batch.loss)
        optimizer.step()  # within the trial
        total += batch.loss.mean(outputs[None], target[None], weight[None]).item()
    losses.append(total)
print(f"loss of the first and the last ten trials: {sum(losses[:10]) / 10:.3f}, {sum(losses[-10:]) / 10:.3f}")
figure = Figure(figsize=(5, 3), layout="constrained")
axes = figure.subplots()
axes.semilogy(losses)
axes.set(xlabel="trials, 8 side by side", ylabel="loss of a trial")
figure.savefig(given.out, dpi=150)
print(f"wrote {given.out}")
