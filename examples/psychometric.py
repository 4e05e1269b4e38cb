"""Psychometric functions of networks that learn a perceptual decision by BPTT and by e-prop, as recorded runs.

python examples/psychometric.py --updates 200
"""

import argparse

import analysis
import tasks
import tca
from analysis import figures

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--updates", type=int, default=200)
parser.add_argument("--out", default="psychometric.png")
given = parser.parse_args()

test = tasks.make("perceptual_decision").split(n_train=400, n_test=1000, seed=0)[1]
curves = {}
for rule in ("bptt", "eprop"):
    run = tca.Run(
        "perceptual_decision", rule, net=tca.NetworkConfig(size=48, tau=200), steps=given.updates,
        evaluate_every=given.updates, n_train=400, n_test=1000,
    )  # fmt: skip
    result = tca.train(run, progress=False)
    curve = curves[rule] = analysis.psychometric(result.net, test)
    print(f"{rule}: test accuracy {result.last.test_accuracy:.3f}, threshold {curve.threshold.value:+.1f} % coherence")
figures.psychometric_curves(curves).savefig(given.out, dpi=150)
print(f"wrote {given.out}")
