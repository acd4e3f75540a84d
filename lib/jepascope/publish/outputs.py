"""Rules 3 and 6: kinds of output, and what is a row of somebody's record although it is called interpretability."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jepascope.publish.alarms import Alarm, alarm
from jepascope.publish.counts import MOST_MARKS
from jepascope.publish.documents import RECORD
from jepascope.publish.tree import Tree

PLAIN = ("text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/svg+xml")
DRAWN_IN_THE_BROWSER = re.compile(r"Plotly\.newPlot|Bokeh\.embed|vegaEmbed|echarts\.init|d3\.select|new Chart\(")
ROW_LEVEL = re.compile(
    r"top.activating|nearest.neighbou?rs?\b|(?:each|every|a|one) (?:dot|point|mark|line) (?:is|stands for) (?:an?|one) "
    r"(?:patient|encounter|stay|admission)|\b(?:one|a single|single) (?:patient|trajectory)\b.{0,3}(?:'s|’s|record)|"
    r"\bsingle trajector(?:y|ies)\b|\bexemplars?\b|\bindividual (?:patients|trajectories|encounters)\b",
    re.IGNORECASE,
)
# Such an output may be shown where it is of nobody, and says so.
OF_NOBODY = re.compile(r"\b(?:planted|synthetic|simulated|invented)\b", re.IGNORECASE)


def drawings(tree: Tree) -> Iterator[Alarm]:
    """A drawing whose marks can be read out one by one, or one that is made in the reader's browser."""
    if tree.synthetic:
        return
    for document in tree.documents:
        total = 0
        for place, marks in document.marks:
            total += marks
            if marks > MOST_MARKS:
                yield alarm(document.file, place, "output type", f"a drawing of more than {MOST_MARKS} marks")
        if total > MOST_MARKS * 10:
            yield alarm(document.file, "whole page", "output type", "drawings whose marks add up to a table")
        for place, mime in document.mimes:
            if mime.removeprefix(RECORD) not in PLAIN:
                yield alarm(document.file, place, "output type", "neither text, nor a table, nor a PNG")
        for part in document.parts:
            if part.kind == "script" and DRAWN_IN_THE_BROWSER.search(part.text):
                yield alarm(document.file, part.place(), "output type", "a plot drawn from its data in the browser")
        if document.suffix == ".html" and "canvas" in document.tags:
            yield alarm(document.file, "whole page", "output type", "a plot drawn from its data in the browser")


def row_level(tree: Tree) -> Iterator[Alarm]:
    """A figure or table whose own words say that it shows one patient, or each of them."""
    if not tree.credentialed:
        return
    for document in tree.documents:
        captions = [(table.where, table.caption) for table in document.tables if table.caption]
        captions += [(p.place(), p.text) for p in document.parts if p.where.endswith(("<figcaption>", "<img alt>"))]
        for place, words in captions:
            if ROW_LEVEL.search(words) and not OF_NOBODY.search(words):
                yield alarm(document.file, place, "row level", "an output that shows single patients")
