"""What command lines share: seeds and whole numbers, read or refused with what to write instead."""

import argparse

import pytest

from jepascope.book import standing
from jepascope.cli import main
from jepascope.cli.arguments import at_least, extraction_of, seeds_of
from jepascope.params import load_profile


def test_seeds_are_read_as_ranges_and_lists_each_once() -> None:
    assert seeds_of("0-4") == [0, 1, 2, 3, 4]
    assert seeds_of("7, 0,3-4,4") == [0, 3, 4, 7]


@pytest.mark.parametrize("text", ["", "4-2", "0,4-2", "-1", "1-2-3", "all", "0-", "0,"])
def test_what_names_no_seed_is_refused_with_how_to_write_them(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write them as 0-4 or 0,3"):
        seeds_of(text)


def test_a_number_that_is_too_small_or_none_is_refused() -> None:
    assert at_least(0)("0") == 0
    for text in ("-1", "0", "two", "1.5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="not a whole number from 1 on"):
            at_least(1)(text)


@pytest.mark.parametrize(
    "command",
    [["run", "05", "--seed", "-1"], ["run", "--jobs", "0"], ["times", "--seeds", "0"], ["edit", "08", "--seed", "-1"]],
)
def test_a_number_that_no_command_can_use_is_answered_before_anything_is_done(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert "is not a whole number from" in capsys.readouterr().err


def test_ctrl_c_ends_a_command_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jepascope.book.run.run_all", interrupted)
    with pytest.raises(SystemExit, match="130"):
        main(["run", "--profile", "ci"])


def test_where_to_run_is_for_the_whole_book(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="--on is for the whole book"):
        main(["run", "05", "--seed", "0", "--profile", "ci", "--on", "slurm"])


def test_an_extraction_counts_as_up_to_date_when_its_prose_alone_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "is_current", lambda *_: False)
    monkeypatch.setattr(standing, "is_computed", lambda *_: True)
    assert extraction_of(load_profile("ci")).parts[-3:] == ("ci", "all", "01_extraction")
    monkeypatch.setattr(standing, "is_computed", lambda *_: False)
    with pytest.raises(RuntimeError, match="`jepascope run 01 --profile ci` first"):
        extraction_of(load_profile("ci"))
