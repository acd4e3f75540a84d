"""TopK sparse autoencoders: z as sums of few directions, so that one direction can be looked at alone.

    x̃ = (x − μ) / s
    f = TopK(ReLU((x̃ − b_dec) W_enc + b_enc))          f [N, F], at most k entries of a row are not zero
    x̂ = f W_dec + b_dec                                rows of W_dec [F, D] have norm one

k-sparse autoencoders: Makhzani & Frey 2014; TopK with auxiliary loss for dead features: Gao et al. 2024.
s is one number, not one a dimension: it leaves angles between directions as they are in the space of z.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from jepascope.analysis.stats import Estimate, Inference, bootstrap_of_sums, patient_codes, permuted_rows

# Gao et al. 2024: weight of the auxiliary loss. A feature is dead after 2 silent *epochs*; the libraries'
# threshold of ten million rows would never be reached on a hospital's encounters.
AUXILIARY = 1 / 32
SILENT_EPOCHS = 2
WARMUP_SHARE, DECAY_SHARE = 0.05, 0.3
# Two features are the same direction above this cosine.
SAME = 0.7
# Fewer patients than this behind a feature, and a card of it would describe persons.
MIN_REACH = 11


class Settings(NamedTuple):
    """The fit's settings; the fields of `params.Sae`, under the same names."""

    features: int = 128
    active: int = 6
    epochs: int = 40
    batch_rows: int = 1024
    learning_rate: float = 2e-3
    seeds: int = 2


class Dictionary(NamedTuple):
    """A fitted SAE: float32 arrays in the letters of the module's equations, and the standardisation it needs."""

    W_enc: np.ndarray  # [D, F]
    b_enc: np.ndarray  # [F]
    W_dec: np.ndarray  # [F, D]
    b_dec: np.ndarray  # [D]
    mean: np.ndarray  # [D], μ
    scale: float  # s
    active: int  # k


class Codes(NamedTuple):
    """f in sparse form: the k largest entries of each row; a value of 0 means fewer than k were positive."""

    values: np.ndarray  # float32 [N, k]
    indices: np.ndarray  # int64 [N, k]
    features: int  # F


class Quality(NamedTuple):
    """What a dictionary does on rows it was not fitted to."""

    fvu: Estimate  # mean over dimensions of SSE / SST: the share of variance left unexplained
    l0: Estimate  # active features per row
    dead: int  # features silent on all rows
    reaching: int  # features active in at least MIN_REACH patients
    features: int


class Agreement(NamedTuple):
    """How many features of one dictionary another holds as well."""

    matched: int
    features: int
    cosines: np.ndarray  # [min(F, F')] of the matched pairs

    @property
    def share(self) -> float:
        """Matched features over features, by the smaller dictionary."""
        return self.matched / self.features if self.features else 0.0


class BestFeatures(NamedTuple):
    """For each concept the feature that tracks it best, held against the best of a search in nothing."""

    feature: np.ndarray  # int [C]
    r: np.ndarray  # [C], signed Pearson correlation of largest magnitude
    null: np.ndarray  # [C], 95 % quantile over permutations of the largest |r| over features
    p: np.ndarray  # [C], family-wise over features and concepts (max-T)


def _top(pre: Tensor, k: int) -> Tensor:
    """Keep the k largest of each row of pre [N, F], if positive; zero elsewhere."""
    values, indices = pre.topk(k, dim=1)
    return torch.zeros_like(pre).scatter(1, indices, values.relu())


def _loss(x: Tensor, weights: list[Tensor], k: int, dead: Tensor) -> tuple[Tensor, Tensor]:
    """Unexplained share of x [N, D], plus what dead features can do about the residual; and f [N, F]."""
    W_enc, b_enc, W_dec, b_dec = weights
    pre = (x - b_dec) @ W_enc + b_enc
    f = _top(pre, k)
    residual = x - (f @ W_dec + b_dec)
    loss = residual.square().sum() / x.square().sum()
    n_dead = int(dead.sum())
    if n_dead:
        # The residual is the auxiliary's target, so no gradient may run through it.
        target = residual.detach()
        revived = _top(pre.masked_fill(~dead, -torch.inf), min(n_dead, x.shape[1] // 2)) @ W_dec
        loss = loss + AUXILIARY * (target - revived).square().sum() / target.square().sum()
    return loss, f


def _rate(step: int, steps: int) -> float:
    """Learning-rate factor: linear warm-up, flat, linear decay to zero."""
    warm, decay = max(1, WARMUP_SHARE * steps), max(1, DECAY_SHARE * steps)
    return min(1.0, (step + 1) / warm, (steps - step) / decay)


def fit(x: np.ndarray, settings: Settings, seed: int) -> Dictionary:
    """Fit on the training patients' rows x [N, D]; the same seed gives the same bits on a CPU.

    Raises ValueError if x holds less than one batch of two rows, is constant, or active is not below features.
    """
    if not 0 < settings.active < settings.features:
        raise ValueError(f"active ({settings.active}) must lie between 0 and features ({settings.features})")
    mean = np.asarray(x, float).mean(axis=0)
    scale = float(np.sqrt(np.square(x - mean).mean()))
    if len(x) < 2 or not scale > 0:
        raise ValueError(f"an SAE needs rows that differ: got {len(x)} rows with standard deviation {scale}")
    data = torch.from_numpy(((x - mean) / scale).astype(np.float32))
    generator = torch.Generator().manual_seed(seed)
    W_dec = normalize(torch.randn(settings.features, x.shape[1], generator=generator), dim=1)
    weights = [W_dec.T.clone(), torch.zeros(settings.features), W_dec, torch.zeros(x.shape[1])]
    weights = [w.contiguous().requires_grad_() for w in weights]
    _optimise(data, weights, settings, generator)
    fitted = [w.detach().numpy() for w in weights]
    return Dictionary(*fitted, mean.astype(np.float32), scale, settings.active)  # type: ignore[call-arg, arg-type]


def _optimise(data: Tensor, weights: list[Tensor], settings: Settings, generator: torch.Generator) -> None:
    """Adam on shuffled batches; decoder rows go back to norm one after each step, or f could shrink to please L0."""
    optimiser = torch.optim.Adam(weights, lr=settings.learning_rate, betas=(0.9, 0.999), eps=1e-8)
    per_epoch = -(-len(data) // settings.batch_rows)
    steps = settings.epochs * per_epoch
    silent = torch.zeros(settings.features)  # epochs since the feature last fired
    for epoch in range(settings.epochs):
        fired = torch.zeros(settings.features, dtype=torch.bool)
        order = torch.randperm(len(data), generator=generator)
        for i, rows in enumerate(order.split(settings.batch_rows)):
            optimiser.param_groups[0]["lr"] = settings.learning_rate * _rate(epoch * per_epoch + i, steps)
            loss, f = _loss(data[rows], weights, settings.active, silent >= SILENT_EPOCHS)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            with torch.no_grad():
                weights[2].copy_(normalize(weights[2], dim=1))
                fired |= (f > 0).any(dim=0)
        silent = torch.where(fired, 0.0, silent + 1)


def encode(dictionary: Dictionary, x: np.ndarray) -> Codes:
    """Codes of rows x [N, D], given in the space of z."""
    standard = (np.asarray(x, np.float32) - dictionary.mean) / np.float32(dictionary.scale)
    pre = (standard - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc
    values, indices = torch.from_numpy(pre).topk(dictionary.active, dim=1)
    return Codes(values.relu().numpy(), indices.numpy(), pre.shape[1])


def densify(codes: Codes) -> np.ndarray:
    """f as a dense array, float32 [N, F]."""
    f = np.zeros((len(codes.values), codes.features), np.float32)
    np.put_along_axis(f, codes.indices, codes.values, axis=1)
    return f


def decode(dictionary: Dictionary, f: np.ndarray) -> np.ndarray:
    """x̂ [N, D] of dense codes f [N, F], back in the space of z."""
    return (f @ dictionary.W_dec + dictionary.b_dec) * dictionary.scale + dictionary.mean


def quality(
    dictionary: Dictionary, x: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> Quality:
    """Held-out x [N, D], patients [N]: on training rows FVU flatters and nothing is dead. Raises NotComputable.

    FVU is averaged over dimensions, so that one wide dimension can't hide the others.
    """
    f = densify(encode(dictionary, x))
    error, total = np.square(x - decode(dictionary, f)), np.square(x - x.mean(axis=0))  # [N, D]
    D = x.shape[1]
    common = (patients, how.bootstrap, how.level, rng, how.min_patients)
    fvu = bootstrap_of_sums(lambda s: (s[:, :D] / s[:, D:]).mean(axis=1), np.hstack([error, total]), *common)
    counts = np.stack([(f > 0).sum(axis=1), np.ones(len(f))], axis=1)
    l0 = bootstrap_of_sums(lambda s: s[:, 0] / s[:, 1], counts, *common)
    reach = patients_reached(f, patients)
    return Quality(fvu, l0, int((reach == 0).sum()), int((reach >= MIN_REACH).sum()), f.shape[1])


def patients_reached(f: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Patients [F] in whom each feature of f [N, F] fires at least once: rows would count one patient many times."""
    codes, n_patients = patient_codes(patients, 1)
    reached = np.zeros((n_patients, f.shape[1]), bool)
    rows, features = np.nonzero(f > 0)
    reached[codes[rows], features] = True
    return reached.sum(axis=0)


def agreement(W_dec: np.ndarray, other: np.ndarray, same: float = SAME) -> Agreement:
    """Match features one to one by decoder cosine (Hungarian): nearest neighbours would count one feature twice.

    W_dec [F, D], other [F', D]: pass living features only. Says nothing without its floor, the agreement on
    `gaussian_like` data and on the untrained twin.
    """
    unit, other_unit = (w / np.linalg.norm(w, axis=1, keepdims=True) for w in (W_dec, other))
    cosine = unit @ other_unit.T  # [F, F']; signed, since features are one-sided
    rows, columns = linear_sum_assignment(-cosine)
    matched = cosine[rows, columns]
    return Agreement(int((matched > same).sum()), len(matched), matched)


def seed_agreement(x: np.ndarray, settings: Settings, seed: int) -> list[Agreement]:
    """Agreement of every pair of `settings.seeds` fits to x [N, D], on the features alive in x."""
    decoders = []
    for s in range(settings.seeds):
        dictionary = fit(x, settings, seed + s)
        alive = (densify(encode(dictionary, x)) > 0).any(axis=0)
        decoders.append(dictionary.W_dec[alive])
    return [agreement(a, b) for a, b in itertools.combinations(decoders, 2)]


def gaussian_like(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise [N, D] with the mean and covariance of x: what a dictionary agrees on there is covariance, not features."""
    mean = np.asarray(x, float).mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    root = vectors * np.sqrt(np.clip(values, 0, None))
    return (mean + rng.standard_normal(x.shape) @ root.T).astype(x.dtype)


def _standard_columns(x: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and norm 1, so that products are correlations; constant columns become 0."""
    centred = x - x.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    return (centred / np.where(norm > 1e-8, norm, np.inf)).astype(np.float32)


def most_correlated(f: np.ndarray, concepts: np.ndarray) -> np.ndarray:
    """Feature [C] of largest |r| for each concept: f [N, F], concepts [N, C]."""
    r = _standard_columns(np.asarray(concepts, float)).T @ _standard_columns(np.asarray(f, float))  # [C, F]
    return np.abs(r).argmax(axis=1)


def best_features(
    f: np.ndarray, concepts: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> BestFeatures:
    """The largest |r| over features for each concept, with max-T over patient permutations (Westfall & Young 1993).

    A search over F features finds r ≈ 0.17 in nothing when patients repeat themselves; so the null searches as well.
    f [N, F], concepts [N, C], patients [N]. Raises NotComputable for one patient.
    """
    F_, C_ = _standard_columns(np.asarray(f, float)), _standard_columns(np.asarray(concepts, float))
    r = C_.T @ F_  # [C, F]
    feature = np.abs(r).argmax(axis=1)
    best = r[np.arange(len(r)), feature]
    null = np.empty((how.permutations, len(r)))
    for draw in range(how.permutations):
        # A short record can't pass its rows on as often as a long one takes them, so columns are standardised again.
        moved = _standard_columns(C_[permuted_rows(patients, 1, rng)[0]])
        null[draw] = np.abs(moved.T @ F_).max(axis=1)
    family = null.max(axis=1)
    p = (1 + (family[:, None] >= np.abs(best)).sum(axis=0)) / (1 + how.permutations)
    return BestFeatures(feature, best, np.quantile(null, 0.95, axis=0), p)
