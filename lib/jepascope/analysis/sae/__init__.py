"""Sparse autoencoders: z as sums of few directions, so that one direction can be looked at alone."""

from jepascope.analysis.sae.dictionary import Codes, Dictionary, Settings, decode, densify
from jepascope.analysis.sae.encoding import encode
from jepascope.analysis.sae.labels import BestFeatures, best_features, most_correlated
from jepascope.analysis.sae.matching import Agreement, agreement, gaussian_like
from jepascope.analysis.sae.metrics import MIN_REACH, Quality, patients_reached, quality
from jepascope.analysis.sae.training import Hold, fit, fit_many

__all__ = [
    "MIN_REACH",
    "Agreement",
    "BestFeatures",
    "Codes",
    "Dictionary",
    "Hold",
    "Quality",
    "Settings",
    "agreement",
    "best_features",
    "decode",
    "densify",
    "encode",
    "fit",
    "fit_many",
    "gaussian_like",
    "most_correlated",
    "patients_reached",
    "quality",
]
