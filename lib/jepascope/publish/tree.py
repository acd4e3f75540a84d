"""The tree that is to be published, read once."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

from jepascope.publish.documents import Document, read_document
from jepascope.publish.id_filter import IdFilter
from jepascope.publish.tiers import banners, profile_of, stamps

MANIFEST = "manifest.json"
DISCLOSURE = "_static/disclosure"  # where the sidecars of a page lie, <page>.json
# The only packages whose files Sphinx copies into a book. A file of theirs, byte by byte, was not made from records.
PUBLISHERS = (
    "jupyter-book",
    "myst-nb",
    "pydata-sphinx-theme",
    "sphinx",
    "sphinx-book-theme",
    "sphinx-copybutton",
    "sphinx-design",
    "sphinx-mathjax-offline",
    "sphinx-thebe",
    "sphinx-togglebutton",
    "sphinx-comments",
)


class Tree(NamedTuple):
    """All files, with what the rules need to know of the whole."""

    documents: list[Document]  # ours; what packages delivered is left out
    sizes: dict[str, int]  # file -> bytes, of all files
    links: list[str]
    tiers: frozenset[str]  # that pages and notebooks name
    ids: IdFilter | None
    names: tuple[str, ...]  # of users and machines, lower case

    @property
    def credentialed(self) -> bool:
        """Whether the strict rules hold: unless every stamp says that the records are open."""
        return not self.tiers or not self.tiers <= {"synthetic", "demo"}

    @property
    def synthetic(self) -> bool:
        """Whether nobody's records are in it."""
        return self.tiers == {"synthetic"}


def read_tree(folder: Path, ids: IdFilter | None = None, names: tuple[str, ...] = ()) -> Tree:
    """Read every file under a folder, hidden ones too. Raises FileNotFoundError when there is none."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: `jepascope build` makes one to check")
    files = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    links = [str(path.relative_to(folder)) for path in files if path.is_symlink()]
    documents, sizes = [], {}
    known = delivered()
    seen: set[bytes] = set()
    for path in files:
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or name == MANIFEST:
            continue
        data = path.read_bytes()
        sizes[name] = len(data)
        if hashlib.sha256(data).digest() in known:
            continue
        first, *carried = read_document(name, data)
        documents.append(first)
        for inner in carried:  # one picture stands in a page and in its notebook
            digest = hashlib.sha256(inner.data).digest()
            if digest not in seen:
                documents.append(inner)
            seen.add(digest)
    return Tree(documents, sizes, links, _tiers(documents), ids, names)


def _tiers(documents: list[Document]) -> frozenset[str]:
    texts = [d.data.decode("utf-8", "replace") for d in documents if d.suffix in (".html", ".ipynb")]
    return frozenset().union(*(banners(text) | stamps(text.replace('\\"', '"')) for text in texts))


def profiles(tree: Tree) -> set[str]:
    """The profiles that the banners name."""
    texts = (d.data.decode("utf-8", "replace") for d in tree.documents if d.suffix == ".html")
    return {found for text in texts if (found := profile_of(text))}


@functools.cache
def delivered() -> frozenset[bytes]:
    """Hashes of the files that the publishing packages brought, as pip recorded them when it installed them."""
    found = set()
    for distribution in distributions():
        if (distribution.metadata["Name"] or "").lower().replace("_", "-") in PUBLISHERS:
            for file in distribution.files or ():
                if file.hash is not None and file.hash.mode == "sha256":
                    found.add(base64.urlsafe_b64decode(file.hash.value + "="))
    return frozenset(found)
