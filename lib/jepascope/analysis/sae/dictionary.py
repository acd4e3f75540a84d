"""A fitted sparse autoencoder: z as sums of few directions, so that one direction can be looked at alone.

    x̃ = (x − μ) / s
    f = σ((x̃ − b_dec) W_enc + b_enc)          f [N, F], few entries of a row are not zero
    x̂ = f W_dec + b_dec                       rows of W_dec [F, D] have norm one

σ is the variant's (`variants.py`). s is one number, not one a dimension: it leaves angles between directions as they
are in the space of z.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Settings(NamedTuple):
    """The fit's settings; the fields of `params.Sae`, under the same names."""

    variant: str = "topk"
    features: int = 64
    active: int = 6
    epochs: int = 20
    batch_rows: int = 256
    learning_rate: float = 4e-3
    voters: int = 5
    keep: float = 0.6
    device: str = "cpu"


class Dictionary(NamedTuple):
    """A fitted SAE: float32 arrays in the letters of the module's equations, and the standardisation it needs."""

    W_enc: np.ndarray  # [D, F]
    b_enc: np.ndarray  # [F]
    W_dec: np.ndarray  # [F, D]
    b_dec: np.ndarray  # [D]
    mean: np.ndarray  # [D], μ
    scale: float  # s
    active: int  # k; for variants with a threshold, what it was set to on average
    variant: str = "topk"
    threshold: np.ndarray | None = None  # [F], of batch_topk and jump_relu


class Codes(NamedTuple):
    """f in sparse form: the largest entries of each row, k of them; a value of 0 means fewer were positive."""

    values: np.ndarray  # float32 [N, k]
    indices: np.ndarray  # int64 [N, k], all of a row differ
    features: int  # F


def standardise(dictionary: Dictionary, x: np.ndarray) -> np.ndarray:
    """x̃ float32 [N, D] of rows x in the space of z."""
    return (np.asarray(x, np.float32) - dictionary.mean) / np.float32(dictionary.scale)


def densify(codes: Codes) -> np.ndarray:
    """f as a dense array, float32 [N, F]."""
    f = np.zeros((len(codes.values), codes.features), np.float32)
    np.put_along_axis(f, codes.indices, codes.values, axis=1)
    return f


def decode(dictionary: Dictionary, f: np.ndarray) -> np.ndarray:
    """x̂ [N, D] of dense codes f [N, F], back in the space of z."""
    return (f @ dictionary.W_dec + dictionary.b_dec) * dictionary.scale + dictionary.mean
