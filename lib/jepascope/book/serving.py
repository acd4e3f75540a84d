"""Pages over HTTP, for this machine alone and as they are now: LiveReload loads them again once they are new.

What a browser kept from before the last rendering would pass old numbers off as new ones: it is told to ask each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from livereload.handlers import LiveReloadHandler, LiveReloadJSHandler, StaticFileHandler
from livereload.server import LiveScriptInjector
from livereload.watcher import Watcher
from tornado.httpserver import HTTPServer
from tornado.web import Application
from tornado.websocket import WebSocketClosedError

# What a browser of this machine calls us. A foreign site may point a name of its own here, and would read the pages.
HERE = ("127.0.0.1", "localhost")
# LiveReload's script says `snipver` when it connects; between two attempts it waits at most a second, not a minute.
SCRIPT = '<script defer src="/livereload.js?snipver=%d&mindelay=500&maxdelay=1000"></script>'


class OpenPage(LiveReloadHandler):
    """A page in a browser, which says of which rendering it is.

    So none is missed: not by a page that was loading just then, nor by one that was open before this server started.
    """

    watcher = Watcher()  # of no file: what is new is said
    newest = 0  # microseconds rather than a count: another server goes on from it
    rendering: int | None = None

    def check_origin(self, origin: str) -> bool:
        """Refuse foreign sites' scripts, which LiveReload would let in."""
        return urlsplit(origin).hostname in HERE

    def on_message(self, message: str | bytes) -> None:
        """Answer the page, and have it load again when it is of another rendering than the newest."""
        super().on_message(message)
        self.rendering = json.loads(message).get("snipver", self.rendering)
        if self.rendering != self.newest:
            self.send_message({"command": "reload", "path": "*"})

    def write_message(self, message: bytes | str | dict[str, Any], binary: bool = False) -> asyncio.Future[None]:
        """Tell the page. One that closes just then, as each does when it loads again, is no fault."""
        return asyncio.ensure_future(self._write(message, binary))

    async def _write(self, message: bytes | str | dict[str, Any], binary: bool) -> None:
        with contextlib.suppress(WebSocketClosedError):
            await super().write_message(message, binary)

    @classmethod
    def reload_all(cls) -> None:
        """Have every open page load again. On the server's loop: a page that is read before is of the one before."""
        cls.newest = time.time_ns() // 1000
        cls.reload_waiters()


class Answer(LiveScriptInjector):
    """What leaves the server: a page with LiveReload's script, anything else as it is, nothing to be shown unasked."""

    @property
    def script(self) -> bytes:
        """The script, which knows of which rendering its page is."""
        return (SCRIPT % OpenPage.newest).encode()

    def transform_first_chunk(self, status_code: int, headers: Any, chunk: bytes, finishing: bool) -> Any:
        """Add what every answer says: here, because Tornado's own handler has Sphinx's `?v=…` kept for ten years."""
        headers["Cache-Control"] = "no-cache"
        return super().transform_first_chunk(status_code, headers, chunk, finishing)


class Served(NamedTuple):
    """A server that runs in the background."""

    server_port: int
    loop: asyncio.AbstractEventLoop

    def rendered(self) -> None:
        """Have every open page load again: its folder holds new ones."""
        self.loop.call_soon_threadsafe(OpenPage.reload_all)


@contextlib.contextmanager
def followed(folder: Path, port: int) -> Iterator[Served]:
    """Serve a folder's pages in the background, to browsers that follow them; one folder at a time.

    `port` is one of 127.0.0.1, 0 for any that is free. Raises ValueError when it can't be had.
    """
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise ValueError(f"port {port} can't be had ({error}): name another with --port") from error
    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # a loop of its own: this thread's is for others
    served, end = Served(listening.getsockname()[1], runner.get_loop()), asyncio.Event()

    def serve() -> None:
        with runner:  # ends what still talks to a browser
            runner.run(_serve(folder, listening, end))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.loop.call_soon_threadsafe(end.set)
        thread.join()


async def _serve(folder: Path, listening: socket.socket, end: asyncio.Event) -> None:
    handlers: list[Any] = [
        ("/livereload", OpenPage),
        ("/livereload.js", LiveReloadJSHandler),
        ("/(.*)", StaticFileHandler, {"path": str(folder), "default_filename": "index.html"}),
    ]
    # A line in the terminal for each request, or each page that loads again, would hide what was done.
    logging.getLogger("livereload").setLevel(logging.WARNING)
    application = Application(transforms=[Answer], log_function=lambda _: None)
    application.add_handlers(f"({'|'.join(map(re.escape, HERE))})", handlers)
    server = HTTPServer(application)
    OpenPage.reload_all()
    listening.setblocking(False)
    server.add_socket(listening)
    await end.wait()
    server.stop()
