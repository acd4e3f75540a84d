"""Progress bars: drawn where the runner's terminal is, never on the page."""

from pathlib import Path

import pytest

from jepascope.progress import TERMINAL, with_bar


def test_items_pass_through_and_the_bar_goes_to_the_named_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    terminal = tmp_path / "terminal"
    monkeypatch.setenv(TERMINAL, str(terminal))
    assert list(with_bar(range(2, 5), "steps", total=5, initial=2)) == [2, 3, 4]
    assert "steps: 100%" in terminal.read_text()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("terminal", ["/nowhere/terminal", "/dev/full"])
def test_a_terminal_that_is_gone_costs_the_bar_and_never_the_work(
    terminal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TERMINAL, terminal)
    assert list(with_bar(range(3), "steps")) == [0, 1, 2]
