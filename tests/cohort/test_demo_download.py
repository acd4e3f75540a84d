from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from jepascope.cohort.demo import SUMS, SUMS_SHA256, WANTED, FetchError, fetch_demo
from jepascope.cohort.schema import TABLES
from jepascope.store import sha256

LABS = "hosp/labevents.csv.gz"


class Reply(NamedTuple):
    body: bytes
    status: int = 200
    missing_bytes: int = 0  # announced and never sent


class Server(NamedTuple):
    """A demo on this machine. `replies` are given before the real file, one a request; `asked` counts the requests."""

    url: str
    files: dict[str, bytes]
    replies: dict[str, list[Reply]]
    asked: Counter

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.files[SUMS]).hexdigest()


def handler(files: dict[str, bytes], replies: dict[str, list[Reply]], asked: Counter) -> type:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/demo/")
            asked[name] += 1
            waiting = replies.get(name)
            reply = waiting.pop(0) if waiting else Reply(files[name]) if name in files else Reply(b"", 404)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body) + reply.missing_bytes))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, bytes]], Server]]:
    monkeypatch.setenv("no_proxy", "*")
    running = []

    def start(files: dict[str, bytes]) -> Server:
        replies: dict[str, list[Reply]] = {}
        asked: Counter = Counter()
        running.append(ThreadingHTTPServer(("127.0.0.1", 0), handler(files, replies, asked)))
        Thread(target=running[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return Server(f"http://127.0.0.1:{running[-1].server_port}/demo/", files, replies, asked)

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(serve) -> Server:
    files = {name: f"the content of {name}\n".encode() * 50 for name in WANTED}
    listed = files | {"icu/chartevents.csv.gz": b"unwanted"}
    lines = [f"{hashlib.sha256(body).hexdigest()} {name}\n" for name, body in listed.items()]
    return serve(listed | {SUMS: "".join(lines).encode()})


def fetch(server: Server, out: Path):
    return fetch_demo(out, server.url, server.digest, pause=0)


def contents(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*") if file.is_file()}


def test_the_tables_the_licence_and_the_checksums_arrive_and_nothing_else(server, tmp_path):
    result = fetch(server, tmp_path / "demo")
    assert contents(tmp_path / "demo") == {name: server.files[name] for name in (SUMS, *WANTED)}
    assert result == ([SUMS, *WANTED], [])
    assert set(server.asked.values()) == {1}
    assert {
        "LICENSE.txt",
        "README.txt",
        *(f"{table}.csv.gz" for table in TABLES if table != "hosp/other_events"),
    } == set(WANTED)


def test_fetching_again_asks_for_nothing(server, tmp_path):
    fetch(server, tmp_path)
    server.asked.clear()
    assert fetch(server, tmp_path) == ([], [SUMS, *WANTED])
    assert not server.asked


def test_an_interrupted_download_continues_where_it_stopped(server, tmp_path):
    server.replies[LABS] = [Reply(b"", 403)]
    with pytest.raises(FetchError):
        fetch(server, tmp_path)
    arrived = set(contents(tmp_path))
    assert SUMS in arrived
    assert LABS not in arrived
    server.asked.clear()
    assert set(fetch(server, tmp_path).kept) == arrived
    assert set(server.asked) == set(WANTED) - arrived


def test_a_corrupted_file_is_refused_by_name_and_not_kept(server, tmp_path):
    body = bytearray(server.files[LABS])
    body[17] ^= 1
    server.files[LABS] = bytes(body)
    with pytest.raises(FetchError, match=f"{LABS}: sha256 .* Run the command again"):
        fetch(server, tmp_path)
    assert LABS not in contents(tmp_path)
    assert not [name for name in contents(tmp_path) if name.endswith(".tmp")]


def test_another_list_of_checksums_than_the_pinned_one_is_refused_before_any_file(server, tmp_path):
    server.files[SUMS] += b"\n"
    with pytest.raises(FetchError, match=f"{SUMS}: sha256"):
        fetch_demo(tmp_path, server.url, "0" * 64, pause=0)
    assert set(server.asked) == {SUMS}
    assert contents(tmp_path) == {}


def test_a_file_that_the_server_lacks_is_named_and_not_asked_for_again(server, tmp_path):
    del server.files[LABS]
    with pytest.raises(FetchError, match=f"{LABS}: the server answers 404"):
        fetch(server, tmp_path)
    assert server.asked[LABS] == 1


def test_a_list_that_does_not_name_a_table_is_not_the_demos(server, tmp_path):
    kept = [line for line in server.files[SUMS].splitlines(keepends=True) if LABS.encode() not in line]
    server.files[SUMS] = b"".join(kept)
    with pytest.raises(FetchError, match=f"doesn't list {LABS}"):
        fetch(server, tmp_path)


def test_a_server_that_fails_once_is_asked_again(server, tmp_path):
    server.replies[LABS] = [Reply(b"busy", 503)]
    server.replies[SUMS] = [Reply(server.files[SUMS][:20], 200, missing_bytes=99)]
    fetch(server, tmp_path)
    assert (tmp_path / LABS).read_bytes() == server.files[LABS]
    assert server.asked[LABS] == server.asked[SUMS] == 2


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(b"the first half", missing_bytes=1000), "stopped after 14 of 1,014 bytes"),
        (Reply(b"busy", 503), "answers 503 Service Unavailable"),
    ],
)
def test_a_server_that_fails_three_times_is_given_up(server, tmp_path, reply, words):
    server.replies[LABS] = [reply] * 4
    with pytest.raises(FetchError, match=rf"{LABS}: .*{words} \(3 tries\)\. Check the network"):
        fetch(server, tmp_path)
    assert server.asked[LABS] == 3
    assert LABS not in contents(tmp_path)


def test_a_server_that_is_not_there_is_a_message_with_the_address(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(FetchError, match=r"http://127.0.0.1:1/SHA256SUMS.txt: .*refused.* \(3 tries\)"):
        fetch_demo(tmp_path, "http://127.0.0.1:1/", pause=0)


def test_a_file_that_is_not_the_published_one_is_never_overwritten(server, tmp_path):
    (tmp_path / "hosp").mkdir()
    (tmp_path / LABS).write_bytes(b"records of somebody")
    with pytest.raises(FetchError, match="move it away, or choose another folder"):
        fetch(server, tmp_path)
    assert (tmp_path / LABS).read_bytes() == b"records of somebody"
    assert server.asked[LABS] == 0


@pytest.mark.demo
def test_the_published_demo_is_the_one_that_is_pinned(serve, demo: Path, tmp_path):
    server = serve({name: (demo / name).read_bytes() for name in (SUMS, *WANTED)})
    assert fetch_demo(tmp_path, server.url, pause=0).fetched == [SUMS, *WANTED]
    assert sha256(tmp_path / SUMS) == SUMS_SHA256
