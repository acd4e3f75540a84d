"""The data tier as pages say it: one sentence on every page, one row in every executed chapter's provenance."""

from __future__ import annotations

import re

BANNERS = {
    "synthetic": "Synthetic cohort with planted truth: not a clinical result.",
    "demo": "MIMIC-IV demo, 100 patients: a smoke test, never evidence.",
    "credentialed": "Credentialed MIMIC-IV: not for publication before a disclosure check.",
}
STAMP = re.compile(r"<th>data tier</th><td>([^<]*)</td>")
PROFILE = re.compile(r"(?:" + "|".join(map(re.escape, BANNERS.values())) + r") Profile <strong>([\w]+)</strong>")


def banners(text: str) -> set[str]:
    """The tiers whose banner a page carries, with the profile beside it."""
    return {tier for tier, sentence in BANNERS.items() if f"{sentence} Profile <strong>" in text}


def stamps(text: str) -> set[str]:
    """The tiers that provenance rows name."""
    return set(STAMP.findall(text))


def profile_of(text: str) -> str | None:
    """The profile that a page's banner names."""
    found = PROFILE.search(text)
    return found[1] if found else None
