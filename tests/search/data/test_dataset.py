"""Every data set in its real file format, the held-out part, the sealed test set, the cache."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

import arch
import search
from search.data.batches import plain_batches, stratified, training_batches
from search.data.class_folders import Files
from search.data.dataset import Memory
from search.data.normalise import prepare
from search.recipes.augmentations import Draw, augment

CPU = torch.device("cpu")
PLAIN = search.load_recipe("default", {"crop": 0, "flip": False, "normalise": "unit"})


def test_digits_are_split_by_class_and_recorded() -> None:
    data = search.load_data("digits", val_fraction=0.1, split_seed=3)
    again = search.load_data("digits", val_fraction=0.1, split_seed=3)
    other = search.load_data("digits", val_fraction=0.1, split_seed=4)
    assert (data.split, data.fingerprint) == (again.split, again.fingerprint)
    assert data.split != other.split
    assert len(data.train) + len(data.val) == len(data.everything) == 1438
    shares = torch.bincount(data.val.labels).float() / torch.bincount(data.everything.labels)
    assert float((shares - 0.1).abs().max()) < 0.01


def test_a_part_of_the_training_images_can_be_enough() -> None:
    whole, part = search.load_data("digits"), search.load_data(search.DataConfig(name="digits", train_fraction=0.2))
    shares = torch.bincount(part.train.labels).float() / torch.bincount(whole.train.labels)
    assert float((shares - 0.2).abs().max()) < 0.01
    assert isinstance(part.train, Memory)
    assert isinstance(whole.train, Memory)
    assert isinstance(whole.val, Memory)
    assert set(part.train.index.tolist()) <= set(whole.train.index.tolist())
    assert isinstance(part.val, Memory)
    assert torch.equal(part.val.index, whole.val.index)
    assert len(part.everything) == len(whole.everything)
    assert part.split != whole.split


def test_stratified_takes_a_part_of_each_class() -> None:
    labels = torch.tensor([0] * 20 + [1] * 40 + [2])
    chosen = stratified(labels, 0.25, 0)
    assert torch.bincount(labels[chosen]).tolist() == [5, 10, 1]
    assert torch.equal(chosen, stratified(labels, 0.25, 0))
    assert not torch.equal(chosen, stratified(labels, 0.25, 1))


def test_the_test_set_is_sealed(tmp_path: Path) -> None:
    data = search.load_data("digits")
    part = data.open_test(tmp_path / "openings.jsonl", "a test")
    assert len(part) == 359
    entry = json.loads((tmp_path / "openings.jsonl").read_text())
    assert entry["reason"] == "a test"
    assert entry["train"] == data.fingerprint


def test_noise_is_fixed_and_stated() -> None:
    clean, noisy = search.load_data("digits"), search.load_data("digits_noisy")
    assert isinstance(clean.everything, Memory)
    assert isinstance(noisy.everything, Memory)
    signal = clean.everything.pixels.float() / 127.5 - 1
    noise = noisy.everything.pixels.float() / 255 * 12 - 6 - signal
    assert float(noise.std()) == pytest.approx(1.5, abs=0.02)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.02)


def images(n: int, c: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, c), dtype=np.uint8)


def test_fashion_mnist_from_idx_files(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 40), ("t10k", 20)):
        pixels, labels = images(n, 1, 28)[..., 0], np.arange(n, dtype=np.uint8) % 10
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, n, 28, 28) + pixels.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, n) + labels.tobytes())
        with gzip.open(raw / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(b"")
    data = search.load_data("fashion_mnist", root=tmp_path)
    assert isinstance(data.everything, Memory)
    assert data.everything.pixels.shape == (40, 1, 28, 28)
    assert data.classes[9] == "Ankle boot"
    assert torch.equal(data.everything.pixels[:, 0], torch.from_numpy(images(40, 1, 28)[..., 0]))


@pytest.mark.parametrize(("kind", "name", "classes"), [("CIFAR10", "cifar10", 10), ("CIFAR100", "cifar100", 100)])
def test_cifar_from_its_batch_files(
    kind: str, name: str, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = getattr(datasets, kind)
    folder = tmp_path / source.base_folder
    folder.mkdir()
    key = "labels" if classes == 10 else "fine_labels"
    pixels = {}
    for number, (file, _) in enumerate(source.train_list + source.test_list):
        pixels[file] = images(classes * 2, 3, 32, number).transpose(0, 3, 1, 2)
        batch = {"data": pixels[file].reshape(classes * 2, -1), key: list(range(classes)) * 2}
        (folder / file).write_bytes(pickle.dumps(batch))
    names = [f"kind {i}" for i in range(classes)]
    (folder / source.meta["filename"]).write_bytes(pickle.dumps({source.meta["key"]: names}))
    monkeypatch.setattr(source, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    data = search.load_data(name, root=tmp_path, val_fraction=0.5)
    assert isinstance(data.everything, Memory)
    first = source.train_list[0][0]
    assert torch.equal(data.everything.pixels[: classes * 2], torch.from_numpy(pixels[first]))
    assert data.classes == tuple(names)
    assert len(data.open_test(tmp_path / "log", "test")) == classes * 2


def test_what_is_not_at_hand_is_said_and_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(arch.InputError, match="--download"):
        search.load_data("cifar100", root=tmp_path)
    with pytest.raises(arch.InputError, match="Did you mean cifar10"):
        search.load_data("cifar11", root=tmp_path)


def tree(root: Path, sizes: dict[str, list[tuple[int, int]]], parts: tuple[str, ...], ending: str) -> Path:
    rng = np.random.default_rng(0)
    for part in parts:
        for name, shapes in sizes.items():
            folder = root / part / name
            folder.mkdir(parents=True)
            for i, (w, h) in enumerate(shapes):
                Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)).save(folder / f"{i}.{ending}")
    return root


def test_a_folder_of_small_images_is_cached_and_found_by_name(tmp_path: Path) -> None:
    folder = tree(tmp_path / "cifar10", {"cat": [(32, 32)] * 6, "dog": [(32, 32)] * 4}, ("train", "test"), "png")
    data = search.load_data("cifar10", root=tmp_path, val_fraction=0.5)
    assert isinstance(data.everything, Memory)
    assert data.everything.pixels.shape == (10, 3, 32, 32)
    assert data.classes == ("cat", "dog")
    first = np.asarray(Image.open(folder / "train" / "cat" / "0.png")).transpose(2, 0, 1)
    assert torch.equal(data.everything.pixels[0], torch.from_numpy(first.copy()))
    assert len(list((tmp_path / "cache").glob("cifar10-train-*.safetensors"))) == 1
    assert len(data.open_test(tmp_path / "log", "test")) == 10


def test_a_folders_own_val_is_the_held_out_part(tmp_path: Path) -> None:
    tree(tmp_path / "d", {"a": [(8, 8)] * 4, "b": [(8, 8)] * 2}, ("train", "val", "test"), "png")
    data = search.load_data(str(tmp_path / "d"), root=tmp_path)
    assert (len(data.train), len(data.val), len(data.everything)) == (6, 6, 12)
    assert data.split == f"own val/ {data.split[9:]}"


def test_mixed_jpegs_go_through_workers_and_a_random_crop(tmp_path: Path) -> None:
    sizes = {"daisy": [(120, 80), (64, 200), (300, 150)], "rose": [(90, 90), (100, 101), (50, 40)]}
    tree(tmp_path / "flowers", sizes, ("train", "test"), "jpg")
    data = search.load_data("flowers", root=tmp_path, val_fraction=0.34)
    assert isinstance(data.train, Files)
    recipe = search.load_recipe("tutorial_002_flowers", {"resize": 64})
    for batches in (training_batches(len(data.train), 2, 0, 0), plain_batches(len(data.train), 2)):
        one, two = (list(data.stream(data.train, batches, recipe, (64, 64), CPU)) for _ in range(2))
        assert [x.shape for x, _ in one] == [(2, 3, 64, 64)] * 2
        assert all(torch.equal(a, b) and torch.equal(p, q) for (a, p), (b, q) in zip(one, two, strict=True))
        assert all(float(x.min()) >= -1 and float(x.max()) <= 1 for x, _ in one)
    other = next(iter(data.stream(data.train, training_batches(len(data.train), 2, 1, 0), recipe, (64, 64), CPU)))
    assert not torch.equal(other[0], one[0][0])


def test_other_classes_in_test_and_damaged_images_are_named(tmp_path: Path) -> None:
    tree(tmp_path / "d", {"a": [(8, 8)] * 4, "b": [(8, 8)] * 4}, ("train",), "png")
    tree(tmp_path / "d", {"a": [(8, 8)], "c": [(8, 8)]}, ("test",), "png")
    data = search.load_data(str(tmp_path / "d"), root=tmp_path, val_fraction=0.3)
    with pytest.raises(arch.InputError, match="a, c"):
        data.open_test(tmp_path / "log", "test")
    (tmp_path / "d" / "train" / "a" / "0.png").write_bytes(b"no image")
    with pytest.raises(arch.InputError, match=r"0\.png: not readable"):
        search.load_data(str(tmp_path / "d"), root=tmp_path)


def test_a_damaged_cache_is_set_aside_and_made_anew(tmp_path: Path) -> None:
    first = search.load_data("digits", root=tmp_path)
    path = tmp_path / "cache" / "digits-train.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1000] ^= 255
    path.write_bytes(raw)
    assert search.load_data("digits", root=tmp_path).fingerprint == first.fingerprint
    assert len(list(path.parent.glob("*.damaged-*"))) == 1
    assert "checksum" in (path.parent / "damaged.txt").read_text()
    path.write_bytes(b"")
    assert search.load_data("digits", root=tmp_path).fingerprint == first.fingerprint


def test_normalisation_and_resizing() -> None:
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    mean, std = torch.tensor([0.5]), torch.tensor([0.25])
    values = {
        kind: prepare(pixels, PLAIN.model_copy(update={"normalise": kind}), mean, std).flatten().tolist()
        for kind in ("unit", "half", "data")
    }
    assert values == {"unit": [0, 1], "half": [-1, 1], "data": pytest.approx([-2, 2])}
    large = PLAIN.model_copy(update={"resize": 8})
    assert prepare(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), large, mean, std).shape == (1, 1, 8, 8)


def test_batches_follow_from_numbers_alone() -> None:
    one, two = training_batches(10, 4, seed=1, epoch=2), training_batches(10, 4, seed=1, epoch=2)
    assert [b.seed for b in one] == [b.seed for b in two]
    assert torch.equal(torch.cat([b.index for b in one]), torch.cat([b.index for b in two]))
    assert [len(b.index) for b in one] == [4, 4]
    assert [len(b.index) for b in plain_batches(10, 4)] == [4, 4, 2]
    assert not torch.equal(one[0].index, training_batches(10, 4, seed=1, epoch=3)[0].index)
    pixels = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    recipe = search.load_recipe("default", {"cutout": 2})
    drawn = [augment(pixels, recipe, Draw(torch.Generator().manual_seed(5))) for _ in range(2)]
    assert torch.equal(*drawn)
