"""What rendering adds to a page: links from numbers to provenance, the bar of seeds, names for tables."""

import re
from types import SimpleNamespace

import pandas as pd
import pytest
from docutils import nodes
from docutils.utils import new_document

from jepascope.book import reading
from jepascope.book.pages import figure_block, provenance_block, table_block

PAGES = ["index", "03_training", "08_error", "08_error_seed1", "08_error_seed10", "08_error_seed2", "08b_oracle_seed1"]
RESULT = {
    "profile": "ci", "seed": 3, "tier": "synthetic", "key": "k" * 20, "read": {},
    "provenance": {"commit": "c", "code": "d" * 20, "seconds": 1.0, "software": {}, "parameters": {}},
}  # fmt: skip


def test_a_chapters_pages_are_found_from_any_of_them_and_stand_in_order_of_seeds() -> None:
    wanted = {1: "08_error_seed1", 2: "08_error_seed2", 3: "08_error", 10: "08_error_seed10"}
    for page in wanted.values():
        assert list(reading.pages_by_seed(page, PAGES, 3).items()) == list(wanted.items())


def test_the_bar_marks_the_page_that_it_stands_on_and_no_other() -> None:
    bar = reading.seed_bar("08_error", {0: "08_error", 1: "08_error_seed1"})
    assert re.findall(r'<a href="([^"]+)"( aria-current="page")?>(\d)</a>', bar) == [
        ("08_error.html", ' aria-current="page"', "0"),
        ("08_error_seed1.html", "", "1"),
    ]


def test_figures_and_tables_link_to_provenance_and_tables_are_named_by_their_captions() -> None:
    table = table_block(pd.DataFrame({"a": [1]}), "First caption.") + table_block(pd.DataFrame({"a": [2]}), "Second.")
    block, tables = reading.dress(figure_block("x", "", "What to see.", "alt") + table, PAGES, tables=4)
    assert tables == 6
    assert block.count('href="#provenance"') == 3
    named = re.findall(r'role="region" tabindex="0" aria-labelledby="([\w-]+)"', block)
    assert named == ["table-5", "table-6"]
    assert [re.search(rf'id="{name}">([^<]*)<', block).group(1) for name in named] == ["First caption.", "Second."]


@pytest.mark.parametrize(("seed", "page"), [(0, "08_error"), (1, "08_error_seed1"), (7, "08_error")])
def test_a_claims_number_leads_to_the_page_of_its_seed_where_the_book_has_it(seed: int, page: str) -> None:
    block, _ = reading.dress(f'<a class="made" href="08_error.html#provenance" data-seed="{seed}">0.5</a>', PAGES)
    assert f'href="{page}.html#provenance"' in block
    assert "data-seed" not in block


def app() -> SimpleNamespace:
    return SimpleNamespace(env=SimpleNamespace(metadata={"08_error": {"seed": 3}}, found_docs=set(PAGES)))


def inline(text: str) -> nodes.inline:
    return nodes.inline("", text, classes=["pasted-text"])


def html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


@pytest.fixture
def page() -> nodes.document:
    """A page by hand: a glued number in its title, in prose and in a link; a claim's box; provenance."""
    document = new_document("page")
    section = nodes.section()
    document += section
    section += nodes.title("", "Title ", inline("1"))
    section += nodes.paragraph("", "", inline("2"), nodes.reference("", "", inline("3"), refuri="x"))
    facts = [html("<br>"), nodes.strong("", "0.5 [0.4, 0.6]"), nodes.Text(" · null: 0.1")]
    section += [html('<div class="claim">'), nodes.paragraph("", "It is so. ", *facts), html("</div>")]
    section += html(provenance_block(RESULT))
    return document


def test_numbers_in_prose_and_in_claims_are_links_but_not_those_in_titles_and_links(page: nodes.document) -> None:
    reading._dress(app(), page, "08_error")
    links = [node.astext() for node in page.findall(nodes.reference) if node["refuri"] == "#provenance"]
    assert links == ["2", "0.5 [0.4, 0.6] · null: 0.1"]
    assert page.astext().count("It is so.") == 1
    assert 'class="provenance" id="provenance"' in page.astext()


def test_the_bar_stands_right_under_the_title(page: nodes.document) -> None:
    reading._dress(app(), page, "08_error_seed2")
    after = next(page.findall(nodes.title)).next_node(siblings=True, descend=False)
    assert '<nav class="seeds"' in after.astext()
    assert 'href="08_error_seed2.html" aria-current="page"' in after.astext()


def test_a_page_that_no_run_made_is_left_as_it_is(page: nodes.document) -> None:
    page[0].pop()
    before = page.pformat()
    reading._dress(app(), page, "08_error")
    assert page.pformat() == before


def test_the_seed_of_a_page_is_read_off_its_provenance_and_a_page_of_all_seeds_has_none(page: nodes.document) -> None:
    env = SimpleNamespace(docname="x", metadata={"x": {}, "y": {}})
    reading._note_seed(SimpleNamespace(env=env), page)
    assert env.metadata["x"] == {"seed": 3}
    everywhere = new_document("page")
    everywhere += html(provenance_block({**RESULT, "seed": None}))
    env.docname = "y"
    reading._note_seed(SimpleNamespace(env=env), everywhere)
    assert env.metadata["y"] == {}


def builder() -> SimpleNamespace:
    order = ["index", "03_training", "08_error", "08_error_seed1", "09_bridge", "09_bridge_seed1", "references"]
    ends = [None, *order], [*order[1:], None]
    relations = {name: [None, before, after] for name, before, after in zip(order, *ends, strict=False)}
    found = SimpleNamespace(found_docs=set(order), titles={name: name for name in order})
    return SimpleNamespace(
        env=found,
        builder=SimpleNamespace(
            relations=relations,
            render_partial=lambda title: {"title": title},
            get_relative_uri=lambda page, other: f"{other}.html",
        ),
    )


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [
        ("03_training", "index", "08_error"),
        ("08_error", "03_training", "09_bridge"),
        ("08_error_seed1", "03_training", "09_bridge_seed1"),
        ("09_bridge_seed1", "08_error_seed1", "references"),
        ("index", None, "03_training"),
        ("search", None, None),
    ],
)
def test_previous_and_next_stay_in_the_readers_seed(page: str, before: str | None, after: str | None) -> None:
    context = {"prev": {"title": "theirs"}, "next": {"title": "theirs"}}
    reading._stay_in_seed(builder(), page, "page.html", context, None)
    assert context.get("prev", {}).get("title") == before
    assert context.get("next", {}).get("title") == after
