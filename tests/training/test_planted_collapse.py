"""Each way to collapse, planted in an encoder, is stopped by the gate that is meant for it; a healthy one passes."""

import math

import numpy as np
import pytest
import torch
from tests.fixtures_encounters import TINY_MODEL, toy_encounters
from torch import Tensor, nn

from jepascope import params
from jepascope.models.encoder import Encoder
from jepascope.models.jepa import Batch
from jepascope.training.arms import make_arm
from jepascope.training.batches import pack
from jepascope.training.initial import new_model
from jepascope.training.watch import CollapseError, check_gates, gates, watch

PATIENTS, TOPIC_TOKENS, WIDTH = 150, 120, TINY_MODEL.width
TRAINING = params.Training()  # with the floors that a run has by default


class Constant(nn.Module):
    """Every encounter is the same point, but for what rounding leaves."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.point = nn.Parameter(torch.randn(WIDTH))

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        return self.point + 1e-3 * self.encoder(tokens, offsets)


class StaticIdentity(nn.Module):
    """A patient is a point: her own token, the first of each encounter, outweighs what happened to her."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.patient = nn.Embedding(TOPIC_TOKENS + PATIENTS, WIDTH)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        return self.patient(tokens[offsets[:-1]]) + 0.3 * self.encoder(tokens, offsets)


class LowRank(nn.Module):
    """A healthy encoder squeezed through `rank` dimensions."""

    def __init__(self, encoder: Encoder, rank: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.squeeze = nn.Linear(WIDTH, rank)
        self.widen = nn.Linear(rank, WIDTH, bias=False)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        return self.widen(self.squeeze(self.encoder(tokens, offsets)))


class OneDirection(nn.Module):
    """A healthy encoder of which one direction has grown over all others."""

    def __init__(self, encoder: Encoder, gain: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.direction = nn.Parameter(nn.functional.normalize(torch.randn(WIDTH), dim=0))
        self.gain = gain

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        z = self.encoder(tokens, offsets)
        return z + self.gain * (z @ self.direction)[:, None] * self.direction


class Broken(nn.Module):
    """One encounter's embedding is not a number."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        z = self.encoder(tokens, offsets)
        return torch.where(torch.arange(len(z))[:, None] == 1, torch.nan, z)


@pytest.fixture(scope="module")
def cohort() -> Batch:
    """The toy cohort, in which the first token of every encounter is the patient's own."""
    cohort = pack(toy_encounters(patients=PATIENTS, vocabulary=TOPIC_TOKENS))
    tokens = cohort.tokens.clone()
    tokens[cohort.offsets[:-1]] = TOPIC_TOKENS + torch.arange(PATIENTS).repeat_interleave(cohort.first.diff())
    return cohort._replace(tokens=tokens)


def record_of(cohort: Batch, collapsed: type[nn.Module] | None = None, **how: float) -> dict[str, float]:
    """Watch an untrained JEPA whose encoder is replaced by a collapsed one; returns the epoch's record."""
    model = new_model(TOPIC_TOKENS + PATIENTS, TINY_MODEL, seed=0)
    if collapsed:
        torch.manual_seed(1)
        model.encoder = collapsed(model.encoder, **how)
    arm = make_arm(TRAINING)
    train, validation = np.split(np.arange(PATIENTS), [100])
    return {"epoch": 3} | watch(model, model.encoder, arm, arm.phases[0], cohort, train, validation)


@pytest.mark.parametrize(
    ("gate", "collapsed", "how"),
    [
        ("variance", Constant, {}),
        ("rank", LowRank, {"rank": 1}),
        ("rank", LowRank, {"rank": 2}),
        ("effective rank", OneDirection, {"gain": 6.0}),
        ("within patients", StaticIdentity, {}),
        ("finite", Broken, {}),
    ],
)
def test_a_planted_collapse_is_stopped_by_the_gate_meant_for_it(cohort, gate, collapsed, how):
    with pytest.raises(CollapseError, match=f"epoch 3: gate '{gate}': ") as stopped:
        check_gates(record_of(cohort, collapsed, **how), TRAINING)
    assert "raise" in str(stopped.value) or "lower" in str(stopped.value)  # it says what to do


def test_a_healthy_encoder_passes_every_gate(cohort):
    record = record_of(cohort)
    check_gates(record, TRAINING)
    for gate in gates(TRAINING):
        assert record[gate.measure] > 2 * gate.floor, gate.name


def test_rank_alone_does_not_see_a_static_identity(cohort):
    """Necessary, not sufficient: by every spectrum the collapsed encoder is the better one."""
    healthy, identity = record_of(cohort), record_of(cohort, StaticIdentity)
    for measure in ("rankme_z", "effective_rank_z", "std_min_z", "between_patient_share_z"):
        assert identity[measure] > healthy[measure], measure
    check_gates(identity, TRAINING.model_copy(update={"min_within_patient": 0.0}))
    assert identity["within_patient_share_z"] < 0.01 < 0.5 < healthy["within_patient_share_z"]
    assert identity["same_patient_retrieval_z"] == 1
    assert healthy["same_patient_retrieval_z"] < 0.3


def test_rank_and_shares_do_not_see_a_constant_that_variance_sees(cohort):
    healthy, constant = record_of(cohort), record_of(cohort, Constant)
    for measure in ("effective_rank_z", "within_patient_share_z"):  # both are free of scale
        assert constant[measure] == pytest.approx(healthy[measure], rel=0.05), measure
    assert constant["std_mean_z"] < 0.01 < healthy["std_mean_z"]


def test_a_healthy_rankme_can_hide_a_single_direction(cohort):
    record = record_of(cohort, OneDirection, gain=6.0)
    assert record["rankme_z"] > 2 * TRAINING.min_rank
    assert record["top_variance_share_z"] > 0.9


def test_one_encounter_that_is_not_finite_leaves_a_record_and_no_measure(cohort):
    record = record_of(cohort, Broken)
    assert all(math.isnan(x) for name, x in record.items() if name.endswith(("_z", "_c", "_z_hat", "_e")))


def test_a_measure_that_is_not_computable_closes_no_gate(cohort):
    record = record_of(cohort)
    check_gates(record | {gate.measure: math.nan for gate in gates(TRAINING)}, TRAINING)
