"""Both ends of a spectrum by power iteration, as PyHessian 0.1 does it: slow, kept to compare with published numbers.

PyHessian (Yao et al. 2020) is widely used to report the sharpness of networks. Its version 0.1 has faults that this
file works around, so that both engines can stand behind one call:

- ``eigenvalues`` iterates towards the largest *modulus*. A dominating negative eigenvalue is returned as if it were the
  top, and two of nearly equal modulus and opposite sign are mixed. Here the other end is found by a second iteration on
  the Hessian less the value found first.
- It stops when two successive values agree, compared with ``|value| + 1e-6``, and says neither how good the vector is
  nor whether it has converged: with the default tolerance of 1e-3 values are early by percents, and for small losses it
  stops at once. Here the loss is scaled up, and residual and convergence are judged afterwards by one exact product.
- The value returned is the one before last, and vectors have length ``1 - 1e-6``, so that six digits are out of reach.
  Here only the vector is used; the value is its Rayleigh quotient.
- ``trace`` has no standard error and stops as soon as two successive means happen to agree, after two probes whenever
  the trace is negative (the sign is missing in its denominator). It is not used.
- ``density`` calls ``torch.eig``, which PyTorch has removed, and fails. It is not used.
- It differentiates all parameters of a module at once and fails if one has no gradient; inputs must have the trials
  first, since batches are weighted by ``inputs.size(0)``; the criterion sees outputs and targets only, no weights of
  steps. Here it is given a module of the chosen parameters alone whose data are numbers of chunks.
- It switches the module to evaluation for good, overwrites every ``.grad`` with a gradient that holds its own graph (a
  leak, and a warning), and draws from the global generator. The module here is a throw-away one, its graph is freed,
  and the global generator is put back.
- The device is ``"cuda"`` or ``"cpu"`` by name, ``"cuda"`` unless told otherwise. Here that of the operator is made
  current.

Paper: Yao, Gholami, Keutzer and Mahoney (2020), PyHessian: neural networks through the lens of the Hessian, IEEE Big
Data.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from analysis.curvature.eigensolvers.ends import Ends, Pair
from analysis.curvature.eigensolvers.module import LossModule
from analysis.curvature.operators import Hessian, Operator

__all__ = ["ends"]

SCALE = 1e3  # modulus of the dominating eigenvalue as PyHessian sees it, to drown its constants of 1e-6


def ends(operator: Operator, tolerance: float, products: int, seed: int, k: int = 1) -> Ends:
    """Return an eigenvector at each end of the spectrum.

    The first iteration finds the end of largest modulus, ``lambda``; the second iterates ``H - lambda I``, whose
    largest modulus is at the other end.

    Args:
        operator: The Hessian of a loss.
        tolerance: Residual at which to stop, relative to the eigenvalue of largest modulus. Values converge with
            its square, which is what PyHessian is told.
        products: Most products for each end.
        seed: Seed of the starting vectors.
        k: How many eigenvalues at each end: one.

    Raises:
        ValueError: The operator is no Hessian, or more than one eigenvalue at each end is wanted.
        ImportError: PyHessian is not installed.
    """
    if not isinstance(operator, Hessian):
        raise ValueError(f"engine 'pyhessian' takes the Hessian only, got {type(operator).__name__}")
    if k != 1:
        raise ValueError(f"engine 'pyhessian' finds one eigenvalue at each end, got k = {k}: choose engine='lanczos'")
    hessian = operator
    source = torch.Generator().manual_seed(seed)
    probe = torch.randn(hessian.size, generator=source, dtype=torch.float32, device="cpu")
    size = hessian.product(probe).norm().item()
    scale = 1.0 if size == 0.0 else SCALE * math.sqrt(hessian.size) / size
    (first,) = Pair.of(hessian, _dominating(hessian, scale, 0.0, tolerance, products, seed).unsqueeze(1))
    second = _dominating(hessian, scale, first.value, tolerance, products, seed)
    return Ends.of(hessian, torch.stack([first.vector, second], 1))


def _dominating(hessian: Hessian, scale: float, shift: float, tolerance: float, products: int, seed: int) -> Tensor:
    """Return PyHessian's vector for the eigenvalue of ``H - shift I`` of largest modulus."""
    try:
        import pyhessian
    except ImportError as error:
        raise ImportError("engine 'pyhessian' needs PyHessian: pip install PyHessian==0.1") from error
    device = hessian.theta.device
    chunks = torch.arange(len(hessian.losses), device=device)
    module = LossModule(hessian, scale, shift)
    loader = [(each, each) for each in torch.split(chunks, 1)]  # averaged, not summed, which scales the operator only
    data = {"data": (chunks, chunks)} if len(hessian.losses) == 1 else {"dataloader": loader}
    precision = 4 * torch.finfo(hessian.theta.dtype).eps
    with _quiet(device, seed):
        cuda = device.type == "cuda"
        solver = pyhessian.hessian(module, lambda outputs, _: outputs.sum(), cuda=cuda, **data)
        _, vectors = solver.eigenvalues(maxIter=products, tol=max(tolerance**2, precision))
        module.theta.grad = None  # the gradient refers to its own graph, which nothing else would free
    vector: Tensor = vectors[0][0].detach().to("cpu", torch.float64)
    return vector if vector.norm() > 0 else torch.ones_like(vector)


@contextmanager
def _quiet(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the global generators, put them back afterwards, make the device current, silence the known warning."""
    cuda = device.type == "cuda"
    index = (torch.cuda.current_device() if device.index is None else device.index) if cuda else None
    with (
        torch.random.fork_rng(devices=[] if index is None else [index]),
        nullcontext() if index is None else torch.cuda.device(index),
        warnings.catch_warnings(),
        torch.enable_grad(),
    ):
        torch.default_generator.manual_seed(seed)
        if index is not None:
            torch.cuda.manual_seed(seed)
        warnings.filterwarnings("ignore", message=r"Using backward\(\) with create_graph=True")
        yield
