"""Shared: a project written by hand, which the test then works in."""

from __future__ import annotations

from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from jepascope.publish.tiers import BANNERS
from tests.review.runs_by_hand import enter_project

PART = '<section id="a-part"><h2>A part</h2><p>Some words.</p></section>'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with finished runs, which is the working directory."""
    return enter_project(tmp_path, monkeypatch)


class Reviewer:
    """A browser at the review server, as far as its requests go."""

    def __init__(self, project: Path, tier: str = "synthetic") -> None:
        """Render two pages of the tier, as short as pages can be, and open them."""
        from werkzeug.test import Client

        from jepascope.review.server import application, comments_at, database_at

        self.html = project / "_build" / "html"
        self.html.mkdir(parents=True, exist_ok=True)
        self.render(tier)
        self.database = database_at(self.html)
        self.comments_at = comments_at(self.database)
        self.client = Client(application(self.html, self.database))

    def render(self, tier: str) -> None:
        """Put pages of a tier where the book's are."""
        banner = f"{BANNERS[tier]} Profile <strong>toy</strong>."
        for name, title in (
            ("index", "The front page"),
            ("02_model", "The model &amp; its twin"),
            ("search", "Search"),
        ):
            head = f"<html><head><title>{title} &#8212; The book</title></head>"
            page = f"{head}<body>{banner}<article><h1>{title}</h1>{PART}</article></body></html>"
            (self.html / f"{name}.html").write_text(page)

    def get(self, path: str, **headers: str) -> TestResponse:
        """Ask for a page."""
        return self.client.get(path, base_url="http://127.0.0.1:8000", headers=headers)

    def say(self, page: str, text: str, author: str | None = "Ann", parent: int | None = None, **headers: str) -> int:
        """Write a comment, or a reply, the way isso's script does; returns its id."""
        body = {"text": text, "author": author, "parent": parent, "title": "The model & its twin"}
        done = self.client.post(
            f"{self.comments_at}/new",
            query_string={"uri": f"/{page}"},
            json=body,
            base_url="http://127.0.0.1:8000",
            headers=headers,
        )
        assert done.status_code == 201, done.text
        return int(done.json["id"])

    def comments(self, page: str) -> list[str]:
        """The comments on a page, as a reload shows them."""
        return [reply["text"] for reply in self.get(f"{self.comments_at}/?uri=/{page}").json["replies"]]


@pytest.fixture
def reviewer(project: Path) -> Reviewer:
    """Somebody who reads the rendered project."""
    pytest.importorskip("isso", reason="the review server needs isso (extra: review)")
    return Reviewer(project)
