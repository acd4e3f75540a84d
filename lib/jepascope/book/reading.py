"""A Sphinx extension: what a page gives its reader beyond what its chapter says, put in while pages are rendered.

Chapters record numbers and know nothing of pages. So the links from a number to where it comes from, the bar that leads
to the other seeds, and what a keyboard needs are added here, and no chapter runs again for them. The markup that is
looked for is that of `book/pages.py` and of myst-nb's glue.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from jepascope.publish.runs import OF_RUN

SEED_PAGE = re.compile(r"(.+)_seed(\d+)")
PROVENANCE = '<details class="provenance">'
CLAIM = '<div class="claim">'
CAPTION = re.compile(r'<div class="table-block"><p class="table-caption">(.*?)</p>', re.DOTALL)
OF_SEED = re.compile(r'href="(\w+)\.html#provenance" data-seed="(\d+)"')
WHENCE = "where this {} comes from"


def setup(app: Sphinx) -> dict[str, bool]:
    """Hook the extension in: Sphinx calls this."""
    app.connect("doctree-read", _note_seed)
    app.connect("doctree-resolved", _dress)
    app.connect("html-page-context", _stay_in_seed)
    app.connect("html-page-context", _ask_for_no_kernel)
    app.connect("html-page-context", _list_citations)
    app.connect("html-page-context", _name_toggles, priority=900)  # after the theme, whose function it calls
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def pages_by_seed(page: str, pages: Collection[str], reference: int | None) -> dict[int, str]:
    """Find the pages of a chapter's runs, seed -> page, in order of seeds.

    page: any of them; pages: all of the book; reference: the seed of the page that has the chapter's own name, None
    where that is of all seeds.
    """
    chapter = chapter_of(page)
    found = {int(match[2]): match[0] for name in pages if (match := SEED_PAGE.fullmatch(name)) and match[1] == chapter}
    return dict(sorted({**found, **({} if reference is None else {reference: chapter})}.items()))


def chapter_of(page: str) -> str:
    """The chapter whose run a page shows."""
    found = SEED_PAGE.fullmatch(page)
    return found[1] if found else page


def in_seed(chapter: str, seed: int | str, pages: Collection[str]) -> str:
    """The page of a chapter in a seed; of the reference seed, or of a chapter that runs once, the chapter's own."""
    page = f"{chapter}_seed{seed}"
    return page if page in pages else chapter


def seed_bar(page: str, by_seed: Mapping[int, str]) -> str:
    """Links to the same chapter in every seed, as HTML. by_seed: of `pages_by_seed`."""
    here = ' aria-current="page"'
    links = [f'<a href="{name}.html"{here if name == page else ""}>{seed}</a>' for seed, name in by_seed.items()]
    return f'<nav class="seeds" aria-label="This chapter in each seed">Seed {" · ".join(links)}</nav>'


def dress(block: str, pages: Collection[str], tables: int = 0) -> tuple[str, int]:
    """Link what a block of HTML shows to its provenance, and let a keyboard scroll its tables.

    Links to a claim's chapter that name a seed go to that seed's page, where the book has it. `tables` counts those
    before it in the page, so that each has an id of its own. Returns the block, and the count after it.
    """
    block = block.replace(PROVENANCE, PROVENANCE.replace(">", ' id="provenance">'))
    block = block.replace("</figcaption>", f" {_made('figure')}</figcaption>")
    title = WHENCE.format("number")
    block = OF_SEED.sub(lambda of: f'href="{in_seed(of[1], of[2], pages)}.html#provenance" title="{title}"', block)
    parts = CAPTION.split(block)  # text, caption, text, caption, …, text
    for at in range(1, len(parts), 2):
        tables += 1
        parts[at] = (
            f'<div class="table-block" role="region" tabindex="0" aria-labelledby="table-{tables}">'
            f'<p class="table-caption"><span id="table-{tables}">{parts[at]}</span> {_made("table")}</p>'
        )
    return "".join(parts), tables


def _made(what: str) -> str:
    return f'<a class="made shown" href="#provenance" title="{WHENCE.format(what)}">Provenance</a>'


def _raw(doctree: nodes.document) -> list[nodes.raw]:
    return [node for node in doctree.findall(nodes.raw) if node.get("format") == "html"]


def _note_seed(app: Sphinx, doctree: nodes.document) -> None:
    """Keep which seed a page shows: only its provenance says so of the reference seed's."""
    for node in _raw(doctree):
        found = OF_RUN.search(node.astext())
        if found and found[2] != "all seeds":
            app.env.metadata[app.env.docname]["seed"] = int(found[2])


def _dress(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put into a page what this module is for; a page that was not made by a run stays as it is."""
    blocks = _raw(doctree)
    if not any(PROVENANCE in node.astext() for node in blocks):
        return
    tables = 0
    for node in blocks:
        text, tables = dress(node.astext(), app.env.found_docs, tables)
        node.children = [nodes.Text(text)]
    for number in list(doctree.findall(_is_glued)):
        number.replace_self(_link(number))
    for paragraph in list(doctree.findall(_is_claim)):
        _link_facts(paragraph)
    reference = app.env.metadata[chapter_of(page)].get("seed")
    by_seed = pages_by_seed(page, app.env.found_docs, reference)
    title = next(doctree.findall(nodes.title), None)
    if title is not None and len(by_seed) > 1:
        title.parent.insert(title.parent.index(title) + 1, nodes.raw("", seed_bar(page, by_seed), format="html"))


def _is_glued(node: nodes.Node) -> bool:
    """Whether a node is a recorded number in prose that may be a link: in a heading, or in a link, it may not."""
    if not (isinstance(node, nodes.inline) and "pasted-text" in node["classes"]):
        return False
    above = node.parent
    while above is not None and not isinstance(above, nodes.title | nodes.reference):
        above = above.parent
    return above is None


def _is_claim(node: nodes.Node) -> bool:
    before = node.previous_sibling() if isinstance(node, nodes.paragraph) else None
    return isinstance(before, nodes.raw) and before.astext().strip() == CLAIM


def _link_facts(paragraph: nodes.Element) -> None:
    """Make the second line of a claim's box one link: its numbers have one provenance, and a keyboard one stop."""
    breaks = [at for at, node in enumerate(paragraph) if isinstance(node, nodes.raw) and node.astext() == "<br>"]
    if breaks:
        facts = paragraph.children[breaks[0] + 1 :]
        del paragraph[breaks[0] + 1 :]
        paragraph += _link(*facts)


def _link(*inside: nodes.Node) -> nodes.reference:
    link = nodes.reference("", "", internal=True, refuri="#provenance", reftitle=WHENCE.format("number"))
    link["classes"].append("made")
    link.extend(node.deepcopy() for node in inside)
    return link


def _stay_in_seed(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Let "previous" and "next" pass by the other seeds' pages, and stay in the seed that the reader is in."""
    found = SEED_PAGE.fullmatch(page)
    relations = app.builder.relations  # type: ignore[attr-defined]
    for name, at in (("prev", 1), ("next", 2)):
        other = relations.get(found[1] if found else page, (None, None, None))[at]
        while other is not None and SEED_PAGE.fullmatch(other):
            other = relations[other][at]
        if other is None:
            context.pop(name, None)
            continue
        other = in_seed(other, found[2], app.env.found_docs) if found else other
        title = app.builder.render_partial(app.env.titles[other])["title"]  # type: ignore[attr-defined]
        context[name] = {"link": app.builder.get_relative_uri(page, other), "title": title}


def _ask_for_no_kernel(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Leave out the scripts that would run cells on another machine: the book has no button for them."""
    of_thebe = [
        script for script in context["script_files"] if "thebe" in f"{script.filename} {script.attributes}".lower()
    ]
    context["script_files"] = [script for script in context["script_files"] if script not in of_thebe]


def _list_citations(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Call the entries of a bibliography the items of the list that they stand in, as its role requires."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def _name_toggles(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give the theme's folds in the sidebar, which are an icon alone, a name that can be read out."""
    made = context["generate_toctree_html"]

    def named(*arguments: Any, **options: Any) -> Any:
        tree = made(*arguments, **options)
        for fold in tree.find_all("summary") if tree else []:
            fold["aria-label"] = f"Pages below {fold.find_parent('li').a.get_text()}"
        return tree

    context["generate_toctree_html"] = named
