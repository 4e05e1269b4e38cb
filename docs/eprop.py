"""E-prop on one page: a leaky recurrent network, and its weight changes computed forwards and in reverse.

After Bellec et al. (2020), Nature Communications 11:3625, for rate cells with the leak on the potential (form A).
A suffix names the axes of a tensor: T time, B trial, I postsynaptic cell, J presynaptic activity (cells, inputs and the
constant one of the bias), K output. Before the first step potentials, traces and filters are zero.
"""

import torch
from torch import Tensor

Weights = dict[str, Tensor]  # w_in (cells, inputs), w_rec (cells, cells), b (cells), w_out (outputs, cells), b_out


def network(w: Weights, x_TBJ: Tensor, alpha: float, kappa: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return presynaptic activity, slope of the rates, filtered rates and outputs of every step."""
    w_IJ = torch.cat([w["w_rec"], w["w_in"], w["b"][:, None]], 1)
    v_BI = zbar_BI = x_TBJ.new_zeros(x_TBJ.shape[1], len(w_IJ))
    steps = []
    for x_BJ in x_TBJ:
        pre_BJ = torch.cat([torch.tanh(v_BI), x_BJ, x_BJ.new_ones(len(x_BJ), 1)], 1)  # pre_t = [z_{t-1}, x_t, 1]
        v_BI = alpha * v_BI + (1 - alpha) * pre_BJ @ w_IJ.mT  # v_t = alpha v_{t-1} + (1 - alpha) W pre_t
        z_BI = torch.tanh(v_BI)  # z_t = f(v_t)
        zbar_BI = kappa * zbar_BI + (1 - kappa) * z_BI  # zbar_t = kappa zbar_{t-1} + (1 - kappa) z_t
        steps.append((pre_BJ, 1 - z_BI**2, zbar_BI))  # psi_t = f'(v_t)
    pre_TBJ, psi_TBI, zbar_TBI = (torch.stack(each) for each in zip(*steps, strict=True))
    return pre_TBJ, psi_TBI, zbar_TBI, zbar_TBI @ w["w_out"].mT + w["b_out"]  # y_t = W_out zbar_t + b_out


def forward(L_TBI: Tensor, psi_TBI: Tensor, pre_TBJ: Tensor, alpha: float, kappa: float) -> Tensor:
    """Return ``dW_ij = sum_t L_i,t ebar_ij,t``: every synapse carries its eligibility trace, as in the paper."""
    eps_BJ, ebar_BIJ = torch.zeros_like(pre_TBJ[0]), pre_TBJ.new_zeros(*psi_TBI.shape[1:], pre_TBJ.shape[2])
    dw_IJ = torch.zeros_like(ebar_BIJ[0])
    for L_BI, psi_BI, pre_BJ in zip(L_TBI, psi_TBI, pre_TBJ, strict=True):
        eps_BJ = alpha * eps_BJ + (1 - alpha) * pre_BJ  # eligibility vector eps_j,t: dv_i/dW_ij, the same for all i
        e_BIJ = psi_BI[:, :, None] * eps_BJ[:, None, :]  # eligibility trace e_ij,t = psi_i,t eps_j,t
        ebar_BIJ = kappa * ebar_BIJ + (1 - kappa) * e_BIJ  # as the outputs see it, through the filter of the readout
        dw_IJ += torch.einsum("bi,bij->ij", L_BI, ebar_BIJ)
    return dw_IJ


def reverse(L_TBI: Tensor, psi_TBI: Tensor, pre_TBJ: Tensor, alpha: float, kappa: float) -> Tensor:
    """Return the same sum as ``sum_t nu_i,t (1 - alpha) pre_j,t``: filters act backwards, on the learning signal."""
    Lbar_BI, nu_BI, nu_TBI = torch.zeros_like(L_TBI[0]), torch.zeros_like(L_TBI[0]), torch.empty_like(L_TBI)
    for t in reversed(range(len(L_TBI))):
        Lbar_BI = kappa * Lbar_BI + (1 - kappa) * L_TBI[t]  # Lbar_t = kappa Lbar_{t+1} + (1 - kappa) L_t
        nu_BI = alpha * nu_BI + psi_TBI[t] * Lbar_BI  # nu_t = alpha nu_{t+1} + psi_t Lbar_t
        nu_TBI[t] = nu_BI  # BPTT adds (1 - alpha) psi_t W_rec^T nu_{t+1}; e-prop leaves it out
    return (1 - alpha) * torch.einsum("tbi,tbj->ij", nu_TBI, pre_TBJ)


def eprop(
    w: Weights, x_TBJ: Tensor, target_TBK: Tensor, weight_TB: Tensor, alpha: float, kappa: float, execution=reverse
) -> Weights:
    """Return the gradients that e-prop descends for the loss ``E = 1/B sum_tb weight_tb |y_tb - target_tb|^2 / 2``."""
    pre_TBJ, psi_TBI, zbar_TBI, y_TBK = network(w, x_TBJ, alpha, kappa)
    error_TBK = weight_TB[..., None] * (y_TBK - target_TBK) / x_TBJ.shape[1]  # dE/dy_t
    L_TBI = error_TBK @ w["w_out"]  # learning signal L_i,t = sum_k W_out,ki dE/dy_k,t
    dw_IJ = execution(L_TBI, psi_TBI, pre_TBJ, alpha, kappa)
    w_rec, w_in, b = dw_IJ.split([len(dw_IJ), x_TBJ.shape[2], 1], 1)
    w_out = torch.einsum("tbk,tbi->ki", error_TBK, zbar_TBI)  # exact, as is b_out
    return {"w_in": w_in, "w_rec": w_rec, "b": b[:, 0], "w_out": w_out, "b_out": error_TBK.sum((0, 1))}


if __name__ == "__main__":
    generator = torch.Generator().manual_seed(0)
    T, B, inputs, N, K = 50, 8, 3, 20, 2
    shapes = {"w_in": (N, inputs), "w_rec": (N, N), "b": (N,), "w_out": (K, N), "b_out": (K,)}
    w = {name: torch.randn(shape, generator=generator, dtype=torch.float64) / N**0.5 for name, shape in shapes.items()}
    x, target = (torch.randn(T, B, each, generator=generator, dtype=torch.float64) for each in (inputs, K))
    trials = w, x, target, torch.full((T, B), 1 / T, dtype=torch.float64)
    one, other = (eprop(*trials, alpha=0.9, kappa=0.8, execution=each) for each in (forward, reverse))
    for name in ("w_in", "w_rec", "b"):
        difference = (one[name] - other[name]).norm() / other[name].norm()
        print(f"{name:5}  |forward - reverse| / |reverse| = {difference:.1e}")
