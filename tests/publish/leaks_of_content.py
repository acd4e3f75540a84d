"""Corpus, second half: outputs, cells, rows and files (rules 3, 5, 6 and 7)."""

from __future__ import annotations

import base64
import gzip
import json
import pickle

from jepascope.publish import cells, files, identifiers, outputs
from tests.publish.planting import Leak, book, linked, marked, page, rows, text, thin, unlisted, zipped
from tests.publish.trees import ROWS, SUBJECT, TITLES, chunk, figure, png, table, write_page

RANGE, REAL = identifiers.in_range, identifiers.real_ids
MARKS = {"output_type": "display_data", "metadata": {}, "data": {"application/vnd.plotly.v1+json": {"data": [1, 2]}}}
BOTH = (RANGE, REAL)
LONG = " ".join(f"{n / 7:.4f}" for n in range(400))
COUNTS = ("rule", "patients", "encounters", "encounters lost")

CONTENT = (
    # Rule 3: kinds of output.
    Leak("scatter_of_500_marks", text("_images/a.svg", marked(500)), (outputs.drawings,), "_images/a.svg", "<svg>"),
    Leak(
        "scatter_in_a_page_of_the_demo",
        lambda f: write_page(f, "demo", marked(500), "other"),
        (outputs.drawings,),
        "other.html",
        "<svg>",
        tier="demo",
    ),
    Leak("interactive_plot", book(MARKS), (outputs.drawings,), "_sources/other.ipynb", "cell 0, output 0"),
    Leak(
        "plot_drawn_in_the_browser",
        page("<script>Plotly.newPlot('x', [1])</script>"),
        (outputs.drawings,),
        "other.html",
        "<script>",
    ),
    # Rule 5: cells.
    Leak(
        "count_of_7", rows(("trauma", "7", "120", "0.250")), (cells.small_cells,), "other.html", "row 0, column 1", "7"
    ),
    Leak(
        "count_not_rounded",
        rows(("trauma", "1,263", "3,880", "0.250")),
        (cells.small_cells,),
        "other.html",
        "row 0, column 1",
        "1,263",
    ),
    Leak(
        "all_of_them",
        rows(("trauma", "45", "120", "100%")),
        (cells.small_cells,),
        "other.html",
        "row 0, column 3",
        "100",
    ),
    Leak(
        "none_of_them",
        rows(("trauma", "45", "120", "0.0 %")),
        (cells.small_cells,),
        "other.html",
        "row 0, column 3",
        "0.0",
    ),
    Leak(
        "largest_value",
        rows(("trauma", "45", "120", "61.2"), titles=(*TITLES[:3], "max stay")),
        (cells.small_cells,),
        "other.html",
        "column 3",
        "61.2",
    ),
    Leak(
        "total_less_the_rest",
        rows(("a", "45", "120", "x"), ("b", "≤ 10", "115", "x"), ("total", "50", "235", "x")),
        (cells.differences,),
        "other.html",
        "column 1",
        "50",
    ),
    Leak(
        "rows_that_differ_by_few",
        rows(("all", "1,260", "3,880", "≤ 10"), ("adults", "1,255", "3,880", "≤ 10"), titles=COUNTS),
        (cells.differences,),
        "other.html",
        "column 1",
        "1,255",
    ),
    Leak(
        "linked_tables_differ_by_few",
        page(table(rows=[("anxiety", "1,263", "3,880", "x")])),
        (cells.small_cells, cells.differences),
        "other.html",
        "column 1",
        "1,263",
    ),
    Leak("count_in_prose", page("<p>Only 7 patients had it.</p>"), (cells.small_words,), "other.html", "<p>", " 7 "),
    Leak(
        "count_in_a_reason",
        page("<p>not computable here: patients with the label: 4, 11 needed</p>"),
        (cells.small_words,),
        "other.html",
        "<p>",
        ": 4",
    ),
    Leak("no_sidecar", unlisted, (cells.sidecars,), "other.html", "table"),
    Leak("sidecar_of_few", thin, (cells.sidecars,), "_static/disclosure/other.json", "entry"),
    Leak(
        "picture_without_sidecar",
        text("_static/a.png", png()[:-12] + chunk(b"pHYs", b"\0" * 9) + chunk(b"IEND", b"")),
        (cells.sidecars,),
        "_static/a.png",
        "whole file",
    ),
    # Rule 6: interpretability that is row-level.
    Leak(
        "top_activating_examples",
        rows(*ROWS, caption="Top-activating encounters of feature 3."),
        (outputs.row_level,),
        "other.html",
        "table",
    ),
    Leak(
        "one_point_a_patient",
        page(figure(png(), caption="Each dot is one patient.")),
        (outputs.row_level,),
        "other.html",
        "figcaption",
    ),
    # Rule 7: files.
    Leak(
        "table_of_records",
        text("data.parquet", b"PAR1" + b"\0" * 9 + b"PAR1"),
        (files.kinds,),
        "data.parquet",
        "whole file",
        tier="synthetic",
    ),
    Leak(
        "weights",
        text("model.safetensors", b"\x08\0\0\0\0\0\0\0{}      "),
        (files.kinds,),
        "model.safetensors",
        "whole file",
        tier="synthetic",
    ),
    Leak("embeddings", text("z.npz", b"PK\x03\x04"), (files.kinds,), "z.npz", "whole file", tier="synthetic"),
    Leak(
        "separated_values",
        text("data.csv", f"subject_id,k\n{SUBJECT},0\n"),
        (files.kinds, *BOTH, identifiers.named_columns),
        "data.csv",
        "whole file|line",
        str(SUBJECT),
    ),
    Leak(
        "values_named_txt", text("data.txt", "stay_id;los\n7;3.5\n"), (identifiers.named_columns,), "data.txt", "line 1"
    ),
    Leak(
        "pickle_named_png",
        text("_static/a.png", pickle.dumps([1, 2])),
        (files.kinds, files.pictures, cells.sidecars),
        "_static/a.png",
        "whole file",
    ),
    Leak(
        "data_after_the_picture",
        page(figure(png(after=b"PK\x03\x04records"))),
        (files.pictures,),
        "other.html",
        "data URI",
    ),
    Leak(
        "chunk_of_another_kind",
        page(figure(png(chunk(b"reCd", b"records")))),
        (files.pictures,),
        "other.html",
        "data URI",
    ),
    Leak("archive", zipped, (files.kinds, REAL), "downloads.zip", "whole file|line", tier="synthetic"),
    Leak(
        "archive_named_json",
        text("_static/a.json", gzip.compress(b"{}")),
        (files.kinds,),
        "_static/a.json",
        "whole file",
    ),
    Leak(
        "archive_in_a_data_uri",
        page(f'<a href="data:application/gzip;base64,{base64.b64encode(gzip.compress(b"x" * 99)).decode()}">x</a>'),
        (files.kinds, files.pictures),
        "other.html",
        "data URI",
    ),
    Leak("link_out_of_the_tree", linked, (files.kinds,), "records", "whole file"),
    Leak("log_file", text("run.log", "started"), (files.kinds,), "run.log", "whole file", tier="synthetic"),
    Leak(
        "too_large",
        text("_static/own.css", "p{}" * 400_000),
        (files.sizes,),
        "_static/own.css",
        "whole file",
        tier="synthetic",
    ),
    Leak(
        "embedding_in_a_script",
        text("_static/own.js", f"const z = [{LONG.replace(' ', ', ')}, 1];"),
        (files.arrays,),
        "_static/own.js",
        "line",
    ),
    Leak(
        "embedding_in_json",
        text("_static/z.json", json.dumps({"z": [n / 7 for n in range(400)]})),
        (files.arrays,),
        "_static/z.json",
        "z",
    ),
)
