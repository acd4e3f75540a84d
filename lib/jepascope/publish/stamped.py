"""Rule 1: the data tier is stamped on every page and in every executed notebook, and is one and the same."""

from __future__ import annotations

from collections.abc import Iterator

from jepascope.publish.alarms import Alarm, alarm
from jepascope.publish.documents import Document
from jepascope.publish.tiers import BANNERS, banners, stamps
from jepascope.publish.tree import Tree


def banner(tree: Tree) -> Iterator[Alarm]:
    """Every page says, before anything else, whose data it was made from."""
    for document in tree.documents:
        if document.suffix == ".html" and not document.where and not banners(_text(document)):
            yield alarm(document.file, "whole page", "banner", "no banner of the data tier")


def tier(tree: Tree) -> Iterator[Alarm]:
    """Every executed notebook names its tier, known ones only, and the whole tree one."""
    if not tree.tiers:
        yield alarm(".", "whole tree", "tier", "no data tier is stamped anywhere")
    usual = _usual(tree)
    for document in tree.documents:
        if document.where or document.suffix not in (".html", ".ipynb"):
            continue
        text = _text(document)
        found = banners(text) | stamps(text)
        executed = document.notebook is not None and any(
            cell.get("cell_type") == "code" for cell in document.notebook["cells"]
        )
        if executed and not stamps(text):
            yield alarm(document.file, "whole notebook", "tier", "no data tier is stamped")
        elif not found <= set(BANNERS):
            yield alarm(document.file, "whole file", "tier", "a data tier that isn't known")
        elif found - {usual}:
            yield alarm(document.file, "whole file", "tier", "another data tier than the rest of the tree")


def _usual(tree: Tree) -> str:
    """The tier of most files: the ones that differ from it are named."""
    votes = [tier for document in tree.documents for tier in banners(_text(document)) | stamps(_text(document))]
    return max(sorted(set(votes)), key=votes.count, default="")


def _text(document: Document) -> str:
    if document.suffix not in (".html", ".ipynb"):
        return ""
    return document.data.decode("utf-8", "replace").replace('\\"', '"')
