"""Fetch the open MIMIC-IV demo from PhysioNet: a hundred real patients, to see the whole book run on real tables.

Nothing is trusted that isn't the published file: the list of checksums is known by its own, pinned here.
"""

from __future__ import annotations

import http.client
import shutil
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from jepascope.cohort.releases import named
from jepascope.progress import with_bar
from jepascope.store import atomic, sha256

# MIMIC-IV Clinical Database Demo 2.2, doi:10.13026/dp1f-ex47, Open Database License.
DEMO_URL = "https://physionet.org/files/mimic-iv-demo/2.2/"
SUMS = "SHA256SUMS.txt"
SUMS_SHA256 = "19dfd55fac45035ba8e9f4c7e59180ee5184e877504f098e517a434d2646366a"
WANTED = ("LICENSE.txt", "README.txt", *(f"{table}.csv.gz" for table in named("demo-2.2").rows))

TRIES = 3
TIMEOUT = 60.0  # seconds without a byte
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that another try may mend
NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class FetchError(RuntimeError):
    """The demo couldn't be fetched; the message names the file and the mend."""


class Fetched(NamedTuple):
    """Which files came over the network, and which were there already."""

    fetched: list[str]
    kept: list[str]


def fetch_demo(out: Path, base_url: str = DEMO_URL, sums_sha256: str = SUMS_SHA256, pause: float = 2.0) -> Fetched:
    """Download the tables we read, each verified, so that the same command continues after any interruption.

    A file appears under its name only whole and verified. One that is there already is kept when it is the published
    one, and never overwritten when it isn't: `out` may be the wrong folder.

    Args: out: folder that will hold hosp/ and icu/; base_url, sums_sha256: for a mirror; pause: seconds before the
    second try, doubled before the third.
    Raises FetchError when the server can't be reached in three tries, lacks a file, or sends another than the published
    one, and when `out` holds another file under one of the names.
    """
    kept = [SUMS] if _place(out / SUMS, base_url + SUMS, sums_sha256, pause) else []
    sums = _read_sums(out / SUMS)
    if missing := [name for name in WANTED if name not in sums]:
        raise FetchError(f"{base_url}{SUMS} doesn't list {', '.join(missing)}: it is not that of the demo 2.2")
    kept += [
        name
        for name in with_bar(WANTED, "MIMIC-IV demo", len(WANTED))
        if _place(out / name, base_url + name, sums[name], pause)
    ]
    return Fetched([name for name in (SUMS, *WANTED) if name not in kept], kept)


def _place(path: Path, url: str, digest: str, pause: float) -> bool:
    """Put the verified file at `path`; True when it was there."""
    if path.exists():
        if not path.is_file() or sha256(path) != digest:
            raise FetchError(f"{path} is there and not the published file: move it away, or choose another folder")
        return True
    with atomic(path) as temporary:
        _download(temporary, url, pause)
        if (found := sha256(temporary)) != digest:
            raise FetchError(
                f"{url}: sha256 {found[:12]}… instead of {digest[:12]}…, so it is not the published file. Run the "
                f"command again; if it stays so, a proxy altered it or the server's file has changed"
            )
    return False


def _download(path: Path, url: str, pause: float) -> None:
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            received, announced = _transfer(path, url)
        except urllib.error.HTTPError as error:
            if error.code not in PASSING:
                raise FetchError(f"{url}: the server answers {error.code} {error.reason}; check the address") from None
            reason = f"the server answers {error.code} {error.reason}"
        except NETWORK_ERRORS as error:
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        else:
            if announced is None or received == announced:
                return
            reason = f"the transfer stopped after {received:,} of {announced:,} bytes"
    raise FetchError(
        f"{url}: {reason} ({TRIES} tries). Check the network and run the command again: it keeps the files that came"
    )


def _transfer(path: Path, url: str) -> tuple[int, int | None]:
    """Receive once; return the bytes received and those announced. A connection that closes early raises nothing."""
    request = urllib.request.Request(url, headers={"User-Agent": "jepascope"})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response, path.open("wb") as file:
        shutil.copyfileobj(response, file)
        length = response.headers.get("Content-Length")
        return file.tell(), None if length is None else int(length)


def _read_sums(path: Path) -> dict[str, str]:
    """Read `sha256sum`'s lines, "<digest> <name>", into name -> digest."""
    pairs = (line.split(maxsplit=1) for line in path.read_text().splitlines() if line.strip())
    return {name.lstrip("*"): digest for digest, name in pairs}
