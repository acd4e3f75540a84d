"""The ways in which one text can be written, undone: a scanner that reads only the plain one guards nothing."""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

INVISIBLE = dict.fromkeys([0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
ESCAPE = re.compile(r"\\u\{?([0-9a-fA-F]{4})\}?|\\x([0-9a-fA-F]{2})")
ENCODED = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/]{11,}={0,2}")
DATA_URI = re.compile(r"data:([\w./+-]*)(?:;[\w=.-]+)*;base64,([A-Za-z0-9+/=\s]+)")
DEPTH = 3  # an entity within a URL within an entity


def spellings(text: str) -> Iterator[str]:
    """Yield the text as it stands, then as a reader or a browser would see it, then what base64 words in it say."""
    yield text
    plain = decoded(text)
    if plain != text:
        yield plain
    hidden = " ".join(_readable(word) for word in ENCODED.findall(plain))
    if hidden.strip():
        yield hidden


def decoded(text: str) -> str:
    """Undo entities, URL and JavaScript escapes, full-width forms and invisible characters, until nothing moves."""
    for _ in range(DEPTH):
        plain = html.unescape(text) if "&" in text else text
        plain = unquote(plain) if "%" in plain else plain
        plain = ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), plain) if "\\" in plain else plain
        if not plain.isascii():
            plain = unicodedata.normalize("NFKC", plain).translate(INVISIBLE)
        if plain == text:
            break
        text = plain
    return text


def embedded(text: str) -> tuple[str, list[tuple[int, bytes]]]:
    """Take the files out that a text carries as data URIs.

    Returns the text without them, and (offset in the text given, content) of each; one that can't be decoded stays.
    """
    found: list[tuple[int, bytes]] = []

    def take(match: re.Match[str]) -> str:
        try:
            found.append((match.start(), base64.b64decode(match[2], validate=False)))
        except binascii.Error:
            return match[0]
        return "data:"

    return (DATA_URI.sub(take, text), found) if "base64," in text else (text, found)


def _readable(word: str) -> str:
    try:
        text = base64.b64decode(word + "=" * (-len(word) % 4)).decode("ascii")
    except ValueError:  # binascii's and unicode's errors are both
        return ""
    return text if text.isprintable() and any(c.isdigit() for c in text) else ""
