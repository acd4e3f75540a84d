"""A dictionary in the form that SAELens reads: cfg.json and sae_weights.safetensors, here as a dict and arrays.

SAELens knows no standardisation, so it goes into the weights. With f' = s f and b' = μ + s b_dec

    f' = σ((x − b') W_enc + s b_enc)        x̂ = f' W_dec + b'

which is the module's equation times s: W_enc and W_dec stay as they are, and codes come out in the units of z.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jepascope.analysis.sae.dictionary import Dictionary

# What each variant is called there. batch_topk is evaluated by its threshold; SAELens ships such fits as jumprelu, too.
ARCHITECTURES = {"topk": "topk", "matryoshka": "topk", "batch_topk": "jumprelu", "jump_relu": "jumprelu"}


class SAELens(NamedTuple):
    """The contents of the two files."""

    cfg: dict[str, Any]  # cfg.json
    weights: dict[str, np.ndarray]  # sae_weights.safetensors


def saelens(dictionary: Dictionary) -> SAELens:
    """The dictionary for other people's tools.

    Raises ValueError for matching pursuit: SAELens' own may take an atom twice, and so gives other codes.
    """
    if dictionary.variant not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"SAELens has no form for {dictionary.variant!r} as it is here; it has one for {known}")
    architecture, s = ARCHITECTURES[dictionary.variant], np.float32(dictionary.scale)
    weights = {
        "W_enc": dictionary.W_enc,
        "b_enc": dictionary.b_enc * s,
        "W_dec": dictionary.W_dec,
        "b_dec": dictionary.mean + dictionary.b_dec * s,
    }
    features, D = dictionary.W_dec.shape
    cfg: dict[str, Any] = {
        "architecture": architecture, "d_in": D, "d_sae": features, "dtype": "float32", "device": "cpu",
        "apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none",
        "metadata": {"variant": dictionary.variant},
    }  # fmt: skip
    if dictionary.threshold is None:
        cfg |= {"k": dictionary.active, "rescale_acts_by_decoder_norm": False}
    else:
        weights["threshold"] = dictionary.threshold * s
    return SAELens(cfg, {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()})
