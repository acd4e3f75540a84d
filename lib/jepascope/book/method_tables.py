"""Tables of what methods find in nothing, and of their certificates."""

from __future__ import annotations

import pandas as pd


def certificate_table(found: pd.DataFrame) -> pd.DataFrame:
    """Method, gate, measured, power, verdict; a dash where a method has no power curve."""
    return found.replace({"power": {"": "—"}})


def false_findings_table(found: pd.DataFrame) -> pd.DataFrame:
    """A row a method: what it reports, by rows and by patients, as mean (smallest to largest)."""
    spelled = {
        f"by {way}": [
            f"{mean:.3g} ({low:.3g} to {high:.3g})"
            for mean, low, high in zip(found[f"by_{way}"], found[f"by_{way}_low"], found[f"by_{way}_high"], strict=True)
        ]
        for way in ("rows", "patients")
    }
    return pd.DataFrame({"method": found["method"], "finds": found["quantity"], **spelled})
