# Chapters × seeds as a graph. `jepascope run` calls this; on a cluster the same file runs with `--on slurm`.
#
# A job is one chapter for one seed. Its inputs are the chapter's text, the library files that its code reaches through
# imports, and the chapters it reads; its parameters are the profile's sections that it declares. The job itself
# (`--if-needed`) then compares content, so a chapter whose inputs came out the same is left as it is.

import json
import sys

from jepascope.book.chapter import outside, resolved_parameters
from jepascope.book.notebooks import read_book
from jepascope.closure import closure
from jepascope.params import load_profile

PROFILE = config["profile"]
SEEDS = [int(seed) for seed in str(config["seeds"]).split(",")]
BOOK = read_book()


wildcard_constraints:
    seed=r"all|\d+",
    chapter="|".join(chapter.name for chapter in BOOK.chapters),


def done(chapter, seeds=SEEDS):
    folders = seeds if chapter.per_seed else ["all"]
    return [f"runs/{PROFILE}/{seed}/{chapter.name}/done.json" for seed in folders]


def upstream(wildcards):
    chapter = BOOK.find(wildcards.chapter)
    seeds = [wildcards.seed] if chapter.per_seed else SEEDS
    return [file for name in chapter.reads for file in done(BOOK.find(name), seeds)]


def sources(wildcards):
    chapter = BOOK.find(wildcards.chapter)
    return [str(chapter.path), *map(str, closure(chapter.code))]


def parameters(wildcards):
    chapter, seed = BOOK.find(wildcards.chapter), None if wildcards.seed == "all" else int(wildcards.seed)
    profile = load_profile(PROFILE, {"seeds": SEEDS}, seed)
    return json.dumps([resolved_parameters(chapter, profile), outside(chapter, profile)], sort_keys=True)


rule book:
    input:
        [file for chapter in BOOK.chapters for file in done(chapter)],


rule chapter:
    input:
        upstream,
        sources,
    output:
        "runs/" + PROFILE + "/{seed}/{chapter}/done.json",
    params:
        values=parameters,
        seed=lambda wildcards: f"--seeds {config['seeds']}" if wildcards.seed == "all" else f"--seed {wildcards.seed}",
    shell:
        "{sys.executable:q} -m jepascope run {wildcards.chapter} --profile " + PROFILE + " {params.seed} --if-needed"
