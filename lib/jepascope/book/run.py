"""Running chapters: one by papermill, all of them by Snakemake.

A chapter is executed to a partial notebook that takes its name only at the end, so a killed run leaves nothing that
looks done; the same command then continues where it stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from traitlets.config import Config

from jepascope.book.notebooks import ChapterError, ChapterSource, parse_notebook, read_book
from jepascope.book.slurm import wait_for_held
from jepascope.book.standing import DONE, EXECUTED, chapter_content, is_current, resolved_parameters, run_folder
from jepascope.closure import look_again
from jepascope.params import ParameterError, Profile, load_profile, project_root
from jepascope.progress import TERMINAL, terminal_path
from jepascope.store import write_json, writing


def run_chapter(
    prefix: str,
    profile: str,
    seed: int | None = None,
    seeds: Sequence[int] | None = None,
    changes: Mapping[str, Any] | None = None,
    if_needed: bool = False,
) -> Path:
    """Execute one chapter with papermill and return the executed notebook.

    `seeds` are those that a chapter over all seeds collects, if not the profile's. `changes` maps sections to values
    that differ from the profile's: an experiment, which the next run of the whole book replaces. With `if_needed`, a
    chapter whose text, code, parameters and inputs are those of its last run is left as it is, and one whose prose
    alone is new gets the new prose without a run. Parameters are checked before a kernel starts. Raises ParameterError,
    and ChapterError when there is no such chapter, a cell fails, the prose uses a number that no code recorded, or the
    sources changed under the run.
    """
    source = read_book().find(prefix)
    if source.per_seed != (seed is not None):
        need = "needs --seed" if source.per_seed else "runs once for all seeds: leave --seed out"
        raise ParameterError(f"{source.name} {need}")
    injected = {**(changes or {}), **({"seeds": list(seeds)} if seeds else {})}
    params = load_profile(profile, injected, seed)
    _refuse_ineffective(source, params, changes or {}, seed)
    folder = run_folder(profile, source.name, seed)
    executed, partial = folder / EXECUTED, folder / "executed.partial.ipynb"
    with only_one(folder, f"run of {source.name} for this seed"):
        if not (if_needed and _brought_up_to_date(source, params, seed)):
            (folder / DONE).unlink(missing_ok=True)
            _execute(source, given_parameters(source, params, seed), partial)
            look_again()
            if not is_current(read_book().find(source.name), load_profile(profile, injected, seed), seed):
                raise ChapterError(f"{source.name}: its text, code or inputs changed while it ran: run it again")
            os.replace(partial, executed)
        if not changes:
            # Snakemake compares this file's content: what reads the chapter follows only when its results changed.
            write_json(folder / DONE, {"content": chapter_content(folder)})
    return executed


def _brought_up_to_date(source: ChapterSource, params: Profile, seed: int | None) -> bool:
    """Tell whether the chapter's page is what a run would give, after weaving new prose in where that is enough."""
    if not (run_folder(params.profile, source.name, seed) / EXECUTED).exists():
        return False
    if is_current(source, params, seed):
        return True
    from jepascope.book.weaving import weave  # not at the top: most jobs find nothing to do, and end a second sooner

    return weave(source, params, seed)


def _refuse_ineffective(source: ChapterSource, params: Profile, changes: Mapping[str, Any], seed: int | None) -> None:
    """A change that would be taken and do nothing is a mistake to be told of."""
    overrides = {} if seed is None else params.overrides.get(seed, {})
    for section, values in changes.items():
        if section not in source.depends_on:
            raise ParameterError(f"{source.name} doesn't depend on {section!r}: it declares {source.depends_on}")
        if fixed := values.keys() & overrides.get(section, {}).keys():
            raise ParameterError(f"the profile overrides {section}.{min(fixed)} for seed {seed}: change it there")


def given_parameters(source: ChapterSource, params: Profile, seed: int | None) -> dict[str, Any]:
    """What a run injects below the parameters cell: profile, seed, and the sections that the chapter declares."""
    about = {"profile": params.profile} if seed is None else {"profile": params.profile, "seed": seed}
    return {**about, **resolved_parameters(source, params)}


def _execute(source: ChapterSource, values: dict[str, Any], output: Path) -> None:
    import papermill  # here for the same reason
    from papermill.exceptions import PapermillExecutionError

    seed = f" seed {values['seed']}" if "seed" in values else ""
    try:
        with contextlib.chdir(project_root()), kernel_environment(), _private_transport() as transport:
            nbformat.write(parse_notebook(source.text), output)
            papermill.execute_notebook(
                str(output),
                str(output),
                values,
                config=transport,
                progress_bar={"desc": source.name + seed, "ncols": 90},
            )
    except PapermillExecutionError as error:
        raise ChapterError(f"{source.name}{seed} stopped in a cell; {output} shows where{error}") from None


def run_all(
    profile: str, seeds: Sequence[int] | None, jobs: int, workflow_profile: str, until: str | None = None
) -> None:
    """Run every chapter for every seed with Snakemake, in parallel, making only what is missing or out of date.

    `until` names a chapter that runs once for all seeds: then it and what it rests on is all that runs.

    A lock of ours, released by the system when its holder dies, stands in for Snakemake's, which a killed run would
    leave behind. Raises ChapterError when another run of the profile is under way or a chapter fails.
    """
    chosen = ",".join(map(str, seeds or load_profile(profile).seeds))
    targets = [] if until is None else [f"runs/{profile}/all/{until}/{DONE}"]
    command = [
        sys.executable,
        "-m",
        "snakemake",
        *targets,
        "--workflow-profile",
        f"profiles/{workflow_profile}",
        "--nolock",
    ]
    command += ["--cores", str(jobs), "--jobs", str(jobs), "--config", f"profile={profile}", f"seeds={chosen}"]
    with only_one(project_root() / "runs" / profile, f"run of profile {profile}") as lock, kernel_environment():
        wait_for_held(workflow_profile, profile)
        # Snakemake holds the lock with us: killed alone, we would leave it running unlocked.
        if subprocess.run(command, cwd=project_root(), pass_fds=[lock]).returncode:
            raise ChapterError(f"profile {profile} stopped; what finished is kept: run the same command again")


@contextlib.contextmanager
def _private_transport() -> Iterator[Config]:
    """Talk to the kernel through sockets in a folder that only this user can open, not through TCP ports.

    The host may hold patient data. The folder is the kernel's own: the default name would be shared by kernels that
    run side by side in one working directory.
    """
    with tempfile.TemporaryDirectory(prefix="jepascope-") as folder:
        yield Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})


@contextlib.contextmanager
def only_one(folder: Path, what: str) -> Iterator[int]:
    """Hold a folder's lock, which the system releases when its last holder dies, however it dies.

    Raises ChapterError, naming `what`, when somebody else holds it.
    """
    with writing(folder / ".lock"):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ChapterError(f"another {what} is under way") from error
        yield file.fileno()


@contextlib.contextmanager
def kernel_environment() -> Iterator[None]:
    """Kernels inherit: bars go to our terminal, and one thread each (two spinning threads are slower than one)."""
    wanted = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    wanted |= {"OMP_WAIT_POLICY": "PASSIVE", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    if TERMINAL not in os.environ and (path := terminal_path()):
        wanted[TERMINAL] = path
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
