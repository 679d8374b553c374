"""Read and write the files of a run: written atomically, sealed with a checksum, set aside where they are damaged.

A sealed JSON file has a last key `seal` with the SHA-256 of its content, and of other files in its folder that it
covers; a sealed YAML file has it in a first comment. Readers get neither. A file without a seal is read as
it is, so that a person may write one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from arch.errors import InputError
from arch.files.atomic import PART, atomic_file
from arch.files.safe_yaml import parse_yaml, yaml_bytes
from search.record.schema import checked

_SEAL = "seal"
_YAML_SEAL = b"# sha256: "
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as Rust's standard library writes one
_NO_PATH = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "make the folder writable"),
    errno.EFBIG: "raise that limit",
}


class Damaged(InputError):
    """A file of a run is not what was written."""


class WriteError(OSError):
    """A file cannot be written: the disk is full, read-only or gone. Not the training's failure."""


def unwritable(path: Path, error: OSError) -> WriteError | InputError:
    """Return the error for a file that cannot be written: which, why, how much space is left, what to do.

    An impossible path is wrong input; everything else is a fault of the disk.
    """
    if error.errno == errno.ELOOP and path.is_symlink():
        return InputError(f"{path}: is a link, and a write there would leave the folder; replace it by its target.")
    if error.errno in _NO_PATH:
        return InputError(f"{path}: cannot be written ({error.strerror}); name another path.")
    there = next((folder for folder in path.absolute().parents if folder.exists()), Path("/"))
    reason = error.strerror or str(error)
    space = f"{shutil.disk_usage(there).free / 2**20:,.1f} MiB are left in {there}"
    do = _REMEDIES.get(error.errno or 0, "correct that")
    if error.errno == errno.EFBIG:
        space = f"{space}, but a process may not write files this large (ulimit -f)"
    return WriteError(
        f"{path}: cannot be written ({reason}); {space}. What was recorded before is complete: {do}, and give the same "
        "command again."
    )


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files of writes that a kill cut short, and nothing else."""
    for leftover in folder.glob(f".*{PART}*"):
        leftover.unlink()


def replace_file(path: Path, write: Callable[[str], object]) -> None:
    """Let `write` fill a temporary file next to `path`, then move it to `path` atomically.

    Raises
    ------
    WriteError
        The disk is full, or the folder is read-only; the old file is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as part:
            _written(str(part), write)
    except OSError as error:
        raise unwritable(path, error) from error


def _written(part: str, write: Callable[[str], object]) -> None:
    """Write a file; torch's or safetensors' error for a full disk becomes an OSError."""
    try:
        write(part)
    except OSError:
        raise
    except Exception as error:
        if number := _OS_ERROR.search(str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        _probe(part)
        raise


def _probe(path: str) -> None:
    """Raise OSError where no more can be written to a file."""
    with open(path, "ab") as file:
        file.write(bytes(1 << 16))
        file.flush()
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    replace_file(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically, indented; NaN and infinities become null."""
    write_text(path, json.dumps(_finite(value), indent=2, ensure_ascii=False) + "\n")


def write_sealed(path: Path, value: Mapping[str, Any], files: Collection[str] = ()) -> None:
    """Write a JSON file with a seal, which also covers these files of its folder, where they exist."""
    content = _finite(value)
    sums = {name: checksum(path.parent / name) for name in files if (path.parent / name).exists()}
    write_json(path, {**content, _SEAL: {"sha256": _digest(content, sums), "files": sums}})


def write_yaml(path: Path, value: Any, *, sealed: bool = False) -> None:
    """Write a YAML file atomically, keys in the order given."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110)
    write_text(path, sealed_yaml(text) if sealed else text)


def sealed_yaml(text: str) -> str:
    """Return a YAML text after a comment with its seal; at the end, a cut would take it away."""
    return f"{_YAML_SEAL.decode()}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a JSON-lines file atomically."""
    write_text(path, "".join(json.dumps(_finite(row)) + "\n" for row in rows))


def append_line(path: Path, line: str) -> None:
    """Append one line, and have it on the disk before returning.

    Raises
    ------
    WriteError
        The disk is full; what was appended of the line is removed.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_symlink():
            cut_torn(path)
        with open(path, "ab", buffering=0, opener=no_link) as file:
            before = file.tell()
            try:
                raw = f"{line}\n".encode()
                while raw:
                    raw = raw[file.write(raw) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise error if isinstance(error, WriteError) else unwritable(path, error) from error


def no_link(path: str, flags: int) -> int:
    """Open a file to be written in place; a link, which would lead the write out of its folder, is refused (ELOOP).

    Where the system cannot refuse by itself, as Windows, a link made in that very moment is followed.
    """
    refuse_link(Path(path))
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)


def refuse_link(path: Path) -> None:
    """Raise OSError (ELOOP) where a path is a link."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def cut_torn(path: Path) -> None:
    """Cut a file of lines after its last complete one; the incomplete line is kept in `<name>.torn`."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        if file.read(1) in (b"\n", b""):
            return
        file.seek(0)
        content = file.read()
    torn = content[content.rfind(b"\n") + 1 :]
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    append_line(path.with_name(f"{path.name}.torn"), f"{when} {len(torn)} bytes: {torn!r}")
    os.truncate(path, len(content) - len(torn))


def read_json(path: Path, *needed: str) -> dict[str, Any]:
    """Return what a JSON file of a run holds, without its seal.

    Raises
    ------
    Damaged
        It is not what was written, or lacks one of the `needed` keys; names it.
    InputError
        The file is missing.
    """
    return _checked(path, _unsealed(path)[0], needed)


def sealed_files(path: Path) -> dict[str, str]:
    """Return the checksums of the files that a sealed JSON file covers, by name."""
    return _unsealed(path)[1]


def _unsealed(path: Path) -> tuple[Any, dict[str, str]]:
    try:
        value = json.loads(content(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); is this the folder of a run?") from None
    except Damaged:
        raise
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(value, dict) or _SEAL not in value:
        return value, {}
    seal = value.pop(_SEAL)
    if not isinstance(seal, dict) or not isinstance(seal.get("files"), dict):
        raise _damaged(path, "its seal is broken")
    if seal.get("sha256") != _digest(value, seal["files"]):
        raise _damaged(path, "its checksum does not match")
    return value, seal["files"]


def read_yaml(path: Path, *needed: str) -> dict[str, Any]:
    """Return what a YAML file of a run holds.

    Raises
    ------
    Damaged
        It is not what was written, or lacks one of the `needed` keys; names it.
    InputError
        The file is missing.
    """
    try:
        _check_kind(path)
        raw = yaml_bytes(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); is this the folder of a run?") from None
    except Damaged:
        raise
    except InputError as error:
        raise Damaged(str(error)) from None
    seal, _, text = raw.partition(b"\n")
    if seal.startswith(_YAML_SEAL) and seal != _YAML_SEAL + hashlib.sha256(text).hexdigest().encode():
        raise _damaged(path, "its checksum does not match")
    try:
        value = parse_yaml(raw, str(path))
    except InputError as error:
        raise _damaged(path, str(error).removeprefix(f"{path}: ")) from None
    return _checked(path, value, needed)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON-lines file; an incomplete last line is left out, a broken line is an error.

    Raises
    ------
    Damaged
        A line is not what was written; names it.
    """
    if not path.exists():
        return []
    *lines, torn = content(path).split(b"\n")
    rows = []
    for number, line in enumerate([*lines, torn] if torn else lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(_checked(path, row, line=number))
        elif number <= len(lines):
            raise Damaged(f"{path}, line {number}: damaged; {_REMEDY}.")
    return rows


def content(path: Path) -> bytes:
    """Return what a file of a run holds.

    Raises
    ------
    Damaged
        It is a pipe or device, which might never end.
    """
    _check_kind(path)
    return path.read_bytes()


def _check_kind(path: Path) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():  # reading a folder raises its own error
        raise _damaged(path, "it is no file, but a pipe or device")


def _checked(path: Path, value: Any, needed: Collection[str] = (), line: int = 0) -> dict[str, Any]:
    """Return a mapping after checking that it has the keys of its file's schema and the `needed` ones."""
    try:
        found = checked(path, value, line)
    except InputError as error:
        raise Damaged(str(error)) from None
    if lacking := [key for key in needed if key not in found]:
        raise _damaged(path, f"it has no {', '.join(lacking)}")
    return found


_REMEDY = "give the command that wrote it again, which sets it aside and computes again what can be"


def _damaged(path: Path, reason: str) -> Damaged:
    return Damaged(f"{path}: damaged ({reason}); {_REMEDY}.")


def set_aside(path: Path, reason: str) -> Path:
    """Rename a damaged file, never delete it, note it in `damaged.txt`, and return its new name."""
    name = f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    aside, number = path.with_name(name), 1
    while aside.exists():
        aside, number = path.with_name(f"{name}-{number}"), number + 1
    os.replace(path, aside)
    append_line(path.parent / "damaged.txt", f"{aside.name}: {reason}")
    return aside


def checksum(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    _check_kind(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(value: Mapping[str, Any], sums: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([value, sums], sort_keys=True).encode()).hexdigest()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
