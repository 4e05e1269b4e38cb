"""Spectrum of the Hessian of a model written in plain PyTorch: signed ends, trace with its error, density.

python examples/hessian.py --updates 200
"""

import argparse

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import nn

import analysis

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=200)
parser.add_argument("--out", default="hessian.png")
given = parser.parse_args()

torch.manual_seed(0)
digits = load_digits()
images, classes = torch.from_numpy(digits.data).float()[:400] / 16, torch.from_numpy(digits.target)[:400]
model, loss = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)), nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(given.updates):
    optimizer.zero_grad()
    loss(model(images), classes).backward()
    optimizer.step()

print(analysis.curvature(model, (images, classes), "all", loss=loss))
density = analysis.density(analysis.operator(model, (images, classes), "all", loss=loss), probes=4, steps=60)
low, high = density.nodes.min().item(), density.nodes.max().item()
grid = torch.linspace(1.1 * low, 1.05 * high, 500, dtype=torch.float64)
figure = Figure(figsize=(5, 3), layout="constrained")
axes = figure.subplots()
axes.semilogy(grid, density.on(grid).clamp(min=1e-8))
axes.set(xlabel="eigenvalue", ylabel="density", ylim=(1e-6, None))
figure.savefig(given.out, dpi=150)
print(f"wrote {given.out}")
