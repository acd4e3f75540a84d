"""Corpus, first half: stamps and identifiers (rules 1, 2 and 4), however they are spelt."""

from __future__ import annotations

import base64
import json
import zlib

from jepascope.publish import cells, identifiers, stamped
from tests.publish.planting import Leak, book, edited, page, rows, text
from tests.publish.trees import RARE, STAY, SUBJECT, TITLES, chunk, figure, png, shown, write_page

# Spelt in two, so that this file doesn't hold what it plants.
HOME = "/ho" + "me/mmueller/records"
ERROR = "Traceback (most " + "recent call last):\n  File x\nKeyError: 3"
RANGE, REAL = identifiers.in_range, identifiers.real_ids
FAILED = {"output_type": "error", "ename": "KeyError", "evalue": "3", "traceback": ["a line", "another"]}
LOGGED = {"output_type": "stream", "name": "stdout", "text": [f"read hadm_id {STAY}\n"]}
E64 = base64.b64encode(f"stay_id={STAY}".encode()).decode()
ESCAPED = "".join(f"&#{ord(c)};" for c in str(SUBJECT))
QUOTED = "".join(f"%{ord(c):02x}" for c in str(SUBJECT))
WIDE = "".join(chr(ord(c) + 0xFEE0) for c in str(SUBJECT))
UNICODE = "".join(f"\\u{ord(c):04x}" for c in str(SUBJECT))
BOTH = (RANGE, REAL)

IDENTITY = (
    # Rule 1: the stamp.
    Leak(
        "no_tier",
        lambda f: write_page(f, "credentialed", "", "other", "no banner"),
        (stamped.banner,),
        "other.html",
        "page",
    ),
    Leak(
        "unstamped_notebook",
        edited("_sources/index.ipynb", "data tier", "tier"),
        (stamped.tier, cells.sidecars),
        "_sources/index.ipynb",
        "notebook|cell",
    ),
    Leak("mixed_tiers", lambda f: write_page(f, "synthetic", "", "other"), (stamped.tier,), "other.html", "whole file"),
    Leak(
        "unknown_tier",
        lambda f: edited("index.html", "<td>credentialed", "<td>open")(f),
        (stamped.tier, cells.sidecars),
        "index.html",
        "file|table",
    ),
    # Rule 2 and 4: identifiers, wherever they hide and however they are spelt.
    Leak(
        "id_in_a_cell",
        rows((f"patient id {SUBJECT}", "45", "120", "0.250")),
        BOTH,
        "other.html",
        r"line \d",
        str(SUBJECT),
    ),
    Leak(
        "id_in_alt_text",
        page(figure(png(), alt=f"path of subject_id {SUBJECT}")),
        BOTH,
        "other.html",
        "<img alt>",
        str(SUBJECT),
    ),
    Leak("id_in_a_comment", page(f"<!-- hadm_id {STAY} -->"), BOTH, "other.html", "comment", str(STAY)),
    Leak(
        "id_in_a_data_attribute",
        page(f'<p data-subject-id="{SUBJECT}">x</p>'),
        (REAL, identifiers.named_columns),
        "other.html",
        "data-subject-id",
        str(SUBJECT),
    ),
    Leak(
        "id_in_a_png_chunk",
        text("_static/a.png", png(chunk(b"tEXt", f"Title\0subject_id {SUBJECT}".encode()))),
        (*BOTH, cells.sidecars),
        "_static/a.png",
        "tEXt|whole",
        str(SUBJECT),
    ),
    Leak(
        "id_in_a_compressed_png_chunk",
        text("_static/a.png", png(chunk(b"zTXt", b"Title\0\0" + zlib.compress(f"subject_id {SUBJECT}".encode())))),
        (*BOTH, cells.sidecars),
        "_static/a.png",
        "zTXt|whole",
        str(SUBJECT),
    ),
    Leak(
        "id_in_a_picture_in_a_page",
        page(figure(png(chunk(b"iTXt", f"Title\0\0\0\0\0stay_id {STAY}".encode())))),
        BOTH,
        "other.html",
        "data URI",
        str(STAY),
    ),
    Leak(
        "id_in_a_notebook_output",
        book(shown(f"<p>subject_id {SUBJECT}</p>")),
        BOTH,
        "_sources/other.ipynb",
        "cell 0, output 0",
        str(SUBJECT),
    ),
    Leak("id_in_a_log", book(LOGGED), BOTH, "_sources/other.ipynb", "cell 0, output 0", str(STAY)),
    Leak(
        "id_in_papermill_parameters",
        book(source=f"hadm_id = {STAY}"),
        BOTH,
        "_sources/other.ipynb",
        "cell 0",
        str(STAY),
    ),
    Leak(
        "id_in_notebook_metadata",
        book(metadata={"papermill": {"parameters": {"hadm_id_": STAY}}}),
        BOTH,
        "_sources/other.ipynb",
        "metadata",
        str(STAY),
    ),
    Leak(
        "id_in_svg_metadata",
        text("_images/a.svg", f"<svg><metadata>stay_id {STAY}</metadata></svg>"),
        BOTH,
        "_images/a.svg",
        "<metadata>",
        str(STAY),
    ),
    Leak(
        "id_in_an_svg_path",
        text("_images/a.svg", f'<svg><path id="subject_id_{SUBJECT}" d="M0 0"/></svg>'),
        BOTH,
        "_images/a.svg",
        "<path id>",
        str(SUBJECT),
    ),
    Leak(
        "id_in_the_search_index",
        edited("searchindex.js", '"44"', f'"{SUBJECT}"'),
        BOTH,
        "searchindex.js",
        "line 1",
        str(SUBJECT),
    ),
    Leak(
        "id_in_a_source",
        text("_sources/other.md", f"# Notes\n\nadmitted 2150-03-01: {STAY}\n"),
        (*BOTH, identifiers.shifted_dates),
        "_sources/other.md",
        "line 3",
        str(STAY),
    ),
    Leak(
        "id_in_a_script",
        text("_static/own.js", f"const subject_id = '{UNICODE}';"),
        BOTH,
        "_static/own.js",
        "line 1",
        str(SUBJECT),
    ),
    Leak(
        "id_in_the_inventory",
        lambda f: text(
            "objects.inv", b"# Sphinx inventory version 2\n#\n#\n#\n" + zlib.compress(f"subject_id {SUBJECT}".encode())
        )(f),
        BOTH,
        "objects.inv",
        "line",
        str(SUBJECT),
    ),
    Leak(
        "id_in_a_file_name",
        text(f"_static/subject_id_{SUBJECT}.css", "p { color: red; }"),
        (REAL,),
        "_static/subject_id_#.css",
        "file name",
        str(SUBJECT),
    ),
    Leak("id_url_encoded", page(f'<a href="?subject_id={QUOTED}">x</a>'), BOTH, "other.html", "<a href>", QUOTED),
    Leak(
        "id_entity_encoded",
        page(f'<p title="subject_id {ESCAPED.replace("&", "&amp;")}">x</p>'),
        BOTH,
        "other.html",
        "<p title>",
        ESCAPED,
    ),
    Leak("id_base64_encoded", page(f"<p>{E64}</p>"), BOTH, "other.html", "<p>", E64),
    Leak("id_full_width", page(f"<p>subject_id {WIDE}</p>"), BOTH, "other.html", "<p>", WIDE),
    Leak("id_split_by_tags", page("<p>subject_id 1020<b>3047</b></p>"), BOTH, "other.html", "<p>", "3047"),
    Leak("id_split_by_nothing_visible", page("<p>subject_id 1020\u200b3047</p>"), BOTH, "other.html", "<p>", "3047"),
    Leak("id_with_commas", page(f"<p>record {SUBJECT:,}</p>"), (REAL,), "other.html", "<p>", f"{SUBJECT:,}"),
    Leak("id_of_another_range", page(f"<p>{RARE}</p>"), (REAL,), "other.html", "<p>", str(RARE)),
    Leak(
        "date_with_an_id",
        page(f"<p>{STAY + 1} on 2150-03-01</p>"),
        (RANGE, identifiers.shifted_dates),
        "other.html",
        "<p>",
        "2150-03-01",
    ),
    Leak(
        "shifted_date_alone",
        rows(("seen on 2150-03-01", "45", "120", "0.250")),
        (identifiers.shifted_dates,),
        "other.html",
        "<td>",
        "2150",
    ),
    Leak(
        "json_by_id",
        text("_static/data.json", json.dumps({"subject_id": [7]})),
        (identifiers.named_columns,),
        "_static/data.json",
        "top",
    ),
    Leak(
        "column_named_hadm_id",
        rows(("12", "45", "120", "0.250"), titles=("hadm_id", *TITLES[1:])),
        (identifiers.named_columns,),
        "other.html",
        "<th>",
    ),
    Leak("absolute_path", page(f"<p>{HOME}</p>"), (identifiers.paths,), "other.html", "<p>", "mmueller"),
    Leak(
        "path_in_notebook_metadata",
        book(metadata={"papermill": {"output_path": HOME}}),
        (identifiers.paths,),
        "_sources/other.ipynb",
        "metadata",
        "mmueller",
    ),
    Leak(
        "user_name", page("<p>made by mmustermann</p>"), (identifiers.user_names,), "other.html", "<p>", "mmustermann"
    ),
    Leak("error_output", book(FAILED), (identifiers.tracebacks,), "_sources/other.ipynb", "cell 0, output 0"),
    Leak("traceback", page(f"<pre>{ERROR}</pre>"), (identifiers.tracebacks,), "other.html", "<pre>", "KeyError"),
)
