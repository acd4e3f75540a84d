"""Commands about rendered pages: to make them, to look at them, to print them."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from pathlib import Path
from typing import Any

from jepascope.cli.arguments import seeds_of
from jepascope.params import load_profile, project_root


def add(commands: Any) -> None:
    """`build`, `serve`, `pdf`."""
    build = commands.add_parser("build", help="render the executed chapters to _build/html")
    build.add_argument("--profile", default="synthetic")
    build.add_argument("--seeds", type=seeds_of)
    build.set_defaults(action=_build)

    serve = commands.add_parser("serve", help="serve _build/html on this machine only")
    serve.add_argument("--port", type=int, default=8000)
    serve.set_defaults(action=_serve)

    pdf = commands.add_parser("pdf", help="print the pages of _build/html as one PDF (needs Chromium)")
    pdf.add_argument("--profile", help="refuse unless the pages are of this profile")
    pdf.add_argument("--out", type=Path, default=Path("_build/book.pdf"))
    pdf.set_defaults(action=_pdf)


def _build(options: argparse.Namespace) -> None:
    from jepascope.book.build import build

    for page in build(options.profile, options.seeds or load_profile(options.profile).seeds):
        print(f"out of date: {page} (`jepascope run --profile {options.profile}` renews it)", file=sys.stderr)


def _serve(options: argparse.Namespace) -> None:
    from jepascope.book.serving import followed

    with contextlib.suppress(KeyboardInterrupt), followed(_pages(), options.port) as server:
        print(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C stops)", flush=True)
        threading.Event().wait()


def _pdf(options: argparse.Namespace) -> None:
    from jepascope.book.pdf import make_pdf

    out = project_root() / options.out
    chapters = make_pdf(_pages(), out, options.profile)
    print(f"{options.out}: {chapters} pages of the book, {out.stat().st_size / 1e6:.1f} MB")


def _pages() -> Path:
    folder = project_root() / "_build" / "html"
    if not (folder / "index.html").exists():
        raise FileNotFoundError(f"{folder} holds no book yet: `make book` builds it")
    return folder
