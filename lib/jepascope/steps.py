"""Steps: the expensive calls, each filling one folder, made again only when something it depends on has changed.

A step's folder appears under its name only when complete, with `step.json` beside its files: what made it, from what,
at what cost, and what each file hashes to. Its key is the hash of (the function's code and all it imports, its
arguments, the content of its input folders); editing prose or a figure changes none of these.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import safe_open

from jepascope.closure import code_fingerprint, text_of
from jepascope.progress import say
from jepascope.store import LOG, TIERS, StoreError, fingerprint, read_json, sha256, write_json, writing

SIDECAR = "step.json"


def run_step(folder: Path, function: Callable[..., str | None], *arguments: Any) -> Path:
    """Return `folder` filled by `function(work_folder, *arguments)`, calling it only when the folder isn't current.

    Arguments are parameter sections, plain values, or paths of input folders, so that they can be hashed. A killed
    call leaves a partial folder, and the next call with the same key gets it back to resume in. The function returns
    the data tier when it reads records itself, otherwise None, and the tier is that of the inputs.

    Raises StoreError when inputs of different data tiers are mixed or no tier is known.
    """
    described = [_describe(argument) for argument in arguments]
    module = Path(str(sys.modules[function.__module__].__file__))
    code = code_fingerprint(text_of(module), leave_out=("params.py",), place=str(module))  # parameters: by value
    key = fingerprint([f"{function.__module__}.{function.__qualname__}", code, described])
    if not _is_good(folder, key):
        with _alone(folder):
            if not _is_good(folder, key, say):  # another process may have made it meanwhile
                _make(folder, function, arguments, {"key": key, "arguments": described, "code": code})
    return folder


def _make(folder: Path, function: Callable[..., str | None], arguments: tuple[Any, ...], known: dict[str, Any]) -> None:
    """Fill the step's folder; `known` is what its sidecar says of how it is made."""
    key = known["key"]
    work = folder.with_name(f".{folder.name}.{key[:12]}.partial")
    for stale in folder.parent.glob(f".{folder.name}.*.partial"):
        if stale != work:
            shutil.rmtree(stale)
    if is_current(work, key):  # killed between its sidecar and its name
        _promote(work, folder)
        return
    work.mkdir(parents=True, exist_ok=True)
    for unfinished in work.rglob(".*.tmp"):  # what a kill in the middle of an atomic write leaves
        unfinished.unlink()
    started = time.monotonic()
    tier = _tier(function(work, *arguments), arguments, folder)
    made = [file for file in sorted(work.rglob("*")) if file.is_file() and LOG not in file.relative_to(work).parts]
    files = {str(file.relative_to(work)): _file_facts(file) for file in made}
    sidecar = {
        "function": f"{function.__module__}.{function.__qualname__}",
        **known,
        "content": fingerprint({name: facts["sha256"] for name, facts in files.items()}),
        "tier": tier,
        "commit": commit(),
        "seconds": round(time.monotonic() - started, 2),
        "files": files,
    }
    write_json(work / SIDECAR, sidecar)
    _promote(work, folder)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait while another process makes this folder: a notebook beside a run would write into the same partial one.

    The lock goes with its process, however that ends. A file system without locks has none.
    """
    lock = folder.with_name(f".{folder.name}.lock")
    with writing(lock):
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{folder.name}: another process is making it; waiting for that")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            pass
        yield


def _is_good(folder: Path, key: str, tell: Callable[[str], None] = lambda _: None) -> bool:
    """Tell whether the folder was made under this key and is whole; of damage, `tell`."""
    if not is_current(folder, key):
        return False
    if broken := damaged(folder):
        tell(f"{folder.name}: {', '.join(broken)} of the finished step missing or damaged: made again")
    return not broken


def is_current(folder: Path, key: str) -> bool:
    """Tell whether the folder is complete and was made under this key."""
    return (folder / SIDECAR).exists() and read_json(folder / SIDECAR)["key"] == key


def damaged(folder: Path) -> list[str]:
    """Name the files of a finished step that are gone or not what it left: a flipped bit is no reason to go on.

    Sizes and hashes are compared, and no times: a clock that jumped damages nothing.
    """
    files = read_json(folder / SIDECAR).get("files", {})
    return [name for name, facts in files.items() if not _is_intact(folder / name, facts)]


def _is_intact(file: Path, facts: dict[str, Any]) -> bool:
    return file.is_file() and file.stat().st_size == facts["bytes"] and sha256(file) == facts["sha256"]


def content(path: Path) -> str:
    """Hash what a path holds: a step's recorded content, a file's bytes, or a foreign folder's listing.

    A foreign folder (MIMIC-IV as delivered, many gigabytes) is told by names, sizes and modification times.
    """
    if (path / SIDECAR).exists():
        return read_json(path / SIDECAR)["content"]
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        raise StoreError(f"{path} is missing: run the chapter that makes it (`jepascope run`), or correct the path")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return fingerprint([(str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns) for f in files])


def commit() -> str:
    """Name the git commit of the working tree, `+` when it has changes, 'unknown' outside git."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parent,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _describe(argument: Any) -> Any:
    if isinstance(argument, BaseModel):
        return {type(argument).__name__: argument.model_dump()}
    if isinstance(argument, Path):
        return {"content": content(argument)}
    if isinstance(argument, str | int | float | bool | None):
        return argument
    raise TypeError(f"a step takes parameters, plain values and folders, not {type(argument).__name__}")


def _tier(returned: str | None, arguments: tuple[Any, ...], folder: Path) -> str:
    inputs = [a / SIDECAR for a in arguments if isinstance(a, Path) and (a / SIDECAR).exists()]
    tiers = {read_json(sidecar)["tier"] for sidecar in inputs} | ({returned} if returned else set())
    if len(tiers) != 1 or not tiers <= set(TIERS):
        raise StoreError(f"{folder}: one data tier of {TIERS} is needed, found {sorted(tiers) or 'none'}")
    return tiers.pop()


def _file_facts(file: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {"sha256": sha256(file), "bytes": file.stat().st_size}
    if file.suffix == ".parquet":
        from pyarrow.parquet import read_metadata  # not for who only asks whether a step is made: a third of a second

        metadata = read_metadata(file)
        facts["shape"] = [metadata.num_rows, metadata.num_columns]
    elif file.suffix == ".safetensors":
        with safe_open(file, framework="np") as tensors:
            facts["shape"] = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    return facts


def _promote(work: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    work.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
