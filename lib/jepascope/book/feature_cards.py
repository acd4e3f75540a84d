"""The cards of a dictionary's features as one browsable block of HTML: no framework, nothing fetched, works offline.

Every number on a card is a count or statistic of at least eleven patients; shares are rounded to 5 % and patients to 5,
and none is shown as nothing or all, since pages are for other eyes.
"""

from __future__ import annotations

import html
import math

import pandas as pd

from jepascope.analysis.features.enrichment import MIN_CELL
from jepascope.cohort.questions import OF_NAME
from jepascope.publish.counts import rounded

# Odds ratios drawn, on a log axis: beyond the last decade a bar is cut.
DECADES = 4
WIDTH, HEIGHT = 90, 12

# Colours keep a contrast of 4.5 in both modes; where the page has no theme the browser's own preference counts.
STYLE = """<style>
.cards { --bar: #0072b2; --spread: #4d4d4d; --edge: #c8ced6; --quiet: #565d66; --card: #fff; --ink: #1b1f24; }
html[data-theme="dark"] .cards { --bar: #6db7e8; --spread: #c8c8c8; --edge: #4a525c; --quiet: #a9b3be;
  --card: #1a1f26; --ink: #e6e9ed; }
@media (prefers-color-scheme: dark) { html:not([data-theme]) .cards { --bar: #6db7e8; --spread: #c8c8c8;
  --edge: #4a525c; --quiet: #a9b3be; --card: #1a1f26; --ink: #e6e9ed; } }
.cards { color: var(--ink); margin: 1.2rem 0; }
.cards .find { display: flex; flex-wrap: wrap; gap: .6rem; align-items: baseline; margin-bottom: .8rem; }
.cards input { flex: 1 1 14rem; padding: .35rem .6rem; border: 1px solid var(--quiet); border-radius: 3px;
  background: var(--card); color: var(--ink); font: inherit; }
.cards output { color: var(--quiet); }
.cards ul { list-style: none; margin: 0; padding: 0; display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(29rem, 100%), 1fr)); }
.cards li.card { display: block; margin: 0; border: 1px solid var(--edge); border-radius: 4px; padding: .7rem .8rem;
  background: var(--card); font-size: .85em; overflow-x: auto; }
.cards li[hidden] { display: none; }
.cards .name { margin: 0 0 .2rem; font-weight: 600; font-size: 1.1em; }
.cards .facts { margin: 0 0 .4rem; color: var(--quiet); }
.cards table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin: 0; }
.cards th, .cards td { text-align: left; padding: .1rem .3rem .1rem 0; vertical-align: top; border: 0;
  background: none; color: inherit; font-weight: 400; }
.cards thead th { color: var(--quiet); font-size: .9em; }
.cards .or, .cards thead th { white-space: nowrap; }
.cards rect { fill: var(--bar); } .cards line { stroke: var(--spread); }
.cards summary { cursor: pointer; margin-top: .3rem; }
.cards :is(input, summary):focus-visible { outline: 2px solid var(--bar); outline-offset: 2px; }
</style>"""

SCRIPT = """<script>
(() => {
  const box = document.getElementById("find-cards"), seen = document.getElementById("cards-seen");
  const cards = [...document.querySelectorAll(".cards li.card")];
  const show = () => {
    const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
    for (const card of cards) {
      const text = card.textContent.toLowerCase();
      card.hidden = !words.every((word) => text.includes(word));
    }
    seen.textContent = cards.filter((card) => !card.hidden).length + " of " + cards.length + " cards";
  };
  box.addEventListener("input", show);
  show();
})();
</script>"""


def cards_block(features: pd.DataFrame, evidence: pd.DataFrame, labels: pd.DataFrame, level: float) -> str:
    """All cards in order, with a box to filter them by any word; without scripts the box is of no use and all show.

    Args: the tables of `pipeline.dictionary.cards.load_cards`; level of q and of adjusted p that count as found,
    1 − `level`.
    """
    shown = "".join(
        _card(row, evidence[evidence["feature"] == row["feature"]], labels[labels["feature"] == row["feature"]], level)
        for row in features.to_dict("records")
    )
    find = (
        '<div class="find"><label for="find-cards">Find a code, a name or a label</label>'
        '<input id="find-cards" type="search" autocomplete="off">'
        f'<output id="cards-seen" for="find-cards" aria-live="polite">{len(features)} cards</output></div>'
    )
    return f'{STYLE}<div class="cards">{find}<ul>{shown}</ul></div>{SCRIPT}'


def others_table(others: pd.DataFrame) -> pd.DataFrame:
    """Features without a card, as counts: a feature that no other fit found has nothing to be named for."""
    reached = others["patients"].map(lambda n: f"under {MIN_CELL}" if pd.isna(n) else f"{_by_five(n)}")
    table = {
        "feature": others["feature"].astype(str),
        "held by fits to the same patients": [_of(row.counts, row.voters) for row in others.itertuples()],
        "by fits to others": [_of(row.elsewhere, row.checkers) for row in others.itertuples()],
        "P(reappears)": others["reappears"].map("{:.2f}".format),
        "on in": others["rate"].map(lambda rate: "—" if pd.isna(rate) else share(rate)),
        "test patients": reached,
    }
    return pd.DataFrame(table)


def share(value: float) -> str:
    """A share to the nearest 5 %, and never as none or all: either would tell what everyone in a cell has."""
    return f"{5 * round(20 * value)} %" if 0.075 <= value < 0.925 else ("under 10 %" if value < 0.5 else "over 90 %")


def bar(odds: float, low: float, high: float) -> str:
    """One odds ratio with its interval on a log axis from 1 to 10^DECADES, as an inline SVG of fixed size."""
    x, left, right = (WIDTH * min(max(math.log10(max(v, 1.0)) / DECADES, 0.0), 1.0) for v in (odds, low, high))
    words = f"odds ratio {_odds(odds)}, interval {_odds(low)} to {_odds(high)}"
    middle = HEIGHT / 2
    return (
        f'<svg role="img" aria-label="{words}" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<rect x="0" y="3" width="{x:.1f}" height="{HEIGHT - 6}" opacity=".55"/>'
        f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}" stroke-width="2"/></svg>'
    )


def _card(feature: dict[str, object], evidence: pd.DataFrame, labels: pd.DataFrame, level: float) -> str:
    name = html.escape(str(feature["name"]))
    f = {key: float(value) for key, value in feature.items() if key != "name"}  # type: ignore[arg-type]
    facts = (
        f"feature {f['feature']:.0f} · on in {share(f['rate'])} of encounters, {_by_five(f['patients'])} patients · "
        f"held by {_of(f['counts'], f['voters'])} fits, elsewhere by {_of(f['elsewhere'], f['checkers'])} · "
        f"P(reappears) {f['reappears']:.2f}"
    )
    return (
        f'<li class="card"><h4 class="name">{name}</h4><p class="facts">{facts}</p>{_codes(evidence)}'
        f"<details><summary>comes and goes</summary>{_moves(f)}</details>"
        f"<details><summary>labels</summary>{_ties(labels, level)}</details></li>"
    )


def _codes(evidence: pd.DataFrame) -> str:
    if evidence.empty:
        return "<p>No code is enriched on training patients and carried by enough test patients.</p>"
    body = "".join(
        f"<tr><td>{html.escape(row.title)}</td><td>{bar(row.odds, row.low, row.high)}</td>"
        f'<td class="or">{_odds(row.odds)} [{_odds(row.low)}, {_odds(row.high)}]</td>'
        f'<td class="or">{_small(row.q)}</td>'
        f'<td class="or">{share(row.coverage)}</td><td>{_by_five(row.patients)}</td></tr>'
        for row in evidence.itertuples()
    )
    head = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("code", "", "odds ratio, test", "q, training", "covers", "patients")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _moves(f: dict[str, float]) -> str:
    """Dwell and return beside any order of the same encounters."""
    if math.isnan(f["stay"]) or f["followed"] < MIN_CELL:
        return "<p>Too few patients have it on with an encounter after.</p>"
    rows = {
        "on again at the next encounter": (_number(f["stay"]), _number(f["stay_any_order"])),
        "beyond any order": (f"{f['excess']:+.2f} [{f['excess_low']:+.2f}, {f['excess_high']:+.2f}]", ""),
        "begins, when off": (_number(f["begin"]), ""),
        "encounters in a run": (_number(f["dwell"]), _number(f["dwell_any_order"])),
        "back after one encounter off": (_number(f["back"]), _number(f["back_any_order"])),
    }
    body = "".join(f"<tr><td>{name}</td><td>{ours}</td><td>{any_}</td></tr>" for name, (ours, any_) in rows.items())
    head = '<tr><th scope="col"></th><th scope="col">here</th><th scope="col">any order</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _ties(labels: pd.DataFrame, level: float) -> str:
    """The labels that a feature goes with beyond chance, else the one it goes with best."""
    known = labels[labels["r"].notna()]
    if known.empty:
        return "<p>No label can be held against it.</p>"
    tied = known[known["adjusted"] < 1 - level]
    said = "" if len(tied) else "<p>With no label beyond what the search finds in nothing. The nearest:</p>"
    rows = (tied if len(tied) else known).sort_values("r", key=abs, ascending=False).head(4 if len(tied) else 1)
    body = "".join(
        f"<tr><td>{html.escape(_in_words(row.label))}</td>"
        f'<td class="or">{row.r:.2f} [{row.r_low:.2f}, {row.r_high:.2f}]</td><td>{row.auroc:.2f}</td>'
        f"<td>{_small(row.adjusted)}</td></tr>"
        for row in rows.itertuples()
    )
    head = "".join(f'<th scope="col">{title}</th>' for title in ("label", "r", "AUROC", "p, max-T"))
    entropy = known["entropy"].dropna()
    told = (
        f"<p>Entropy over psychiatric groups {entropy.iloc[0]:.2f}; prevalence alone gives "
        f"{known['expected'].dropna().iloc[0]:.2f}.</p>"
        if len(entropy)
        else ""
    )
    return f"{said}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{told}"


def _in_words(label: str) -> str:
    return OF_NAME[label].asks if label in OF_NAME else label.replace("_", " ")


def _small(p: float) -> str:
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}"


def _odds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _number(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.2f}"


def _by_five(n: float) -> str:
    return f"{rounded(round(n)):,}"


def _of(count: float, of: float) -> str:
    return f"{count:.0f} of {of:.0f}"
