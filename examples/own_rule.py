"""A learning rule that has no name yet: a signal of one's own with an eligibility of the library, checked and trained.

python examples/own_rule.py --updates 150
"""

import argparse
from dataclasses import dataclass

import torch

import analysis
import tasks
import tca
from analysis import figures
from tca.signals import InstantSignal

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=150)
parser.add_argument("--out", default="own_rule.png")
given = parser.parse_args()


@dataclass(frozen=True)
class LargestError(InstantSignal):
    """``G_t = W_o^T m_t err_t`` with ``m_t`` one for the output with the largest error and else zero."""

    @property
    def equation(self):
        return "G_t = W_o^T m_t score_t, m_t the largest error"

    def rate_signal(self, score, population, buffers):
        largest = score.abs() == score.abs().amax(-1, keepdim=True)
        return (largest * score) @ population.readout


mine = tca.Rule(LargestError(), tca.eligibilities.Leak())
report = tca.check_rule(mine)
print(report)

task = tasks.make("delayed_match")
train, test = task.split(n_train=400, n_test=300, seed=0)
curves = []
for name, rule in (("eprop", tca.RULES["eprop"]), ("largest error", mine)):
    net = tca.nets.LeakyRNN(task.n_in, 48, task.n_out, tau=300.0, dt=task.dt, seed=0)
    learner, optimizer = tca.Learner(net, rule), torch.optim.Adam(net.parameters(), lr=3e-3)
    steps, accuracy = [], []
    for step, batch in enumerate(train.batches(50, seed=0, epochs=1 + given.updates // 8)):
        if step % 15 == 0:
            steps.append(step)
            accuracy.append(analysis.generalization_gap(net, task, train, test).test.accuracy)
        if step == given.updates:
            break
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
    print(f"{name}: test accuracy {accuracy[-1]:.3f}")
    curves.append(figures.Series("delayed match to sample", name, 0, steps, accuracy))
figures.learning_curves(curves, chance={"delayed match to sample": task.chance}).savefig(given.out, dpi=150)
print(f"wrote {given.out}")
