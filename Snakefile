# Chapters × seeds as a graph. `jepascope run` calls this; on a cluster the same file runs with `--on slurm`.
#
# A job is one chapter for one seed. Its inputs are the chapters it reads, and one small file of hashes: of the chapter's
# text, of the library code that it reaches through imports, of the profile's sections that it declares. That file is
# written anew when one of them changed, and stands for the hundred whose times and contents Snakemake would look at
# after every job. The job itself (`--if-needed`) then compares content, so a chapter whose inputs came out the same is
# left as it is.
#
# What a job asks of a cluster follows from profiles/resources.yaml; on one machine nothing is held back for it.

import functools
import os
import re
import sys
from pathlib import Path

from jepascope.book.needs import needs
from jepascope.book.notebooks import read_book
from jepascope.book.standing import chapter_key, text_hash
from jepascope.params import load_profile
from jepascope.progress import TERMINAL
from jepascope.store import read_json, write_json

PROFILE = config["profile"]
SEEDS = [int(seed) for seed in str(config["seeds"]).split(",")]
BOOK = read_book()

# A job draws its bars where its own errors go: here the same terminal, on a cluster the job's log.
os.environ.pop(TERMINAL, None)


wildcard_constraints:
    profile=re.escape(PROFILE),
    seed=r"all|\d+",
    chapter="|".join(chapter.name for chapter in BOOK.chapters),


def done(chapter, seeds=SEEDS):
    folders = seeds if chapter.per_seed else ["all"]
    return [f"runs/{PROFILE}/{seed}/{chapter.name}/done.json" for seed in folders]


def upstream(wildcards):
    chapter = BOOK.find(wildcards.chapter)
    seeds = [wildcards.seed] if chapter.per_seed else SEEDS
    return [file for name in chapter.reads for file in done(BOOK.find(name), seeds)]


@functools.cache
def profile_of(seed):
    return load_profile(PROFILE, {"seeds": SEEDS}, None if seed == "all" else int(seed))


@functools.cache
def asked_of(name, seed):
    chapter = BOOK.find(name)
    profile = profile_of(seed)
    file = Path("runs") / PROFILE / ".asked" / seed / f"{name}.json"
    asked = {"computes": chapter_key(chapter, profile, {}), "text": text_hash(chapter)}
    if not file.exists() or read_json(file) != asked:
        write_json(file, asked)
    return str(file)


def asked(wildcards):
    return asked_of(wildcards.chapter, wildcards.seed)


def asks(wildcards, attempt=1):
    return needs(BOOK.find(wildcards.chapter), profile_of(wildcards.seed), len(SEEDS), attempt)


rule book:
    input:
        [file for chapter in BOOK.chapters for file in done(chapter)],


rule chapter:
    input:
        upstream,
        asked,
    output:
        "runs/{profile}/{seed}/{chapter}/done.json",  # all three name a job in a cluster's queue
    params:
        seed=lambda wildcards: f"--seeds {config['seeds']}" if wildcards.seed == "all" else f"--seed {wildcards.seed}",
    resources:
        runtime=lambda wildcards, attempt: asks(wildcards, attempt).minutes,
        mem_mb=lambda wildcards, attempt: asks(wildcards, attempt).mem_mb,
        gpu=lambda wildcards: asks(wildcards).gpus,
    shell:
        "{sys.executable:q} -m jepascope run {wildcards.chapter} --profile {wildcards.profile} {params.seed} --if-needed"
