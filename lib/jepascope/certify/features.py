"""Whether single features stand for planted concepts, and which ways of finding features find them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from jepascope.analysis import sae
from jepascope.analysis.stats import Estimate, Inference, NotComputable, bootstrap_correlation, require_carriers
from jepascope.certify.planted import Truth

# A feature stands for a concept above this correlation.
RECOVERED = 0.7


def feature_sets(
    z: np.ndarray, twin_z: np.ndarray, train: np.ndarray, settings: sae.Settings, seed: int
) -> dict[str, np.ndarray]:
    """Features [N, F] to search for concepts: SAE codes of z, its principal axes, SAE codes of the twin's z.

    Fitted on `train` rows [N] (bool) alone, read on all.
    """
    sets = {
        name: sae.densify(sae.encode(sae.fit(x[train], settings, seed), x))
        for name, x in (("SAE", z), ("SAE of the twin", twin_z))
    }
    return {"SAE": sets["SAE"], "PCA": PCA().fit(z[train]).transform(z), "SAE of the twin": sets["SAE of the twin"]}


def feature_recovery(
    features: dict[str, np.ndarray], truth: Truth, index: pd.DataFrame, how: Inference, rng: np.random.Generator
) -> pd.DataFrame:
    """The feature nearest each concept: chosen on train, measured on test patients, or the search would flatter.

    features: method -> [N, F]; truth, index of the same N rows. `null` is what the best feature of a search in
    permuted test patients reaches in 95 % of draws. Columns concept, dynamics, method, feature, value, low, high, null.
    """
    patients = index["subject_id"].to_numpy()
    train, test = ((index["split"] == name).to_numpy() for name in ("train", "test"))
    names = truth.concepts["name"].to_list()
    states = truth.states[names].to_numpy(float)
    seed = int(rng.integers(2**63))  # the same draws for each method and concept
    records = []
    for method, f in features.items():
        chosen = sae.most_correlated(f[train], states[train])
        null = sae.best_features(f[test], states[test], patients[test], how, np.random.default_rng(seed)).null
        for q, concept in enumerate(names):
            record = {"concept": concept, "dynamics": truth.concepts["dynamics"].iloc[q], "method": method}
            record |= {"feature": int(chosen[q]), "null": null[q]}
            x, state, draws = f[test][:, chosen[q]], states[test][:, q], np.random.default_rng(seed)
            try:
                require_carriers(state, patients[test], how.min_carriers)
                # A feature that is silent in test patients tracks nothing there: that is r = 0, not "unknown".
                r = Estimate(0.0, 0.0, 0.0, len(x), len(np.unique(patients[test])))
                if np.ptp(x) > 0:
                    r = bootstrap_correlation(
                        x, state, patients[test], how.bootstrap, how.level, draws, how.min_patients
                    )
                records.append(record | r._asdict() | {"reason": ""})
            except NotComputable as reason:
                records.append(record | {"value": np.nan, "reason": str(reason)})
    columns = ["concept", "dynamics", "method", "feature", "null", *Estimate._fields, "reason"]
    return pd.DataFrame(records).reindex(columns=columns)


def recovered_shares(recovery: pd.DataFrame) -> pd.DataFrame:
    """Per method: concepts with a feature at |r| > 0.7, of those computable, and the mean |r|; counts beside shares."""
    size = recovery["value"].abs()
    table = recovery.assign(size=size, hit=size > RECOVERED)[size.notna()]
    found = table.groupby("method", sort=False).agg(
        recovered=("hit", "sum"), concepts=("hit", "size"), share=("hit", "mean"), mean_r=("size", "mean")
    )
    return found.reset_index()
