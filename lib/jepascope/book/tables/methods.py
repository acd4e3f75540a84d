"""Tables of what methods find in nothing, and of their certificates."""

from __future__ import annotations

import pandas as pd


def certificate_table(found: pd.DataFrame) -> pd.DataFrame:
    """Method, gate, measured, power or recovery, what it was measured on, verdict; a dash for what has none."""
    titles = {"power": "power, or recovery", "on": "measured on"}
    return found.replace({"power": {"": "—"}}).rename(columns=titles)


def cost_table(took: pd.DataFrame) -> pd.DataFrame:
    """Chapter, its runs (seeds), steps, seconds, and their sum. took: of `certificates.costs`."""
    whole = {"chapter": "in all", **took[["runs", "steps", "seconds"]].sum()}
    table = pd.concat([took, pd.DataFrame([whole])], ignore_index=True)
    return table.assign(**{name: table[name].map("{:,.0f}".format) for name in ("runs", "steps", "seconds")})


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
