"""Both ends of a spectrum by power iteration, as PyHessian 0.1 does it: slow, to compare with published numbers.

PyHessian (Yao et al. 2020) is widely used to report the sharpness of networks. This file works around faults of its
version 0.1:

- ``eigenvalues`` converges to the largest *modulus*: a dominating negative eigenvalue is returned as the top, and two
  of nearly equal modulus and opposite sign are mixed. Here a second iteration yields the other end on the Hessian
  less the first value.
- It stops when two successive values agree, compared with ``|value| + 1e-6``, and returns neither residual nor
  convergence: with the default tolerance of 1e-3 values are early by percents, and for small losses it stops at once.
  Here the loss is scaled up, and one exact product judges residual and convergence.
- The value returned is the one before last, and vectors have length ``1 - 1e-6``, so that six digits are out of reach.
  Here only the vector is used, with its Rayleigh quotient.
- It differentiates all parameters of a module and fails if one has no gradient, weights batches by ``inputs.size(0)``,
  and its criterion takes no weights of steps. Here its module has the chosen parameters alone, and its data are numbers
  of chunks.
- It leaves the module in evaluation mode, overwrites every ``.grad`` with a gradient that holds its own graph (a leak,
  and a warning), draws from the global generator, and takes the current device. Here the module is temporary, its graph
  is freed, the generator restored, and the device of the operator made current.

Its ``trace`` has no standard error and may stop after two probes; its ``density`` needs ``torch.eig``, which PyTorch
has removed. Neither is used.

Paper: Yao, Gholami, Keutzer and Mahoney (2020), PyHessian: neural networks through the lens of the Hessian, IEEE Big
Data.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from analysis.curvature.eigensolvers.ends import Ends, Pair
from analysis.curvature.operators import Hessian, Operator

__all__ = ["LossModule", "ends"]

SCALE = 1e3  # modulus of the dominating eigenvalue in PyHessian, far above its constants of 1e-6


class LossModule(nn.Module):
    """A loss as PyHessian takes it: a module from numbers of chunks to their shares in the loss.

    Its Hessian is ``scale (H - shift I)``.

    Args:
        hessian: The Hessian of the loss.
        scale: Factor of the loss, default 1.
        shift: Subtracted from every eigenvalue, default 0.

    >>> bowl = Hessian([lambda theta: theta.square().sum()], torch.tensor([2.0]), l2=1.0)
    >>> LossModule(bowl, shift=3.0)(torch.tensor([0])).tolist()
    [0.0]
    """

    def __init__(self, hessian: Hessian, scale: float = 1.0, shift: float = 0.0) -> None:
        """Take over the point."""
        super().__init__()
        self.theta = nn.Parameter(hessian.theta.detach().clone())
        self._losses: list[Callable[[Tensor], Tensor]] = hessian.losses
        self._scale = scale
        self._quadratic = (hessian.l2 - shift) / (2 * len(hessian.losses))

    def forward(self, chunks: Tensor) -> Tensor:
        """Return the shares of chunks in the loss.

        Args:
            chunks: Their numbers.
        """
        ridge = self._quadratic * self.theta.square().sum()
        return self._scale * torch.stack([self._losses[index](self.theta) + ridge for index in chunks.tolist()])


def ends(operator: Operator, tolerance: float, products: int, seed: int, k: int = 1) -> Ends:
    """Return an eigenvector at each end of the spectrum.

    The first iteration finds the end of largest modulus, ``lambda``; the second iterates ``H - lambda I``, whose
    largest modulus is at the other end.

    Args:
        operator: The Hessian of a loss.
        tolerance: Residual at which to stop, relative to the eigenvalue of largest modulus. Values converge with
            its square, the tolerance given to PyHessian.
        products: Most products for each end.
        seed: Seed of the starting vectors.
        k: Number of eigenvalues at each end: one.

    Raises:
        ValueError: The operator is no Hessian, or k is not one.
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
    import pyhessian

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
        module.theta.grad = None  # the gradient refers to its own graph, which is freed here only
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
