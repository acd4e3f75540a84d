"""The how-to pages against the code: a page whose commands, files and names no longer exist is worse than none."""

import ast
import contextlib
import importlib.util
import inspect
import re
import shlex
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

from jepascope.analysis.inference.stats import Inference
from jepascope.book.notebooks import ChapterError, read_book, read_chapter
from jepascope.book.pages import glued_keys
from jepascope.cli import _parser
from jepascope.params import SECTIONS, Profile, check, project_root

ROOT = project_root()
PAGES = [pytest.param(path, id=path.stem) for path in sorted((ROOT / "book").glob("howto_*.md"))]
SPOKEN = [*PAGES, *(pytest.param(ROOT / name, id=name) for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
# What the pages tell the reader to make, and so isn't there yet.
NEW = {"lib/jepascope/analysis/error/gap_error.py", "lib/jepascope/pipeline/error/gaps.py", "book/16_gaps.md"}
NEW |= {"tests/analysis/test_gap_error.py"}
NEW |= {"params/meds.yaml", "params/waivers/mimic_iv.yaml"}
NEW_CHAPTERS = {"16": "15_certificates"}
NEW_ARMS = {"absolute": "ema"}
# Programs that aren't ours, whose flags we don't check.
OTHERS = {"git", "grep", "pip", "ruff", "papermill", "tensorboard", "sbatch", "squeue", "kubectl", "docker"}
KNOWN = next(set(action.choices) for action in _parser()._actions if action.choices)
FILE = re.compile(r"(?:lib|book|params|tests|profiles|bench|hooks)/[\w./-]+\.\w+")
NAMED = re.compile(r"((?:`\w+`(?:, | and )?)+) in `((?:lib|tests|profiles)/[^`]+)`")
PARAMETER = re.compile(rf"`({'|'.join(SECTIONS)})\.(\w+)`")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, however deep they are indented."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(body) for _, body in found]


def commands(text: str) -> list[list[str]]:
    """The commands of the blocks for a shell, and those in the prose that are whole."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines += [code for code in re.findall(r"`([^`\n]+)`", prose) if code.startswith("jepascope ")]
    whole = (line for line in lines if not re.search(r"[<…\[|]", line.partition("#")[0]))
    return [words for line in whole if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("page", SPOKEN)
def test_every_command_on_a_page_exists_with_its_flags(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for program, *words in commands(page.read_text()):
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets
        elif program.endswith("jepascope"):
            if len(words) == 1:  # spoken of, not typed
                assert words[0] in {*KNOWN, "--help"}
                continue
            given = [NEW_ARMS.get(word, NEW_CHAPTERS.get(word, word)) for word in words]
            with contextlib.redirect_stderr(sys.stdout):
                options = _parser().parse_args(given)
            if words[0] == "run" and options.chapter:
                read_book().find(options.chapter)
        elif program.endswith("python"):
            assert all((ROOT / word).is_file() for word in words if word.startswith("tests/"))
        else:
            assert program.removeprefix(".venv/bin/") in OTHERS, program


@pytest.mark.parametrize("page", SPOKEN)
def test_every_file_and_name_on_a_page_exists(page: Path) -> None:
    text = page.read_text()
    assert [name for name in FILE.findall(text) if name not in NEW and not (ROOT / name).is_file()] == []
    for names, file in NAMED.findall(text):
        source = (ROOT / file).read_text() if file not in NEW else text
        assert [name for name in re.findall(r"\w+", names) if name not in source] == [], file
    pages = {path.stem for path in (ROOT / "book").glob("*.md")}
    assert set(re.findall(r"\{doc\}`([\w/]+)`", text)) <= pages


@pytest.mark.parametrize("page", PAGES)
def test_every_parameter_on_a_page_exists(page: Path) -> None:
    text = page.read_text()
    for section, name in PARAMETER.findall(text):
        assert name in type(Profile.model_fields[section].default).model_fields, f"{section}.{name}"
    for block in blocks(text, "yaml"):
        given = yaml.safe_load(block)
        if isinstance(given, dict) and given.keys() <= set(Profile.model_fields):
            check({"profile": "mine", **given}, page.name)


def test_pages_say_what_for_what_is_seen_and_what_can_go_wrong() -> None:
    for path in (ROOT / "book").glob("howto_*.md"):
        text = path.read_text()
        assert "Goal:" in text or path.stem == "howto_concept", path.name
        if path.stem not in ("howto_concept", "howto_cards"):
            assert re.search("^## (What can go wrong|When something fails)$", text, re.MULTILINE), path.name


def test_the_commands_and_the_names_of_a_page_are_found() -> None:
    """The readers above see what is there: a page of nothing would pass them all."""
    text = (ROOT / "book" / "howto_label.md").read_text()
    assert ["jepascope", "run", "04", "--profile", "ci"] in commands(text)
    assert ("`QUESTIONS`", "lib/jepascope/cohort/questions.py") in NAMED.findall(text)
    assert NAMED.findall("`ONE` and `OTHER` in `lib/a/b.py`") == [("`ONE` and `OTHER`", "lib/a/b.py")]
    assert ("prediction", "tasks") in PARAMETER.findall(text)
    assert len(blocks(text, "sql")) == 2
    with pytest.raises(SystemExit):
        _parser().parse_args(["run", "--seedz", "0-4"])


def test_the_changelog_has_the_version_that_the_package_has() -> None:
    versions = re.findall(r"^## \[([^\]]+)\](?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert versions[1] == (str(cited["version"]), str(cited["date-released"]))


CHAPTER = (ROOT / "book" / "howto_chapter.md").read_text()


def shown_chapter() -> str:
    """The whole chapter that the page shows, indented by four spaces."""
    [block] = re.findall(r"^    ---\n(?:    .*\n|\n)+", CHAPTER, re.MULTILINE)
    return textwrap.dedent(block)


def test_the_chapter_on_the_page_is_a_chapter_and_the_page_is_none(tmp_path: Path) -> None:
    path = tmp_path / "16_gaps.md"
    path.write_text(shown_chapter())
    chapter = read_chapter(path)
    assert chapter.per_seed
    assert set(chapter.reads) <= {other.name for other in read_book().chapters}
    [claim] = re.findall(r'Claim\("(\w+)"', chapter.code)
    assert glued_keys(chapter.text) == {claim, f"{claim}_estimate_interval"}
    assert not [node for node in ast.walk(ast.parse(chapter.code)) if isinstance(node, ast.FunctionDef | ast.Lambda)]
    with pytest.raises(ChapterError, match="names 0 chapters"):
        read_book().find("howto_chapter")


def module(name: str, source: str) -> ModuleType:
    """A module of a page's code, as if its file were there."""
    made = ModuleType(name)
    exec(compile(source, name, "exec"), made.__dict__)
    return made


def test_the_statistic_on_the_page_finds_a_planted_dependence_and_none_in_none() -> None:
    statistic, loader = blocks(CHAPTER, "python")[:2]
    found = module("gap_error", statistic)
    rng = np.random.default_rng(0)
    patients, gap = np.repeat(np.arange(150), 4), rng.lognormal(4, 1, 600)
    longer = rng.normal(size=(600, 8)) * np.log1p(gap)[:, None]
    how = Inference(bootstrap=200, permutations=200)
    planted = found.error_by_gap(longer, gap, patients, how, np.random.default_rng(1))
    null = found.error_by_gap_null(longer, gap, patients, how, np.random.default_rng(1))
    assert planted.low > null.high
    assert abs(null.value) < 0.1
    nothing = found.error_by_gap(rng.normal(size=(600, 8)), gap, patients, how, np.random.default_rng(1))
    assert nothing.low < 0 < nothing.high
    assert inspect.isfunction(module("gaps", loader).load_gaps)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_imports_exists(page: Path) -> None:
    text = page.read_text()
    coded = [*blocks(text, "python"), *([shown_chapter()] if page.stem == "howto_chapter" else [])]
    made = {name.removesuffix(".py").replace("/", ".").removeprefix("lib.") for name in NEW}
    for name, imported in re.findall(r"^from (jepascope[\w.]*) import ([\w, ]+)$", "\n".join(coded), re.MULTILINE):
        if name not in made:
            assert importlib.util.find_spec(name) is not None, name
            there = importlib.import_module(name)
            for one in imported.split(", "):
                whole = f"{name}.{one}"
                assert hasattr(there, one) or importlib.util.find_spec(whole) is not None, whole
