"""The claims of the certification page: what planted concepts must show, and what they must not."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from jepascope.book.claims import Claim

# Mean AUROC of no skill, and what counts as none: narrower than this, seeds' intervals don't fit in.
CHANCE, BAND = 0.5, (0.47, 0.53)


class Asked(NamedTuple):
    """A family of concepts, the object it is read from, and what must come out."""

    dynamics: str
    space: str
    holds: Literal["above", "within"]
    bound: float | tuple[float, float]
    statement: str


READINGS = {
    "shock_not_in_z_hat": Asked("shock", "z_hat", "within", BAND, "Shock concepts are at chance in ẑ"),
    "shock_in_z": Asked("shock", "z", "above", CHANCE, "Shock concepts are read from z"),
    "shock_in_e": Asked("shock", "e", "above", CHANCE, "Shock concepts are read from e"),
    "chronic_in_z": Asked("chronic", "z", "above", CHANCE, "Chronic concepts are read from z"),
    "chronic_in_z_hat": Asked("chronic", "z_hat", "above", CHANCE, "Chronic concepts are read from ẑ"),
}
GAINS = ("shock", "chronic")
RIVALS = {"pca": "PCA", "ica": "ICA", "kmeans": "k-means", "twin": "the untrained twin's SAE"}
OUTCOMES = {
    "no_model_beats_the_risk": (
        "predictive", "below", "No model ranks readmission better than the true risk (excess AUROC)"
    ),
    "confounder_is_blamed": (
        "descriptive", "above", "The JEPA's probe gives encounters with the planted confounder more risk"
    ),
}  # fmt: skip


def read(name: str, found: Any) -> Claim:
    """One of READINGS. found: estimate, null and the untrained twin's estimate, or why they aren't here."""
    asked, null = READINGS[name], "states of another patient"
    told = (found.estimate, null, found.null, found.untrained)
    return Claim(name, asked.statement, "representational", asked.holds, asked.bound, *told)


def gained(dynamics: str, found: Any) -> Claim:
    """Whether training adds to what z tells of concepts of one kind; found as in `read`, without a twin's."""
    statement = f"Training adds to what z tells of {dynamics} concepts (difference in mean AUROC)"
    null = "states of another patient"
    name = f"training_adds_{dynamics}"
    return Claim(name, statement, "representational", "above", 0.0, found.estimate, null, found.null)


def ahead(rival: str, found: Any) -> Claim:
    """Whether the voted features stand for concepts better than those of one of RIVALS; found as in `read`."""
    name = f"voted_features_beat_{rival}"
    statement = f"Voted features stand for concepts better than those of {RIVALS[rival]} (difference in mean r)"
    told = (found.estimate, "states of another patient", found.null, found.untrained)
    return Claim(name, statement, "representational", "above", 0.0, *told)


def outcome(name: str, found: Any) -> Claim:
    """One of OUTCOMES; found as in `read`."""
    tag, holds, statement = OUTCOMES[name]
    told = (found.estimate, "answers, or states, of another patient", found.null, found.untrained)
    return Claim(name, statement, tag, holds, 0.0, *told)  # type: ignore[arg-type]
