"""The review server: pages with threads, comments that stay, an index of what is open, nobody else's requests."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jepascope.review.served import age
from jepascope.review.server import database_at
from jepascope.review.threads import read_threads
from jepascope.store import StoreError
from tests.review.conftest import Reviewer


def index_links(reviewer: Reviewer) -> list[str]:
    """The links of the index, in order, but for the one back to the book."""
    return [link for link in re.findall(r'href="([^"]+)"', reviewer.get("/review/").text) if ".html" in link]


def test_a_comment_is_there_after_a_reload_and_after_a_restart(reviewer: Reviewer, project: Path) -> None:
    reviewer.say("02_model", "Is *this* the twin?")
    assert reviewer.comments("02_model") == ["<p>Is <em>this</em> the twin?</p>"]
    assert Reviewer(project).comments("02_model") == reviewer.comments("02_model")
    assert reviewer.comments("index") == []


def test_a_served_page_has_its_thread_and_the_rendered_one_has_not(reviewer: Reviewer) -> None:
    rendered = (reviewer.html / "02_model.html").read_text()
    served = reviewer.get("/02_model.html").text
    assert 'data-isso-id="/02_model" data-title="The model &amp; its twin"' in served
    assert served.index('id="isso-thread"') < served.index("</article>")
    assert "begins with “Resolved”" in served
    assert (reviewer.html / "02_model.html").read_text() == rendered
    assert "isso" not in rendered


def test_the_front_page_has_a_thread_and_the_search_has_none(reviewer: Reviewer) -> None:
    assert 'data-isso-id="/index"' in reviewer.get("/").text
    assert "isso" not in reviewer.get("/search.html").text


def test_all_that_a_served_page_asks_for_is_on_this_machine(reviewer: Reviewer) -> None:
    served = reviewer.get("/02_model.html").text
    asked = re.findall(r'(?:src|href|data-isso)="([^"]+)"', served)
    assert all(link.startswith("/") and not link.startswith("//") for link in asked)
    assert "/comments/synthetic/toy/" in asked
    assert {reviewer.get(link).status_code for link in asked if link != "/comments/synthetic/toy/"} == {200}
    assert reviewer.get("/comments/synthetic/toy/config").json["config"]["gravatar"] is False


def test_the_index_lists_open_threads_with_page_line_author_age_and_replies(reviewer: Reviewer) -> None:
    first = reviewer.say(
        "02_model", "> a passage\n>\n> [The twin](#the-twin)\n\nIs <this> so?\nI doubt it.", author="Ann <a>"
    )
    reviewer.say("02_model", "I think so.", author="Ben", parent=first)
    reviewer.say("index", "A line is missing", author=None)
    text = reviewer.get("/review/").text
    row = re.search(r"<tr><td>.*?Is &lt;this&gt; so\?.*?</tr>", text)
    assert row is not None
    assert re.findall(r"<td>(?:<a [^>]*>)?([^<]*)", row[0]) == [
        *("The model &amp; its twin", "Is &lt;this&gt; so?", "Ann &lt;a&gt;", "just now", "1"),
    ]
    assert index_links(reviewer) == [
        *("/02_model.html#the-twin", f"/02_model.html#isso-{first}"),
        *("/index.html#isso-3", "/index.html#isso-3"),
    ]
    assert "Anonymous" in text


def test_a_thread_leaves_the_open_ones_when_its_last_reply_says_resolved(reviewer: Reviewer) -> None:
    first = reviewer.say("02_model", "Resolved? No: this is a question.")
    assert [thread.resolved for thread in read_threads(reviewer.database)] == [False]
    for word in ("**Resolved** in the next run.", "resolved"):
        reviewer.say("02_model", word, parent=first)
        assert "No thread is open" in reviewer.get("/review/").text
        reviewer.say("02_model", "Not yet.", parent=first)
        assert "No thread is open" not in reviewer.get("/review/").text


def test_pages_of_another_tier_have_comments_of_their_own(reviewer: Reviewer, project: Path) -> None:
    reviewer.say("02_model", "On synthetic records")
    strict = Reviewer(project, tier="credentialed")
    assert strict.comments("02_model") == []
    assert strict.database != reviewer.database
    assert strict.database.is_relative_to(project / "review" / "credentialed")


def test_pages_rendered_from_other_records_meanwhile_take_no_comments_among_these(reviewer: Reviewer) -> None:
    reviewer.render("credentialed")
    refused = reviewer.get("/02_model.html")
    assert (refused.status_code, "restart it" in refused.text) == (503, True)
    reviewer.render("synthetic")
    assert reviewer.get("/02_model.html").status_code == 200


def test_a_page_left_open_in_a_browser_cannot_put_its_comments_among_those_of_other_records(
    reviewer: Reviewer, project: Path
) -> None:
    left_open = Reviewer(project, tier="credentialed")
    reviewer.render("synthetic")
    left_open.client = reviewer.client  # the server was restarted on pages of other records, at the same address
    with pytest.raises(AssertionError, match="Not Found"):
        left_open.say("02_model", "On credentialed records")
    assert [read_threads(one.database) for one in (reviewer, left_open)] == [[], []]


def test_other_sites_can_neither_read_nor_write(reviewer: Reviewer) -> None:
    assert reviewer.get("/02_model.html", Host="rebound.example").status_code == 400
    assert reviewer.get(f"{reviewer.comments_at}/?uri=/02_model", Origin="http://other.example").status_code == 403
    with pytest.raises(AssertionError, match="another site"):
        reviewer.say("02_model", "spam", Origin="http://127.0.0.1:9999")
    reviewer.say("02_model", "mine", Origin="http://127.0.0.1:8000")
    assert len(reviewer.comments("02_model")) == 1


def test_a_path_out_of_the_book_is_not_served(reviewer: Reviewer, project: Path) -> None:
    (project / "_build" / "secret.html").write_text("<article></article>")
    (project / "_build" / "secret.txt").write_text("rows")
    for path in ("/../secret.html", "/%2e%2e/secret.html", "/../secret.txt"):
        assert reviewer.get(path).status_code == 404


def test_comments_that_are_damaged_are_told_of_by_file(reviewer: Reviewer) -> None:
    reviewer.database.write_text("this is no database, and it was one before")
    with pytest.raises(StoreError, match=r"toy\.sqlite: the comments can't be read .* move it away"):
        read_threads(reviewer.database)


def test_a_thread_of_nothing_but_a_quotation_is_listed_by_it(reviewer: Reviewer) -> None:
    reviewer.say("02_model", "> a passage\n>\n> [The twin](#the-twin)")
    assert [thread.first_line for thread in read_threads(reviewer.database)] == ["a passage"]


def test_a_book_without_a_banner_is_not_commented_on(project: Path) -> None:
    with pytest.raises(StoreError, match="holds no book yet"):
        database_at(project / "_build" / "html")
    (project / "index.html").write_text("<article></article>")
    with pytest.raises(StoreError, match="doesn't say whose data"):
        database_at(project)


@pytest.mark.parametrize(
    ("seconds", "told"), [(-5, "just now"), (59, "just now"), (60, "1 minute"), (7200, "2 hours"), (90000, "1 day")]
)
def test_an_age_is_told_in_its_largest_unit(seconds: int, told: str) -> None:
    now = datetime(2026, 1, 10, tzinfo=UTC)
    assert age(now - timedelta(seconds=seconds), now) == told
