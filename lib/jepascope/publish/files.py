"""Rule 7: only the kinds and sizes of file that a page needs; weights, embeddings and tables of records are none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jepascope.publish.alarms import Alarm, alarm
from jepascope.publish.documents import suffix_of
from jepascope.publish.images import faults
from jepascope.publish.tree import Tree

MEGABYTE = 1 << 20
# Largest size of each kind of file that we write; what packages deliver is known by its hash.
LARGEST = {
    ".html": 20 * MEGABYTE,
    ".ipynb": 20 * MEGABYTE,
    ".json": 2 * MEGABYTE,
    ".js": 5 * MEGABYTE,
    ".css": MEGABYTE,
    ".md": MEGABYTE,
    ".txt": MEGABYTE,
    ".svg": MEGABYTE,
    ".png": 3 * MEGABYTE,
    ".inv": MEGABYTE,
    ".bib": MEGABYTE,
    ".buildinfo": MEGABYTE,
    ".nojekyll": 0,
}
# Numbers in a row, as an embedding, a table of weights or a column of records would be written.
MANY = re.compile(r"(?:[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?[\[\]\s,;]+){200}", re.IGNORECASE)
BLOB = re.compile(r"[A-Za-z0-9+/]{2000}")


def kinds(tree: Tree) -> Iterator[Alarm]:
    """A file of another kind, one that isn't what its name says, a link out of the tree, a name of no text."""
    for name in tree.links:
        yield alarm(name, "whole file", "file type", "a link, whose target isn't checked")
    for document in tree.documents:
        if not document.where and document.suffix not in LARGEST:
            yield alarm(document.file, "whole file", "file type", "no kind of file that a page needs")
        elif not document.readable:
            yield alarm(document.file, document.where or "whole file", "file type", "not what its name says")


def sizes(tree: Tree) -> Iterator[Alarm]:
    """A file larger than pages are."""
    ours = {document.file for document in tree.documents}
    for name, size in tree.sizes.items():
        if name in ours and size > LARGEST.get(suffix_of(name), size):
            yield alarm(name, "whole file", "file size", "larger than a file of its kind may be")


def pictures(tree: Tree) -> Iterator[Alarm]:
    """A PNG that holds more than a picture, carried ones included."""
    for document in tree.documents:
        if document.suffix == ".png":
            for fault in faults(document.data):
                yield alarm(document.file, document.where or "whole file", "picture", fault)
        elif document.where and document.suffix == "?" and document.data.lstrip()[:5] not in (b"<svg ", b"<?xml"):
            yield alarm(document.file, document.where, "picture", "a carried file that is no picture")


def arrays(tree: Tree) -> Iterator[Alarm]:
    """Long rows of numbers or a blob: weights, embeddings or records in a text's clothes. Synthetic ones may stay."""
    if tree.synthetic:
        return
    for document in tree.documents:
        for part in document.parts:
            if part.kind not in ("style", "error") and (MANY.search(part.text) or BLOB.search(part.text)):
                yield alarm(document.file, part.place(), "array", "a long array of numbers")
