"""Dictionaries of z beside each other: other activations, directions and sizes, and what features are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, Inference, NotComputable
from jepascope.analysis.sae import Dictionary, Settings, decode, densify, encode, fit, quality
from jepascope.analysis.sae.baselines import baselines
from jepascope.analysis.sae.metrics import fvu_difference
from jepascope.analysis.sae.structure import meta_dictionary, stitched
from jepascope.analysis.sae.suite import Concepts, computable, read_concepts, readers
from jepascope.analysis.sae.variants import VARIANTS
from jepascope.analysis.sae.votes import consensus, halves, on_atoms
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.concepts import psychiatric_groups
from jepascope.objects import load_objects
from jepascope.pipeline.dictionary.dictionaries import load_dictionary, save_dictionary
from jepascope.store import read_json, read_table, write_table

# Baselines that the twin's SAE is held against as well.
OF_TWIN = ("pca", "ica", "random", "soft_random")
# Draws behind the intervals of tables; those that carry claims take all that the profile asks for.
TABLE_DRAWS = 200
# The dictionary of decoder rows: a quarter of their number, few active (Leask et al. 2025 take four), and as many
# epochs as make some hundred steps of so few rows.
META_SHARE, META_ACTIVE, META_EPOCHS, META_SEEDS = 4, 3, 400, 3
# Sizes that the size in use is held against.
SIZES = (0.5, 2.0)


def _training(trained: Path) -> np.ndarray:
    objects = load_objects(trained)
    return objects.z[(objects.index["split"] == "train").to_numpy()]


def fit_variants(folder: Path, trained: Path, dictionaries: Path, sae: params.Sae, seed: int) -> None:
    """The step that fits every variant at the same size, <variant>.safetensors and .json; the one in use is copied."""
    z, settings = _training(trained), Settings(**sae.model_dump())
    for variant in VARIANTS:
        known = variant == settings.variant
        made = load_dictionary(dictionaries) if known else fit(z, settings._replace(variant=variant), seed)
        save_dictionary(folder, made, variant)


def fit_baselines(folder: Path, trained: Path, twin: Path, sae: params.Sae, seed: int) -> None:
    """The step that fits other directions at the same size and number of active entries, each <name>.safetensors.

    Names are those of `baselines.NAMES`, on z; twin (the SAE of the untrained twin's z) and twin_<name>, on the twin's.
    """
    settings = Settings(**sae.model_dump())
    for name, dictionary in baselines(_training(trained), settings, seed).items():
        save_dictionary(folder, dictionary, name)
    z_twin = _training(twin)
    save_dictionary(folder, fit(z_twin, settings, seed), "twin")
    for name, dictionary in baselines(z_twin, settings, seed, OF_TWIN).items():
        save_dictionary(folder, dictionary, f"twin_{name}")


def examine_structure(folder: Path, trained: Path, dictionaries: Path, sae: params.Sae, seed: int) -> None:
    """The step that asks whether features are atoms.

    Leaves larger.safetensors and .json, a dictionary of twice the features to stitch from, and meta.parquet: what a
    dictionary of decoder rows leaves unexplained of them and of noise, a row a seed.
    """
    settings = Settings(**sae.model_dump())
    save_dictionary(folder, fit(_training(trained), settings._replace(features=2 * sae.features), seed), "larger")
    W_dec = load_dictionary(dictionaries).W_dec
    features = max(META_ACTIVE + 1, len(W_dec) // META_SHARE)
    how = settings._replace(variant="topk", features=features, active=META_ACTIVE, epochs=META_EPOCHS)
    found = [meta_dictionary(W_dec, how, seed + s) for s in range(META_SEEDS)]
    rows = [{"fvu": meta.fvu, "fvu_of_noise": meta.fvu_of_noise, "features": features} for meta in found]
    write_table(folder / "meta.parquet", pd.DataFrame(rows))


def compare_sizes(folder: Path, trained: Path, votes: Path, sae: params.Sae, seed: int) -> None:
    """The step that votes at half and at twice the size, as `vote_on_features` did in `votes` at the size in use.

    Leaves sizes.parquet: features, living, kept, shares reappearing of kept and of all, and, on validation
    patients, FVU of the reference and of the kept features alone. Test patients have no part in a choice.
    """
    objects, settings = load_objects(trained), Settings(**sae.model_dump())
    train, held_out = ((objects.index["split"] == name).to_numpy() for name in ("train", "validation"))
    z, z_out = objects.z[train], objects.z[held_out]
    half = halves(objects.index["subject_id"].to_numpy()[train], np.random.default_rng(seed))
    same, table = float(read_json(votes / "bar.json")["same"]), read_table(votes / "votes.parquet")
    rows = [_size(table, load_dictionary(votes, "reference"), z, z_out, settings, seed)]
    for features in (int(share * sae.features) for share in SIZES):
        if features > sae.active:
            found = consensus(z, half, settings._replace(features=features), seed, same)
            cast = pd.DataFrame({name: getattr(found, name) for name in ("alive", "elsewhere", "kept")})
            rows.append(_size(cast.assign(checkers=found.checkers), found.reference, z, z_out, settings, seed))
    write_table(folder / "sizes.parquet", pd.DataFrame(rows).sort_values("features", ignore_index=True))


def _size(
    votes: pd.DataFrame, reference: Dictionary, z: np.ndarray, z_out: np.ndarray, settings: Settings, seed: int
) -> dict[str, float]:
    kept, held = votes["kept"].to_numpy(), votes["elsewhere"] / votes["checkers"]
    alone = on_atoms(z, reference.W_dec[kept], settings, seed) if kept.sum() >= 2 else None
    return {
        "features": len(votes), "living": int(votes["alive"].sum()), "kept": int(kept.sum()),
        "reappearing": float(held[votes["kept"]].mean()), "reappearing_of_all": float(held[votes["alive"]].mean()),
        "fvu": _fvu(reference, z_out), "fvu_kept": np.nan if alone is None else _fvu(alone, z_out),
    }  # fmt: skip


def _fvu(dictionary: Dictionary, x: np.ndarray) -> float:
    """Mean over dimensions of the unexplained share; NaN without rows."""
    if len(x) < 2:
        return float("nan")
    left = np.square(x - decode(dictionary, densify(encode(dictionary, x)))).sum(axis=0)
    return float((left / np.square(x - x.mean(axis=0)).sum(axis=0)).mean())


def measure_dictionaries(
    folder: Path,
    encounters: Path,
    trained: Path,
    twin: Path,
    statistics: params.Statistics,
    seed: int,
    *named: str | Path,
) -> None:
    """The step that measures stored dictionaries on test patients: named as name, folder, name, folder, …

    Names that begin with "twin" are read on the twin's z. Concepts are the psychiatric groups, on encounters of the
    F-code subset. Leaves table.parquet: dictionary, measure, value, low, high, n_rows, n_patients; counts have no
    interval. Raises NotComputable for too few test patients; too few carriers leave out what needs concepts.
    """
    how = Inference(**statistics.model_dump())
    how = how._replace(bootstrap=min(how.bootstrap, TABLE_DRAWS))
    index = cohort_encounters.load(encounters).index
    test, patients = (index["split"] == "test").to_numpy(), index["subject_id"].to_numpy()
    spaces = {name: load_objects(path).z for name, path in (("z", trained), ("twin", twin))}
    subset = index["f_code_so_far"].to_numpy(bool)
    concepts = _concepts(index[subset], how)
    of_space = {
        name: readers(z[subset], concepts, how, np.random.default_rng(seed)) for name, z in spaces.items() if concepts
    }
    records = []
    for name, at in zip(named[::2], named[1::2], strict=True):
        dictionary, space = load_dictionary(Path(at), str(name)), "twin" if str(name).startswith("twin") else "z"
        z, draws = spaces[space], np.random.default_rng(seed)  # the same draws for every dictionary
        measured = quality(dictionary, z[test], patients[test], how, draws)._asdict()
        if concepts:
            found = read_concepts(dictionary, z[subset], concepts, of_space[space], how, draws)
            measured |= {f"auroc_{k}": estimate for k, estimate in found.auroc.items()}
            measured |= {key: value for key, value in found._asdict().items() if key != "auroc"}
        found_all = {key: value for key, value in measured.items() if value is not None}
        records += [{"dictionary": name, "measure": key, **_plain(value)} for key, value in found_all.items()]
    write_table(folder / "table.parquet", pd.DataFrame(records))


def _concepts(index: pd.DataFrame, how: Inference) -> Concepts | None:
    """Psychiatric groups of these encounters; None where too few patients carry them."""
    split, groups = index["split"].to_numpy(), psychiatric_groups(index)
    labels = np.stack(list(groups.values()), axis=1)
    concepts = Concepts(labels, index["subject_id"].to_numpy(), split == "train", split == "test")
    try:
        return computable(concepts, how)
    except NotComputable:
        return None


def _plain(value: Estimate | float) -> dict[str, float]:
    nothing = dict.fromkeys(Estimate._fields, np.nan)
    return {**nothing, **(value._asdict() if isinstance(value, Estimate) else {"value": float(value)})}


def load_measured(folder: Path) -> pd.DataFrame:
    """The table that `measure_dictionaries` left. Raises StoreError."""
    return read_table(folder / "table.parquet")


def explains_more(
    folders: Sequence[Path], names: Sequence[str], objects: Path, how: Inference, rng: np.random.Generator
) -> Estimate:
    """FVU of the second dictionary minus that of the first on test patients' z. Raises NotComputable."""
    at = load_objects(objects)
    test = (at.index["split"] == "test").to_numpy()
    ours, theirs = (load_dictionary(folder, name) for folder, name in zip(folders, names, strict=True))
    return fvu_difference(ours, theirs, at.z[test], at.index["subject_id"].to_numpy()[test], how, rng)


def stitch_sizes(
    dictionaries: Path, structure: Path, objects: Path, how: Inference, rng: np.random.Generator
) -> tuple[Estimate, Estimate]:
    """What novel and known features of the larger dictionary change on test patients. Raises NotComputable."""
    at = load_objects(objects)
    test = (at.index["split"] == "test").to_numpy()
    pair = load_dictionary(dictionaries), load_dictionary(structure, "larger")
    return stitched(*pair, at.z[test], at.index["subject_id"].to_numpy()[test], how, rng)
