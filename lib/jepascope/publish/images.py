"""PNG taken apart: what it may hold is a picture, and nothing beside it or after it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT = (b"tEXt", b"zTXt", b"iTXt", b"eXIf")
PICTURE = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"pHYs")


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk up to IEND. Raises ValueError where the file is not a whole PNG."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if len(content) < length:
            raise ValueError("a chunk is cut short")
        yield kind, content
        place += 12 + length
        if kind == b"IEND":
            if place != len(data):
                raise ValueError("data after the end of the picture")
            return
    raise ValueError("the picture has no end")


def text_chunks(data: bytes) -> list[tuple[str, str]]:
    """List the words that a PNG carries beside its picture, as (chunk, text), decompressed; none of a broken one."""
    found = []
    try:
        for kind, content in chunks(data):
            if kind in TEXT:
                found.append((f"PNG {kind.decode()} chunk", _words(kind, content)))
    except ValueError:
        pass  # `faults` says so
    return found


def faults(data: bytes) -> list[str]:
    """Say what a PNG holds that is no picture: an unknown chunk, data after its end, a wrong beginning."""
    if not data.startswith(SIGNATURE):
        return ["not a PNG, whatever its name"]
    try:
        kinds = [kind for kind, _ in chunks(data)]
    except ValueError as error:
        return [str(error)]
    return sorted({"a chunk that is no part of a picture" for kind in kinds if kind not in (*PICTURE, *TEXT)})


def _words(kind: bytes, content: bytes) -> str:
    words = [content]
    for start in range(len(content)):
        # zTXt and iTXt hold a zlib stream somewhere after their keyword
        if kind in (b"zTXt", b"iTXt") and content[start : start + 1] == b"x":
            try:
                words.append(zlib.decompress(content[start:]))
                break
            except zlib.error:
                continue
    return b" ".join(words).decode("utf-8", "replace")
