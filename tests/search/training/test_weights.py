from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file

import arch
import search
from search.engines.single import train
from search.engines.task import Task
from search.progress import Silent
from search.training.weights import find_weights, read_classes, read_weights, write_classes
from tests.support import MICRO


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    recipe = {"epochs": 1, "batch": 256, "precision": "fp32", "normalise": "half"}
    data = {"name": "digits", "val_fraction": 0.2, "split_seed": 3}
    train(Task(str(folder), arch.to_mapping(arch.load(MICRO)), recipe, data), Silent())
    return folder


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def test_weights_say_all_that_is_needed_to_use_them(trained: Path) -> None:
    data = search.load_data("digits", val_fraction=0.2, split_seed=3)
    for path in (trained, trained / "weights.safetensors"):
        weights = read_weights(path)
        about = weights.about
        assert weights.spec.id == arch.load(MICRO).id
        assert about.classes == data.classes == tuple("0123456789")
        assert (about.recipe.normalise, about.recipe.batch) == ("half", 256)
        assert torch.equal(torch.tensor(about.mean), data.mean)
        assert torch.equal(torch.tensor(about.std), data.std)
        assert about.data is not None
        assert (about.data.name, about.data.val_fraction, about.data.split_seed) == ("digits", 0.2, 3)
        assert (about.fingerprint, about.split, about.everything) == (data.fingerprint, data.split, False)
        assert weights.size == (32, 32)
        state = weights.network().state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in weights.tensors.items())
    assert json.loads((trained / "class_indices.json").read_text()) == {str(i): str(i) for i in range(10)}


def test_older_weights_without_a_data_set_are_read(trained: Path, tmp_path: Path) -> None:
    known = metadata(trained / "weights.safetensors")
    about = json.loads(known["about"])
    kept = {key: about[key] for key in ("classes", "recipe", "mean", "std")}
    tensors = load_file(trained / "weights.safetensors")
    save_file(tensors, tmp_path / "old.safetensors", {"spec": known["spec"], "about": json.dumps(kept)})
    old = read_weights(tmp_path / "old.safetensors")
    assert (old.about.data, old.about.everything, old.size) == (None, None, (32, 32))


def test_foreign_and_damaged_files_are_refused_by_what_is_wrong(trained: Path, tmp_path: Path) -> None:
    good = trained / "weights.safetensors"
    tensors, known = load_file(good), metadata(good)
    raw = bytearray(good.read_bytes())
    raw[-100] ^= 1
    about = json.loads(known["about"])

    def told(changed: dict[str, object]) -> dict[str, str]:
        return known | {"about": json.dumps(changed)}

    cases: dict[str, tuple[bytes | dict, dict[str, str] | None, str]] = {
        "flipped": (bytes(raw), None, "checksum does not match"),
        "cut": (bytes(raw[:1000]), None, "damaged, or no safetensors file"),
        "empty": (b"", None, "damaged, or no safetensors file"),
        "pickle": (b"cos\nsystem\n(S'true'\ntR.", None, "damaged, or no safetensors file"),
        "foreign": (tensors, {"format": "pt"}, "says nothing of its network"),
        "missing": (dict(list(tensors.items())[1:]), known | {"checksum": ""}, "checksum does not match"),
        "other": (
            {**tensors, "heads.final.linear.bias": torch.zeros(3)},
            {key: known[key] for key in ("spec", "about")},
            r"heads\.final\.linear\.bias is 3 and must be 10",
        ),
        "nameless": (
            tensors,
            {"spec": known["spec"], "about": json.dumps(about | {"classes": ["a"]})},
            "its class names or means are not those",
        ),
        "spec": (tensors, known | {"spec": "name: [", "checksum": known["checksum"]}, "not readable as YAML"),
        "recipe": (
            tensors,
            known | {"about": json.dumps(about | {"recipe": {"epoch": 1}})},
            "unknown key 'recipe.epoch'",
        ),
        "std": (tensors, told(about | {"std": [0.0, 1.0, 1.0]}), r"'std\.0' is 0\.0"),
        "size": (tensors, told(about | {"size": [1_000_000, 1_000_000]}), r"'size\.0' is 1000000"),
    }
    for name, (content, words, fragment) in cases.items():
        path = tmp_path / f"{name}.safetensors"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file(content, path, words)
        with pytest.raises(arch.InputError, match=fragment) as raised:
            read_weights(path)
        assert path.name in str(raised.value), name
    with pytest.raises(arch.InputError, match="cannot be read"):
        read_weights(tmp_path / "nowhere.safetensors")


def test_folders_without_weights_say_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(arch.InputError, match=r"holds no weights\.safetensors"):
        find_weights(tmp_path)
    (tmp_path / "study.yaml").write_text("name: x")
    with pytest.raises(arch.InputError, match="is a study; name the folder of one of its trainings"):
        find_weights(tmp_path)


def test_class_names_by_index_and_by_name(tmp_path: Path) -> None:
    path = tmp_path / "class_indices.json"
    write_classes(path, ("daisy", "rosé"))
    assert json.loads(path.read_text()) == {"0": "daisy", "1": "rosé"}
    assert read_classes(path, 2) == ("daisy", "rosé")
    path.write_text('{"rose": 1, "daisy": 0}')
    assert read_classes(path, 2) == ("daisy", "rose")
    for text in ('{"0": "daisy"}', '{"0": "daisy", "2": "rose"}', "[1, 2]", "3", '{"a": 0, "b": 0}'):
        path.write_text(text)
        with pytest.raises(arch.InputError, match="must name each of the 2 classes once"):
            read_classes(path, 2)
    path.write_text("{")
    with pytest.raises(arch.InputError, match="not readable as JSON"):
        read_classes(path, 2)
