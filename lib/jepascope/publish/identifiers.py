"""Rule 4: no identifier of a person, a stay, a user or a machine, however it is spelt; rule 2's tracebacks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jepascope.publish.alarms import Alarm, alarm
from jepascope.publish.counts import ID_KEY, SHIFTED
from jepascope.publish.documents import Document
from jepascope.publish.id_filter import IdFilter
from jepascope.publish.markup import Part
from jepascope.publish.spellings import decoded, spellings
from jepascope.publish.tree import DISCLOSURE, Tree

# subject_id 1…, hadm_id 2…, stay_id 3…: eight digits each in MIMIC-IV. Within a hash or a decimal it is no number.
IN_RANGE = re.compile(r"(?<![A-Za-z0-9.])(?!\d{3}0{5})[123]\d{7}(?![A-Za-z0-9]|\.\d|,\d{3}(?!\d))")
ID_NAME = re.compile(
    r"(?<![A-Za-z])(?:subject|hadm|stay|patient|admission|encounter|transfer)[_ ]?ids?(?![A-Za-z])", re.IGNORECASE
)
WORD = re.compile(r"\w*\d{5}\w*")
HASH = re.compile(r"(?=\d*[a-f])[0-9a-f]{10,}")  # of which pages have many, and whose digits are no number
GROUPED = re.compile(r"(?<!\d)\d{1,3}(?:[,.'’_ \u00a0\u202f]\d{3})+(?!\d)")
SEPARATORS = str.maketrans("", "", ",.'’_ \u00a0\u202f")
PATH = re.compile(
    r"(?<![\w.:/<…-])/(?:home|Users|root|mnt|media|tmp|work|workspace|opt|scratch|srv|private|data\d*|gpfs|lustre|nfs)"
    r"/[\w.@-]+|\bfile:///\w|\b[A-Za-z]:\\{1,2}(?:Users|Documents|data)\\|\\\\\w+\\\w+\$?\\"
)
TRACEBACK = re.compile(r"Traceback \(most recent call last\)|^-{60,}\n\w+(?:Error|Exception)\s", re.MULTILINE)


def in_range(tree: Tree) -> Iterator[Alarm]:
    """A number in MIMIC-IV's id ranges, in a file that also says what it is: an id's name, or a shifted date."""
    for document in tree.documents:
        found, told = [], False
        for part in document.parts:
            for text in spellings(part.text):
                found += [(part, match.start()) for match in IN_RANGE.finditer(text)]
                told = told or bool(ID_NAME.search(text) or SHIFTED.search(text))
        if told:
            for part, offset in found:
                yield _at(document, part, offset, "identifier", "a number in an identifier's range")
        if found and ID_NAME.search(document.file):
            yield alarm(document.file, "file name", "identifier", "an identifier's name")


def named_columns(tree: Tree) -> Iterator[Alarm]:
    """Data keyed by an identifier: a key of JSON, the title of a column, a first line of separated values, data-*."""
    for document in tree.documents:
        sidecar = document.file.startswith(DISCLOSURE)
        for part in document.parts:
            text = decoded(part.text).strip()
            first = part.line <= 1 and document.suffix in ("", ".txt", ".csv", ".md") and re.split(r"[,;\t]", text)[0]
            key = part.kind in ("key", "header") and not sidecar
            data = part.kind == "attribute" and re.search(r"data-(?:subject|hadm|stay)", part.where)
            if (key and ID_KEY.fullmatch(text)) or (first and ID_KEY.fullmatch(first.strip())) or data:
                yield _at(document, part, 0, "identifier", "data under an identifier's name")


def shifted_dates(tree: Tree) -> Iterator[Alarm]:
    """A full date of MIMIC-IV's shifted years: of a credentialed book, a row of somebody's record."""
    if not tree.credentialed:
        return
    for document in tree.documents:
        for part in document.parts:
            match = next((m for text in spellings(part.text) if (m := SHIFTED.search(text))), None)
            if match:
                yield _at(document, part, match.start(), "identifier", "a shifted date")


def real_ids(tree: Tree) -> Iterator[Alarm]:
    """A number that is an identifier of this very cohort. Without the filter, a credentialed book isn't checked."""
    if tree.ids is None:
        if tree.credentialed:
            yield alarm(".", "whole tree", "real id", "no filter of the real identifiers: the exact check can't run")
        return
    for document in tree.documents:
        if find_id(tree.ids, document.file) is not None:
            yield alarm(document.file, "file name", "real id", "an identifier of the cohort")
        for part in document.parts:
            for text in spellings(part.text):
                if (offset := find_id(tree.ids, text)) is not None:
                    yield _at(document, part, offset, "real id", "an identifier of the cohort")


def find_id(ids: IdFilter, text: str) -> int | None:
    """Find where a text spells an identifier: plain, within a word, or with its thousands told apart."""
    words = (match for match in WORD.finditer(text) if not HASH.fullmatch(match[0]))
    plain = ((word.start(), digits) for word in words for digits in re.findall(r"\d+", word[0]))
    grouped = ((match.start(), match[0].translate(SEPARATORS)) for match in GROUPED.finditer(text))
    shortest, longest = ids.digits
    for start, digits in (*plain, *grouped):
        if shortest <= len(digits.lstrip("0")) <= longest and ids.holds(int(digits)):
            return start
    return None


def paths(tree: Tree) -> Iterator[Alarm]:
    """A path of the machine on which the book was made."""
    yield from _searched(tree, PATH, "path", "an absolute path")


def user_names(tree: Tree) -> Iterator[Alarm]:
    """The name of whoever made the book, or of their machine, as a word."""
    if tree.names:
        words = "|".join(map(re.escape, tree.names))
        pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{words})(?![A-Za-z0-9])", re.IGNORECASE)
        yield from _searched(tree, pattern, "user name", "a user's or a machine's name")


def tracebacks(tree: Tree) -> Iterator[Alarm]:
    """An error output: it prints what the failing line had in its hand."""
    for document in tree.documents:
        errors = {part.where.partition(".")[0] for part in document.parts if part.kind == "error"}
        for where in sorted(errors):
            yield alarm(document.file, where, "traceback", "an error output")
    yield from _searched(tree, TRACEBACK, "traceback", "an error output")


def _searched(tree: Tree, pattern: re.Pattern[str], rule: str, reason: str) -> Iterator[Alarm]:
    for document in tree.documents:
        for part in document.parts:
            match = next((m for text in spellings(part.text) if (m := pattern.search(text))), None)
            if match:
                yield _at(document, part, match.start(), rule, reason)
        if pattern.search("/" + document.file):
            yield alarm(document.file, "file name", rule, reason)


def _at(document: Document, part: Part, offset: int, rule: str, reason: str) -> Alarm:
    place = ", ".join(word for word in (document.where, part.place(offset)) if word)
    return alarm(document.file, place, rule, reason)
