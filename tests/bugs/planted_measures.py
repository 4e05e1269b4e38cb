"""Bugs of measures: ties and degenerate spectra, measurements with side effects, estimates from few samples."""

from __future__ import annotations

from tests.bugs.bug import Bug

TIES = ("tests/test_ties.py",)

BUGS = [
    Bug(
        "analysis/similarity_rsa.py",
        "ranks of equal distances decided by round-off",
        "tied_ranks(values.sqrt(), unsure)",
        "tied_ranks(values.sqrt(), 0.0)",
        TIES,
    ),
    Bug(
        "analysis/similarity_rsa.py",
        "ties relative to the distance",
        "tied_ranks(values.sqrt(), unsure)",
        "tied_ranks(values.clamp(min=1e-300).log(), 1e-11)",
        TIES,
    ),
    Bug(
        "analysis/similarity_rsa.py",
        "equal distances that differ by round-off correlated",
        "if lengths.max() - lengths.min() <= unsure else",
        "if lengths.max() == lengths.min() else",
        TIES,
    ),
    Bug(
        "analysis/activity.py",
        "single precision trusted like double",
        "return round_off(values.dtype) * float(values.to(torch.float64).norm(dim=-1)",
        "return 1e-11 * float(values.to(torch.float64).norm(dim=-1)",
        TIES,
    ),
    Bug(
        "analysis/activity.py",
        "round-off of single precision taken for components",
        "return round_off(values.dtype) * float(values.to(torch.float64).norm())",
        "return 1e-11 * float(values.to(torch.float64).norm())",
        TIES,
    ),
    Bug(
        "analysis/activity.py",
        "units that never vary made to vary by round-off",
        "torch.where(moved.norm(dim=0) > exact * values.norm(dim=0), moved, 0.0)",
        "moved",
        TIES,
    ),
    Bug(
        "analysis/ties.py",
        "ties that chain",
        "below = torch.searchsorted(rising, values - tolerance)",
        "below = torch.searchsorted(rising, values - 1e3 * tolerance)",
        TIES,
    ),
    Bug(
        "analysis/ties.py",
        "cuts through ties let through",
        "if count < len(falling) and count not in allowed:",
        "if count > len(falling):",
        TIES,
    ),
    Bug(
        "analysis/similarity.py",
        "components cut within a tie",
        'count = check_cut(f"components of {name}", most, sizes, unsure)',
        "count = most",
        TIES,
    ),
    Bug(
        "analysis/similarity.py",
        "a share of the variance that cuts a tie",
        "for each in kept_apart(sizes, unsure) if",
        "for each in range(1, count + 1) if",
        TIES,
    ),
    Bug(
        "analysis/similarity.py",
        "a debiased variance of zero decided by round-off",
        "<= limit:",
        "<= 0:",
        TIES,
    ),
    Bug(
        "analysis/dynamics.py",
        "rank that cuts a tie",
        'check_cut("rank", min(len(sizes), whole("rank", rank, 1)), sizes, unsure)',
        'min(len(sizes), whole("rank", rank, 1))',
        TIES,
    ),
    Bug(
        "analysis/rotations.py",
        "fields compared in one order only",
        "ends += [_descended(b, a, each, COARSE).T for",
        "ends += [_descended(b, a, each.T, COARSE).T for each in _starts(a, b, starts, seed) for",
        TIES,
    ),
    Bug(
        "analysis/rotations.py",
        "signs of frames left to chance",
        "        if gains.max() <= 0:",
        "        if True:",
        TIES,
    ),
    Bug(
        "analysis/rotations.py",
        "the slope of a field transposed",
        "by_rotation = -(left @ rotation @ b.T + left.T @ rotation @ b)",
        "by_rotation = -(left @ rotation @ b + left.T @ rotation @ b.T)",
        ("tests/test_dynamics.py",),
    ),
    Bug(
        "analysis/rotations.py",
        "rotations without mirror images",
        "        yield drawn * mirror\n",
        "",
        ("tests/test_dynamics.py",),
    ),
    Bug(
        "analysis/landscape.py",
        "directions within a tie shown as if they were determined",
        "if apart <= unsure:",
        "if False:",
        TIES,
    ),
    Bug(
        "analysis/landscape.py",
        "copies of an eigenvalue that one search misses",
        "apart *= float(torch.linalg.svdvals(again.mT @ vectors[:, :count]).min() > ALIKE)",
        "pass",
        TIES,
    ),
    Bug(
        "analysis/stability.py",
        "rho along any vector of a tie",
        "return values.mean().item() if alike else math.nan",
        "return values.mean().item()",
        TIES,
    ),
]
