"""Codes of rows that a fitted dictionary has not seen."""

from __future__ import annotations

import numpy as np
import torch

from jepascope.analysis.sae.dictionary import Codes, Dictionary, standardise
from jepascope.analysis.sae.variants import pursue

# Rows computed at a time: all of a hospital's encounters × features at once would be gigabytes.
CHUNK_ROWS = 65_536


def encode(dictionary: Dictionary, x: np.ndarray) -> Codes:
    """Codes of rows x [N, D], given in the space of z: each row by itself, whatever stands beside it."""
    parts = [_encode(dictionary, x[a : a + CHUNK_ROWS]) for a in range(0, max(1, len(x)), CHUNK_ROWS)]
    width = max(part.values.shape[1] for part in parts)
    if any(part.values.shape[1] < width for part in parts):  # thresholds pass another number in each chunk
        parts = [_encode(dictionary, x[a : a + CHUNK_ROWS], width) for a in range(0, len(x), CHUNK_ROWS)]
    values, indices = (np.concatenate([part[i] for part in parts]) for i in range(2))
    return Codes(values, indices, len(dictionary.W_dec))


def _encode(dictionary: Dictionary, x: np.ndarray, width: int = 1) -> Codes:
    """One chunk; with thresholds, as wide as its richest row needs, and at least `width`."""
    centred = standardise(dictionary, x) - dictionary.b_dec
    if dictionary.variant == "matching_pursuit":
        with torch.no_grad():
            atoms = torch.from_numpy(dictionary.W_dec)[None]
            _, pursued, features = pursue(torch.from_numpy(centred)[None], atoms, dictionary.active)
        return Codes(pursued[0].numpy(), features[0].numpy(), len(dictionary.W_dec))
    pre = centred @ dictionary.W_enc + dictionary.b_enc
    k = dictionary.active
    if dictionary.threshold is not None:
        pre = np.where(pre > dictionary.threshold, pre, 0.0).astype(np.float32)
        k = max(width, int((pre > 0).sum(axis=1).max(initial=0)))
    values, indices = torch.from_numpy(pre).topk(k, dim=1)
    return Codes(values.relu().numpy(), indices.numpy(), pre.shape[1])
