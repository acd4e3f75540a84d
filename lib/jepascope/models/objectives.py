"""Objectives: one term, one function, one equation; then the few sums of terms that arms train with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor


class Weights(NamedTuple):
    """VICReg's coefficients, 25 / 25 / 1 in Bardes et al. 2022."""

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0


class Prediction(NamedTuple):
    """Predictions of M encounters, and which encounters they are of."""

    z_hat: Tensor  # [M, D]
    rows: Tensor  # int64 [M]


class Pass(NamedTuple):
    """What one pass over a batch leaves for an objective to judge."""

    z: Tensor  # [N, D], carrying gradient
    c: Tensor  # [N, D]
    target: Tensor  # [N, D], what predictions are held against: z itself, z detached, or another network's z
    predictions: tuple[Prediction, ...]  # from one encounter ahead, from two, …
    step: int  # how many steps came before: what is drawn at random is drawn by it


def join(passes: list[Pass]) -> Pass:
    """Lay passes over parts of a batch together as one, because variance and covariance are of the whole batch."""
    starts = [0, *accumulate(len(part.z) for part in passes)]
    predictions = tuple(
        Prediction(
            torch.cat([made.z_hat for made in ahead]),
            torch.cat([made.rows + start for made, start in zip(ahead, starts, strict=False)]),
        )
        for ahead in zip(*(part.predictions for part in passes), strict=True)
    )
    z, c, target = (torch.cat(parts) for parts in zip(*(part[:3] for part in passes), strict=True))
    return Pass(z, c, target, predictions, passes[0].step)


def in_single_precision(seen: Pass) -> Pass:
    """Cast a pass that was computed in half precision: variances of a large batch need more digits than it has."""
    predictions = tuple(made._replace(z_hat=made.z_hat.float()) for made in seen.predictions)
    z, c, target = (tensor.float() for tensor in seen[:3])
    return Pass(z, c, target, predictions, seen.step)


Losses = dict[str, Tensor]  # the unweighted terms by name, scalars, and their weighted sum, "total"
Objective = Callable[[Pass], Losses]
Distance = Callable[[Tensor, Tensor], Tensor]


def squared_distance(z_hat: Tensor, target: Tensor) -> Tensor:
    """Mean squared prediction error, 1/(M D) Σ_m ‖ẑ_m − z_m‖², for ẑ and target [M, D]; 0 when there is no pair.

    The mean runs over D too, as in the authors' code, to which the weights 25 / 25 / 1 belong.
    Source: Bardes, Ponce & LeCun 2022 (VICReg), eq. 5.
    """
    return (z_hat - target).square().sum() / max(z_hat.numel(), 1)


def absolute_distance(z_hat: Tensor, target: Tensor) -> Tensor:
    """Mean absolute prediction error, 1/(M D) Σ_m ‖ẑ_m − z_m‖₁, for ẑ and target [M, D]; 0 when there is no pair.

    Its minimiser is the median, so a rare large change moves a prediction less than under the squared distance.
    Source: the latent loss of V-JEPA (Bardes et al. 2024) and of Clin-JEPA (Yang et al. 2026).
    """
    return (z_hat - target).abs().sum() / max(z_hat.numel(), 1)


def variance(z: Tensor, gamma: float = 1.0, epsilon: float = 1e-4) -> Tensor:
    """Hinge that holds each dimension's spread up, 1/D Σ_d max(0, γ − √(Var(z_d) + ε)), for z [N, D].

    The root, not the variance, because its gradient does not vanish at collapse. Var has N − 1; one row has Var 0.
    Source: Bardes et al. 2022, eqs. 1 and 2.
    """
    centred = z - z.mean(dim=0)
    std = (centred.square().sum(dim=0) / max(len(z) - 1, 1) + epsilon).sqrt()
    return (gamma - std).clamp(min=0).mean()


def covariance(z: Tensor) -> Tensor:
    """Push dimensions apart, 1/D Σ_{i≠j} C_ij² with C = (z − z̄)ᵀ(z − z̄)/(N − 1), for z [N, D].

    Divided by D as published; code that divides by D(D − 1) needs another weight.
    Source: Bardes et al. 2022, eqs. 3 and 4.
    """
    centred = z - z.mean(dim=0)
    C = centred.T @ centred / max(len(z) - 1, 1)
    return (C.square().sum() - C.diagonal().square().sum()) / z.shape[1]


def gaussianity(z: Tensor, directions: Tensor, knots: int = 17, reach: float = 5.0) -> Tensor:
    """SIGReg: how far z [N, D] is from a standard normal along unit directions [D, S]; a scalar, 0 at the limit.

    The mean over directions u of the Epps–Pulley statistic N ∫ |φ_u(t) − e^{−t²/2}|² e^{−t²/2} dt, where
    φ_u(t) = 1/N Σ_n exp(i t uᵀz_n) is the empirical characteristic function; by the trapezoid rule on `knots` points of
    [−reach, reach], an odd number. The integrand is even in t, so the half from 0 on is computed, and doubled.
    A distribution that is normal in every direction is normal (Cramér & Wold).
    Source: Balestriero & LeCun 2025 (LeJEPA), with its 17 knots on [−5, 5].
    """
    t = torch.linspace(0, reach, knots // 2 + 1, device=z.device, dtype=z.dtype)
    normal = torch.exp(-t.square() / 2)  # both the characteristic function aimed at and the window
    angle = (z @ directions)[:, :, None] * t  # [N, S, knots]
    gap = (angle.cos().mean(dim=0) - normal).square() + angle.sin().mean(dim=0).square()  # [S, knots]
    return 2 * len(z) * torch.trapezoid(gap * normal, t, dim=1).mean()


def random_directions(width: int, slices: int, seed: int) -> Tensor:
    """Draw unit vectors [D, S], uniform on the sphere, as a function of `seed` alone: a resumed run draws the same."""
    u = torch.randn(width, slices, generator=torch.Generator().manual_seed(seed))
    return u / u.norm(dim=0)


def prediction_error(seen: Pass, distance: Distance) -> Tensor:
    """Mean, over how far ahead is predicted, of the distance of ẑ to its target; a scalar."""
    errors = [distance(made.z_hat, seen.target[made.rows]) for made in seen.predictions]
    return torch.stack(errors).mean()


def vicreg(seen: Pass, weights: Weights, distance: Distance = squared_distance) -> Losses:
    """L = λ · prediction error + μ · variance(z) + ν · covariance(z).

    The regularisers act on the z that carries gradient, of all encounters in the batch: were z made under no_grad,
    they would be silent.
    """
    terms = {"prediction": prediction_error(seen, distance), "variance": variance(seen.z)}
    terms["covariance"] = covariance(seen.z)
    total = sum((w * term for w, term in zip(weights, terms.values(), strict=True)), torch.zeros_like(seen.z[0, 0]))
    return {"total": total, **terms}


def sigreg(seen: Pass, weight: float, slices: int) -> Losses:
    """L = (1 − λ) · prediction error + λ · SIGReg(z), in directions drawn anew each step.

    Source: Balestriero & LeCun 2025, with λ = 0.05 and no stop-gradient.
    """
    directions = random_directions(seen.z.shape[1], slices, seen.step).to(seen.z)
    terms = {
        "prediction": prediction_error(seen, squared_distance),
        "gaussianity": gaussianity(seen.z, directions),
    }
    return {"total": (1 - weight) * terms["prediction"] + weight * terms["gaussianity"], **terms}
