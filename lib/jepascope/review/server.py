"""The rendered book with a comment thread under every page, for this machine only.

Pages are changed as they are served: `_build/html` stays what was rendered, and can be checked and published. The
threads are isso's (https://isso-comments.de), whose script and style come with its package; nothing is fetched. A page
and its comments name tier and profile, so that a page of other records, rendered meanwhile or still open in a browser,
never puts its comments among these.
"""

from __future__ import annotations

import contextlib
import html
import logging
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jepascope.publish.tiers import banners, profile_of
from jepascope.review.served import index_page, with_thread
from jepascope.review.threads import database_for, read_threads
from jepascope.store import StoreError

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
HERE = ["127.0.0.1", "localhost"]
TITLE = re.compile(r"<title>(.*?)(?: &#8212; .*?)?</title>", re.DOTALL)
UNREAD = ("search", "genindex")  # pages that nobody wrote
# No mail, no avatars, no limit: reviewers are few and sit at this machine.
SETTINGS = {
    ("general", "host"): "http://127.0.0.1/",
    ("general", "max-age"): "30d",  # how long a comment can be edited from the browser that wrote it
    ("guard", "enabled"): "false",
    ("guard", "reply-to-self"): "true",
}


def serve(folder: Path, port: int) -> None:
    """Serve a rendered book on 127.0.0.1 until Ctrl-C. Raises as `database_at`; exits when the port is taken."""
    from werkzeug.serving import make_server

    database = database_at(folder)
    server = make_server("127.0.0.1", port, application(folder, database), threaded=True)
    print(f"http://127.0.0.1:{server.server_port}/ (open threads: /review/; Ctrl-C stops)\ncomments: {database}")
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


def database_at(folder: Path) -> Path:
    """The database for the pages in a folder, by the profile and the tier that they name.

    Raises StoreError when there is no book, or its front page has no banner.
    """
    front = folder / "index.html"
    if not front.exists():
        raise StoreError(f"{folder} holds no book yet: `make book` builds it")
    database = _database_of(front.read_text())
    if database is None:
        raise StoreError(f"{front} doesn't say whose data it was made from: `jepascope build` makes a page that does")
    return database


def application(folder: Path, database: Path) -> Application:
    """The pages, isso under /comments/… and the index of threads under /review/, as one WSGI application."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.middleware.shared_data import SharedDataMiddleware
    from werkzeug.wrappers import Request, Response

    @Request.application
    def index(request: Request) -> Response:
        return Response(index_page(read_threads(database), datetime.now(UTC)), mimetype="text/html")

    review = SharedDataMiddleware(index, {"/static": ("jepascope.review", "static")}, cache=False)
    comments = comments_at(database)
    return _ours_alone(DispatcherMiddleware(_book(folder, database), {comments: _isso(database), "/review": review}))


def comments_at(database: Path) -> str:
    """The address of the comments in a database."""
    return f"/comments/{database.parent.name}/{database.stem}"


def _database_of(page: str) -> Path | None:
    """Where comments on a page belong, by its banner; None when it hasn't one."""
    tiers, profile = banners(page), profile_of(page)
    return database_for(profile, tiers.pop()) if profile and len(tiers) == 1 else None


def _book(folder: Path, database: Path) -> Application:
    """The rendered files, pages with their thread."""
    from werkzeug.exceptions import NotFound, ServiceUnavailable
    from werkzeug.middleware.shared_data import SharedDataMiddleware
    from werkzeug.security import safe_join
    from werkzeug.wrappers import Request, Response

    files = SharedDataMiddleware(NotFound(), {"/": str(folder)}, cache=False)
    icon = Response(status=204)  # browsers ask for one, and note down its absence as an error

    @Request.application
    def page(request: Request) -> Response:
        name = request.path.strip("/") or "index.html"
        found = safe_join(str(folder), name)
        if found is None or not Path(found).is_file():
            raise NotFound
        text, name = Path(found).read_text(), name.removesuffix(".html")
        if name not in UNREAD:
            if _database_of(text) != database:
                raise ServiceUnavailable(
                    "The pages are of other records than when `jepascope review` began: restart it."
                )
            title = TITLE.search(text)
            text = with_thread(text, name, html.unescape(title[1]).strip() if title else name, comments_at(database))
        return Response(text, mimetype="text/html")

    def book(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        chosen = page if path.endswith((".html", "/")) else icon if path == "/favicon.ico" else files
        return chosen(environ, start_response)

    return book


def _isso(database: Path) -> Application:
    """The comment server, made from its parts: its own start would first call the address that it is to serve."""
    logging.basicConfig(level=logging.WARNING)  # before isso asks for more
    try:
        from isso import Isso, config, local_manager
        from isso import __file__ as package
        from isso.core import ThreadedMixin
    except ImportError as error:
        raise StoreError("the review server needs isso: `pip install -c constraints.txt -e .[review]`") from error
    from werkzeug.middleware.shared_data import SharedDataMiddleware

    class Server(Isso, ThreadedMixin):
        """Isso, one request a thread."""

    settings = config.load(config.default_file())
    for (section, name), value in SETTINGS.items():
        settings.set(section, name, value)
    database.parent.mkdir(parents=True, exist_ok=True)
    settings.set("general", "dbpath", str(database))
    shared = {f"/{name}": str(Path(package).parent / name) for name in ("js", "css")}
    return SharedDataMiddleware(local_manager.make_middleware(Server(settings)), shared)


def _ours_alone(inner: Application) -> Application:
    """Refuse requests that a foreign page made in the reader's browser: of another host's name, or another origin."""
    from werkzeug.exceptions import BadRequest, Forbidden
    from werkzeug.wsgi import get_host

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        try:
            if origin is not None and urlsplit(origin).netloc != get_host(environ, HERE):
                raise Forbidden("a page of another site may not use the review server")
            get_host(environ, HERE)
        except (BadRequest, Forbidden) as refusal:
            return refusal(environ, start_response)
        return inner(environ, start_response)

    return guarded
