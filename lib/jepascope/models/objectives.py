"""Objectives: one term, one function, one equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from jepascope.models.jepa import JEPAOutput


class Weights(NamedTuple):
    """VICReg's coefficients, 25 / 25 / 1 in Bardes et al. 2022."""

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0


class Losses(NamedTuple):
    """The unweighted terms and their weighted total, scalars."""

    total: Tensor
    invariance: Tensor
    variance: Tensor
    covariance: Tensor


Objective = Callable[[JEPAOutput], Losses]  # what a training arm is


def invariance(z_hat: Tensor, target: Tensor) -> Tensor:
    """Mean squared prediction error, 1/(M D) Σ_m ‖ẑ_m − z_m‖², for ẑ and target [M, D]; 0 when there is no pair.

    The mean runs over D too, as in the authors' code, to which the weights 25 / 25 / 1 belong.
    Source: Bardes, Ponce & LeCun 2022 (VICReg), eq. 5.
    """
    return (z_hat - target).square().sum() / max(z_hat.numel(), 1)


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


def stop_gradient_vicreg(output: JEPAOutput, weights: Weights) -> Losses:
    """The arm that interpretability rests on: the target is the same weights' z, detached.

    L = λ_i · invariance(ẑ, sg[z]) + λ_v · variance(z) + λ_c · covariance(z). The regularisers act on the z that
    carries gradient, of all encounters in the batch: were z made under no_grad, they would be silent.
    """
    return vicreg(output.z_hat, output.z.detach()[output.target_rows], output.z, weights)


def vicreg(z_hat: Tensor, target: Tensor, z: Tensor, weights: Weights) -> Losses:
    """Weigh and add the three terms, for any choice of target [M, D] and of regularised embedding z [N, D]."""
    terms = (invariance(z_hat, target), variance(z), covariance(z))
    total = sum((w * term for w, term in zip(weights, terms, strict=True)), torch.zeros_like(terms[0]))
    return Losses(total, *terms)
