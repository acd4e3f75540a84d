"""The transcoder: it learns a sparse layer that was planted, and a linear map of rank r is the best there is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from jepascope.analysis.sae import Settings
from jepascope.analysis.sae.transcoder import (
    fit_transcoder,
    linear_map,
    transcode,
    transcoding_loss,
    written,
)
from jepascope.analysis.sae.variants import AUXILIARY, Weights

SETTINGS = Settings(features=6, active=2, epochs=25, batch_rows=50, learning_rate=2e-2)


@pytest.fixture(scope="module")
def layer():
    """A sparse layer: two of six events show in x, and each writes a direction of its own to y."""
    rng = np.random.default_rng(0)
    events = np.zeros((600, 6))
    for row in events:
        row[rng.choice(6, 2, replace=False)] = rng.uniform(1, 2, 2)
    reads = np.linalg.qr(rng.normal(size=(10, 10)))[0][:6]
    writes = np.linalg.qr(rng.normal(size=(8, 8)))[0][:6]
    return events, events @ reads + 3.0, events @ writes - 1.0


def unexplained(y, y_hat):
    return np.square(y - y_hat).sum() / np.square(y - y.mean(axis=0)).sum()


def test_a_planted_sparse_layer_is_replaced_and_its_events_become_features(layer):
    events, x, y = layer
    found = fit_transcoder(x[:400], y[:400], SETTINGS, 0)
    f = transcode(found, x[400:])
    assert ((f > 0).sum(axis=1) <= 2).all()
    assert unexplained(y[400:], written(found, f)) < 0.15
    r = np.corrcoef(f[:, f.std(axis=0) > 0].T, events[400:].T)[: (f.std(axis=0) > 0).sum(), -6:]
    assert np.median(r.max(axis=0)) > 0.8
    linear = linear_map(x[:400], y[:400])
    assert unexplained(y[400:], written(found, f)) < unexplained(y[400:], linear.at_rank(x[400:], 2)) / 2


def test_a_decoder_left_at_random_stays_there_and_explains_less(layer):
    _, x, y = layer
    free, frozen = (fit_transcoder(x, y, SETTINGS, 3, frozen=still) for still in (False, True))
    first = normalize(torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(3)), dim=2)[0].numpy()
    assert frozen.W_dec == pytest.approx(first, abs=1e-6)
    left = [unexplained(y, written(one, transcode(one, x))) for one in (free, frozen)]
    assert left[0] < left[1]


def test_rows_are_coded_each_by_itself(layer):
    _, x, y = layer
    found = fit_transcoder(x, y, SETTINGS._replace(epochs=2), 0)
    assert transcode(found, x[5:6]) == pytest.approx(transcode(found, x)[5:6])


def test_the_linear_map_of_full_rank_is_least_squares_and_its_axes_come_in_order(layer):
    _, x, y = layer
    found = linear_map(x, y)
    whole = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[0]
    assert found.at_rank(x, 6) == pytest.approx(np.c_[x, np.ones(len(x))] @ whole, abs=0.05)  # ridge shrinks a little
    left = [unexplained(y, found.at_rank(x, r)) for r in range(1, 7)]
    assert (np.diff(left) < 1e-9).all()
    assert np.allclose(found.B @ found.B.T, np.eye(len(found.B)))


def test_the_loss_is_that_of_plain_matrices():
    rng = np.random.default_rng(1)
    x, y = (torch.from_numpy(rng.normal(size=(1, 20, n)).astype(np.float32)) for n in (5, 3))
    W = [
        torch.from_numpy(rng.normal(size=s).astype(np.float32)) for s in ((1, 8, 5), (1, 8), (1, 8, 3), (1, 3), (1, 8))
    ]
    w, dead = Weights(*W), torch.zeros(1, 8, dtype=torch.bool)
    pre = x[0] @ w.W_enc[0].T + w.b_enc[0]
    least = pre.topk(2, dim=1).values[:, -1:]
    f = torch.where(pre >= least, pre, 0.0).relu()
    y_hat = f @ w.W_dec[0] + w.b_dec[0]
    found = transcoding_loss(x, y, w, dead, 2)
    assert float(found.total) == pytest.approx(float((y[0] - y_hat).square().sum() / y.square().sum()), rel=1e-5)
    assert found.fired[0].tolist() == (f > 0).any(dim=0).tolist()
    dead[0, 3] = True
    rest = y[0] - y_hat  # the silent feature is asked about what the others leave
    left = rest - pre[:, [3]].relu() @ w.W_dec[0][[3]]
    auxiliary = float(AUXILIARY * left.square().sum() / rest.square().sum())
    assert float(transcoding_loss(x, y, w, dead, 2).total) == pytest.approx(float(found.total) + auxiliary, rel=1e-5)


def test_bad_input_is_refused(layer):
    _, x, y = layer
    with pytest.raises(ValueError, match="active"):
        fit_transcoder(x, y, SETTINGS._replace(active=6), 0)
    with pytest.raises(ValueError, match="rows that differ"):
        linear_map(np.ones((5, 2)), y[:5])
