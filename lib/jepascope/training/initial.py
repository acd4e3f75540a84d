"""A model before its first step: what it can do, the architecture does, and only the excess is learnt."""

from __future__ import annotations

import torch

from jepascope import params
from jepascope.cohort.encounters import Encounters
from jepascope.models.jepa import JEPA
from jepascope.training.batches import infer, pack, patients_of


def new_model(vocabulary_size: int, model_params: params.Model, seed: int) -> JEPA:
    """Draw the weights that training with this seed starts from, leaving the caller's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return JEPA(vocabulary_size, **model_params.model_dump())


def untrained_twin(encounters: Encounters, model_params: params.Model, seed: int) -> JEPA:
    """Draw the weights that training with this seed starts from, and give z mean 0 and variance 1 on train patients.

    Each dimension's scale is all that it learns from data: errors of both twins are then measured in spaces of one
    size, that which VICReg asks for. It is folded into the encoder's last Linear, so that the twin is an ordinary
    model. (Training does not start from the rescaled weights: with gains that large the mean of z runs away.)
    """
    model = new_model(len(encounters.vocabulary), model_params, seed)
    z = infer(model, pack(encounters), patients_of(encounters, "train")).z
    mean, std = z.mean(dim=0), z.std(dim=0, correction=0).clamp(min=1e-6)
    with torch.no_grad():
        out = model.encoder.out
        out.weight.div_(std[:, None])
        out.bias.sub_(mean).div_(std)
    return model.eval()
