"""What comes from outside is data: no code of a file runs, nothing leaves its folder, nothing is fetched unasked."""

from __future__ import annotations

import ast
import io
import os
import pickle
import socket
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import arch
import search
from arch.exchange.convert import read_weights as read_tensors
from inceptory.app import main
from search.record.files import Damaged, append_line, read_json, read_lines, read_yaml
from search.record.lock import locked
from search.training.checkpoint import load_checkpoint
from search.training.initial_weights import initial_weights
from tests.support import MICRO, ROOT, study
from tests.support.commands import here

SOURCES = [path for room in ("arch", "search", "reports", "inceptory") for path in sorted((ROOT / room).rglob("*.py"))]
SECRET = "geheim-4711"


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trap,)


def test_the_malicious_pickle_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Malicious(tmp_path / "trap")))
    assert (tmp_path / "trap").exists()


@pytest.fixture(params=["pickle", "torch", "old torch", "tensor beside"])
def wicked(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A file of weights with a malicious object in it, and the file that it would create."""
    trap, path = tmp_path / "trap", tmp_path / "wicked.pth"
    match request.param:
        case "pickle":
            path.write_bytes(pickle.dumps(Malicious(trap)))
        case "torch":
            torch.save(Malicious(trap), path)
        case "old torch":
            torch.save(Malicious(trap), path, _use_new_zipfile_serialization=False)
        case _:
            torch.save({"fingerprint": {}, "x": torch.zeros(2), "y": Malicious(trap)}, path)
    return path, trap


@pytest.mark.fault("a pickle that would run code")
def test_no_pickle_runs_from_weights_and_checkpoints(wicked: tuple[Path, Path], micro: arch.Spec) -> None:
    path, trap = wicked
    with pytest.raises(arch.InputError, match=r"wicked\.pth: holds objects, which are not loaded"):
        read_tensors(path)
    with pytest.raises(arch.InputError, match=r"wicked\.pth"):
        initial_weights(micro, path)
    with pytest.warns(UserWarning, match="damaged; set aside"):
        assert load_checkpoint(path, {}) is None
    assert not trap.exists()


@pytest.mark.fault("a pickle that would run code")
def test_no_pickle_runs_at_the_command_line(
    wicked: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, trap = wicked
    for command in (
        ["convert", "inception_v3", str(path), str(path.parent / "ours.safetensors"), "--from", "torchvision"],
        ["train", str(MICRO), "--data", "digits", "--init", str(path), "--run", str(path.parent / "run")],
        ["evaluate", str(path)],
        ["predict", str(path), str(path)],
    ):
        monkeypatch.setattr(sys, "argv", ["inceptory", *command])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 2
        assert "wicked.pth" in capsys.readouterr().err
    assert not trap.exists()


@pytest.mark.fault("a YAML tag that would run code")
@pytest.mark.parametrize("read", [arch.load, search.load_recipe, search.load_study, search.load_ablation])
@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:pathlib.Path.touch",
        "!!python/object/new:os.system",
        "!!python/name:os.system",
        "!!python/module:os",
    ],
)
def test_no_yaml_tag_runs(read: Any, tag: str, tmp_path: Path) -> None:
    trap, path = tmp_path / "trap", tmp_path / "file.yaml"
    path.write_text(f"name: x\nnetwork: {tag} ['{trap}']\n")
    with pytest.raises(arch.InputError, match=r"file\.yaml, line 2: .*could not determine a constructor"):
        read(path)
    assert not trap.exists()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sockets that refuse; what was asked of them."""
    asked: list[str] = []

    def refuse(*args: object, **kwargs: object) -> None:
        asked.append(repr(args[-1]))
        raise OSError("no network in this test")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.mark.fault("an archive with members that leave its folder")
def test_archives_are_unpacked_by_torchvision_alone_once_their_checksum_is_right(
    tmp_path: Path, no_network: list[str]
) -> None:
    """CIFAR's come as tar files; one with other content is never opened, as its MD5 is another."""
    root = tmp_path / "root"
    root.mkdir()
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
        evil = tarfile.TarInfo("../escaped")
        evil.size = 4
        archive.addfile(evil, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    with pytest.raises((arch.InputError, OSError, RuntimeError)):
        search.load_data("cifar10", root=root, download=True)
    assert no_network, "asked for, and so tried"
    assert sorted(path.name for path in tmp_path.rglob("*") if "cache" not in path.parts) == [
        "cifar-10-python.tar.gz",
        "root",
    ]


@pytest.mark.fault("a pickle that would run code")
def test_a_wicked_cifar_batch_is_not_unpickled(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Malicious(tmp_path / "trap")))
    with pytest.raises(arch.InputError, match="is not under"):
        search.load_data("cifar10", root=tmp_path)
    assert not (tmp_path / "trap").exists()


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


IMPORTERS = ("arch/registry.py", "search/__init__.py", "search/engines/user_modules.py")


def test_nothing_in_the_sources_runs_or_imports_what_a_file_says() -> None:
    forbidden = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads"}
    forbidden |= {
        "pickle.Unpickler",
        "shutil.unpack_archive",
        "yaml.unsafe_load",
        "yaml.full_load",
        "cloudpickle.loads",
    }
    needed = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False", "yaml.load": "Loader=_Loader"}
    imports = 0
    for path in SOURCES:
        for name, call in calls(path):
            assert name not in forbidden, f"{path}:{call.lineno}"
            text = ast.unparse(call)
            if name in needed:
                assert needed[name] in text, f"{path}:{call.lineno}"
            assert "shell=True" not in text
            assert not name.endswith((".extract", ".extractall")), f"{path}:{call.lineno}: unpacks archives"
            if name.endswith("import_module"):
                # of the package's own names, by a table or its files; in a worker, of what its driver had imported
                assert str(path.relative_to(ROOT)) in IMPORTERS
                imports += 1
        for node in ast.walk(ast.parse(path.read_text())):
            named = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            named += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {"tarfile", "shelve", "marshal", "dill"} & set(named), f"{path}: unpacks archives"
    assert imports == len(IMPORTERS)


def test_passwords_are_in_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from search.storage import recover as rebuild

    real = rebuild.open_storage
    monkeypatch.setattr(rebuild, "open_storage", lambda url, **more: real(f"sqlite:///{tmp_path / 'there.db'}", **more))
    quick = {"base": "default", "epochs": 1, "batch": 512, "precision": "fp32"}
    url = f"postgresql+psycopg://me:{SECRET}@server:5432/db?sslpassword={SECRET}"
    run = tmp_path / "run"
    search.run_study(study(recipe=quick, trials=1, storage=url), run)
    search.run_study(study(recipe=quick, trials=2, storage=url), run)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert "server:5432" in (run / "study.yaml").read_text()


@pytest.mark.parametrize(
    "text",
    [
        f"storage: ['postgresql://me:{SECRET}@server/db']",
        f"storage: nothing://me:{SECRET}@server/db",
        f"stroage: postgresql://me:{SECRET}@server/db",
        f"network: postgresql://me:{SECRET}@server/db",
        f"network: postgresql://me:with@{SECRET}@server/db",
        f"network: postgresql://server/db?sslpassword={SECRET}&user=me",
        f"storage: postgresql://me:with@{SECRET}@:/db",
        f"storage: postgresql://me:with@{SECRET}@127.0.0.1:1/db",
        f"storage: nothing://server/db?password={SECRET}",
    ],
)
def test_passwords_are_in_no_error(text: str, tmp_path: Path) -> None:
    values = study(trials=1) | {"stroage": 1} if "stroage" in text else study(trials=1)
    key, value = text.split(": ", 1)
    with pytest.raises(arch.InputError) as caught:
        search.run_study({**values, key: [value] if "[" in value else value}, tmp_path / "run")
    assert SECRET not in str(caught.value)


def test_links_in_a_foreign_run_lead_no_write_out_of_it(tmp_path: Path) -> None:
    mine, run = tmp_path / "mine.txt", tmp_path / "run"
    mine.write_text("not to be touched")
    run.mkdir()
    for name in (".lock", "attempts.jsonl"):
        (run / name).symlink_to(mine)
    with (
        pytest.raises(arch.InputError, match=r"\.lock: is a link, and a write there would leave the folder"),
        locked(run, ""),
    ):
        pass
    with pytest.raises(arch.InputError, match=r"attempts\.jsonl: is a link"):
        append_line(run / "attempts.jsonl", "{}")
    assert mine.read_text() == "not to be touched"
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".lock", "attempts.jsonl", "mine.txt", "run"]


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_an_endless_device_in_a_foreign_run_is_refused(kind: str, tmp_path: Path) -> None:
    for name in ("study.yaml", "result.json", "metrics.jsonl", "checkpoint.pt"):
        os.mkfifo(tmp_path / name) if kind == "pipe" else (tmp_path / name).symlink_to("/dev/zero")
    for read, name in ((read_yaml, "study.yaml"), (read_json, "result.json"), (read_lines, "metrics.jsonl")):
        with pytest.raises(Damaged, match=rf"{name}: damaged \(it is no file, but a pipe or device\)"):
            read(tmp_path / name)
    with pytest.warns(UserWarning, match="the training starts again"):
        assert load_checkpoint(tmp_path / "checkpoint.pt", {}) is None


@pytest.mark.parametrize("kind", ["table", "md", "latex"])
def test_names_command_no_terminal(kind: str, tmp_path: Path) -> None:
    """A run's name with an escape sequence, which would change the title of the window."""
    run = tmp_path / "a\x1b]0;evil\x07b"
    run.mkdir()
    (run / "spec.yaml").write_text(MICRO.read_text())
    done = here("status", str(run), "--format", kind)
    assert done.returncode == 0, done.stderr
    assert "x1b]0;evil" in done.stdout
    assert [c for c in done.stdout if not c.isprintable() and c != "\n"] == []


def test_nothing_is_fetched_unasked(
    tmp_path: Path, no_network: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "image.png")
    run = str(tmp_path / "run")
    quick = ["--set", "recipe.epochs=1", "--set", "recipe.max_steps=1", "--set", "recipe.batch=32"]
    for command, code in (
        (["train", str(MICRO), "--data", "digits", "--test", "--run", run, *quick], 0),
        (["evaluate", run], 0),
        (["predict", run, str(tmp_path / "image.png")], 0),
        (["train", str(MICRO), "--data", "cifar10", "--run", run], 2),
        (["train", str(MICRO), "--data", "fashion_mnist", "--run", run], 2),
    ):
        monkeypatch.setattr(sys, "argv", ["inceptory", *command])
        with pytest.raises(SystemExit) as left:
            main()
        assert (left.value.code or 0) == code, (command, capsys.readouterr().err)
    assert no_network == []
