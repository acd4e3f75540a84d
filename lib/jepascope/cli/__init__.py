"""The command line: `jepascope --help` lists the commands. One module a group; each adds its own to the parser."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from jepascope.cli import editing, pages, publishing, records, review, running, verdicts

GROUPS = (running, editing, pages, verdicts, publishing, records, review)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, and turn the errors a user can mend into one message and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.action(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)  # what shells expect of a command that Ctrl-C ended; a trace of where helps nobody
    except BrokenPipeError:  # whoever read our output has seen enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"jepascope: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jepascope", description="Run, render and inspect the book.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for group in GROUPS:
        group.add(commands)
    return parser
