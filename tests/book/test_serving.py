"""Serving: what a browser shows is what has been rendered last."""

import asyncio
import gc
import http.client
import json
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from jepascope.book.serving import OpenPage, Served, followed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A book of one page."""
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").write_text("<html><head></head><p>One</p></html>")
    (tmp_path / "html" / "book.css").write_text("p {}")
    (tmp_path / "html" / "empty.css").write_text("")
    (tmp_path / "secret.html").write_text("not of the book")
    return tmp_path / "html"


@pytest.fixture
def server(folder: Path) -> Iterator[Served]:
    with followed(folder, 0) as server:
        yield server


def asked(server: Served, path: str, **headers: str) -> tuple[int, str, str | None]:
    """Status, text and what the answer says about keeping it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers["Cache-Control"]


def rendering(server: Served) -> int:
    """Of which rendering the page that is served now says it is."""
    return int(re.findall(r'src="/livereload.js\?snipver=(\d+)&', asked(server, "/")[1])[0])


async def opened(server: Served, rendering: int) -> tuple[WebSocketClientConnection, list[str | None]]:
    """A page of a rendering, connected as LiveReload's script does, and what it was told until the server knew it."""
    page = await websocket_connect(f"ws://127.0.0.1:{server.server_port}/livereload")
    hello = {"command": "hello", "protocols": [], "snipver": rendering}
    for message in (hello, {"command": "info", "plugins": {}, "url": "http://127.0.0.1/"}, hello):
        await page.write_message(json.dumps(message))
    heard = [await told(page)]
    while heard.count("hello") < 2:
        heard.append(await told(page))
    return page, heard


async def told(page: WebSocketClientConnection) -> str | None:
    """The next thing that a page is told; None once the server has gone."""
    message = await page.read_message()
    return None if message is None else json.loads(message)["command"]


def test_a_foreign_site_reads_nothing_whatever_name_it_gives_this_address(server: Served) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example"):
        status, text, _ = asked(server, "/", Host=f"{host}:{server.server_port}")
        assert (status, "One" in text) == (404, False), host
        socket = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec_WebSocket_Version": "13",
            "Sec_WebSocket_Key": "x",
        }
        assert asked(server, "/livereload", Origin=f"http://{host}", **socket)[0] == 403, host
    for host in ("127.0.0.1", "localhost"):
        assert "One" in asked(server, "/", Host=f"{host}:{server.server_port}")[1]


def test_each_rendering_has_every_open_page_load_again_also_one_right_after_another(folder: Path) -> None:
    async def follow() -> None:
        with followed(folder, 0) as server:
            pages = [(await opened(server, rendering(server)))[0] for _ in range(2)]
            for _ in range(3):
                server.rendered()
                for page in pages:
                    assert await told(page) == "reload"
        assert server.loop.is_closed()
        socket.create_server(("127.0.0.1", server.server_port)).close()  # free again
        assert [await told(page) for page in pages] == [None, None]
        assert not OpenPage.waiters

    asyncio.run(asyncio.wait_for(follow(), 60))


def test_a_page_of_another_rendering_loads_again_when_it_connects_and_one_of_the_newest_does_not(
    server: Served, folder: Path
) -> None:
    async def told_first(server: Served, rendering: int) -> list[str | None]:
        return (await asyncio.wait_for(opened(server, rendering), 60))[1]

    was_loading = rendering(server)
    server.rendered()
    newest = rendering(server)
    assert newest > was_loading
    assert "reload" in asyncio.run(told_first(server, was_loading))
    assert asyncio.run(told_first(server, newest)) == ["hello", "hello"]
    with followed(folder, 0) as started_again:
        assert "reload" in asyncio.run(told_first(started_again, newest))


def test_a_page_comes_with_the_script_and_is_not_shown_unasked_by_a_browser_that_kept_it(server: Served) -> None:
    for path in ("/", "/index.html", "/index.html?highlight=a"):
        assert "<p>One</p>" in (page := asked(server, path)[1])
        assert page.count("livereload.js") == 1
    for path in ("/", "/book.css", "/book.css?v=1", "/empty.css", "/livereload.js", "/missing.html"):
        assert asked(server, path)[2] == "no-cache"
    # One kept from before has an old rendering in it, or no script at all: the page comes whole.
    kept = {"If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT", "If_None_Match": "*"}
    for path in ("/index.html", "/book.css"):
        assert asked(server, path, **kept)[::2] == (200, "no-cache")


def test_what_is_new_is_served_also_within_the_second_and_with_the_same_size(server: Served, folder: Path) -> None:
    page = folder / "index.html"
    for text in ("One", "Two", "Six"):
        page.write_text(f"<html><head></head><p>{text}</p></html>")
        os.utime(page, (1, 1))
        assert f"<p>{text}</p>" in asked(server, "/")[1]


def test_other_files_come_as_they_are_and_none_from_outside(server: Served) -> None:
    assert asked(server, "/book.css")[:2] == (200, "p {}")
    assert asked(server, "/missing.html")[0] == 404
    assert asked(server, "/../secret.html")[0] in {403, 404}


def test_a_port_that_is_taken_or_is_none_is_named_with_what_to_do(server: Served, folder: Path) -> None:
    for port in (server.server_port, 70_000):
        with (
            pytest.raises(ValueError, match=rf"port {port} can't be had .*: name another with --port"),
            followed(folder, port),
        ):
            pass


def test_pages_are_for_this_machine_alone(server: Served) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.server_port))  # answers as well, were it listening everywhere


def test_nothing_is_said_of_a_request_nor_of_a_page_that_closes_just_then(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)  # as libraries that the watch imports leave it
    assert asked(server, "/missing.html")[0] == 404

    async def close_while_told() -> None:
        pages = [(await opened(server, rendering(server)))[0] for _ in range(2)]
        gone = asyncio.Event()
        here = asyncio.get_running_loop()

        def close_and_tell() -> None:  # on the server's loop, so that it can't hear of it before
            for page in pages:
                page_socket = page.protocol.stream.socket
                page_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(page_socket.detach())
            OpenPage.reload_all()
            OpenPage.reload_all()
            here.call_soon_threadsafe(gone.set)

        server.loop.call_soon_threadsafe(close_and_tell)
        await gone.wait()

    asyncio.run(asyncio.wait_for(close_while_told(), 60))
    while OpenPage.waiters:
        asked(server, "/")  # by then the loop has been round
    gc.collect()
    said = [record.getMessage() for record in caplog.records if record.name.startswith(("livereload", "tornado"))]
    assert not said


WATCH = """
import os, sys
from pathlib import Path
from jepascope.book.serving import followed
try:
    with followed(Path(sys.argv[1]), int(sys.argv[2])) as server:
        print(server.server_port, flush=True)
        if sys.stdin.readline():
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:-1], str(server.server_port)])
except KeyboardInterrupt:
    print("ended", flush=True)
"""


def test_a_process_that_starts_itself_again_finds_its_port_free_and_ends_at_ctrl_c_without_a_word(folder: Path) -> None:
    command = [sys.executable, "-c", WATCH, str(folder), "0"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        port = process.stdout.readline()

        async def page_over_a_restart() -> None:
            server: Any = SimpleNamespace(server_port=int(port))
            page, _ = await opened(server, rendering(server))
            process.stdin.write("again\n")
            process.stdin.flush()
            assert process.stdout.readline() == port
            assert await told(page) is None
            await opened(server, rendering(server))
            process.send_signal(signal.SIGINT)
            # Its input stays open until it has ended: closed, it would be another reason to end, perhaps the first.
            assert (process.stdout.read(), process.stderr.read()) == ("ended\n", "")

        asyncio.run(asyncio.wait_for(page_over_a_restart(), 120))
