"""The commands about one trained network (evaluate, predict, bench, export), as they are typed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

import arch
import inceptory
from arch.errors import InputError
from arch.specs.edit import with_classes
from search.record.files import read_json, read_lines
from search.record.predictions import Predictions
from tests.support import MICRO

SHORT = ["--data", "digits", "--set", "recipe.epochs=1", "--set", "recipe.batch=64", "--set", "recipe.precision=fp32"]


def invoke(*args: object) -> Result:
    return CliRunner().invoke(inceptory.app, [str(arg) for arg in args])


def good(*args: object) -> str:
    done = invoke(*args)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training from the weights of a network for 100 classes, with its test set opened."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    save_file(arch.build(with_classes(arch.load(MICRO), 100)).state_dict(), folder / "hundred.safetensors")
    init = ["--init", folder / "hundred.safetensors"]
    done = invoke("train", MICRO, *SHORT, *init, "--test", "--run", folder / "run")
    assert done.exit_code == 0, (done.output, done.exception)
    for row in (*arch.load(MICRO).aux_rows, "final"):
        assert f"head {row} is not used (100 classes there, 10 here); it starts from random weights" in done.stderr
    return folder / "run"


def test_train_keeps_answers_class_names_and_what_it_began_with(trained: Path) -> None:
    result = read_json(trained / "result.json")
    kept = Predictions.read(trained / "predictions.npz")
    assert float((kept.predicted == kept.labels).mean()) == pytest.approx(result["test_accuracy"])
    assert len(result["init"]) == 64
    assert read_json(trained / "class_indices.json")["7"] == "7"


def test_evaluate_in_every_format(trained: Path) -> None:
    result = read_json(trained / "result.json")
    text = good("evaluate", trained)
    for part in ("top-1", "top-5", "calibration error", "true class", "arXiv 1706.04599", "Guessing reaches 50%"):
        assert part in text
    assert f"{100 * result['val_accuracy']:.2f}" in text
    rows = list(csv.DictReader(io.StringIO(good("evaluate", trained, "--format", "csv"))))
    assert [row["class"] for row in rows] == list("0123456789")
    assert sum(int(row["images"]) for row in rows) == result["val_images"]
    found = json.loads(good("evaluate", trained, "--format", "json"))
    assert found["accuracy"] == result["val_accuracy"]
    assert "### " not in good("evaluate", trained, "--format", "md")
    assert r"\toprule" in good("evaluate", trained, "--format", "latex")
    before = len(read_lines(trained / "test_openings.jsonl"))
    assert "test_openings.jsonl says so" in good("evaluate", trained / "weights.safetensors", "--split", "test")
    assert len(read_lines(trained / "test_openings.jsonl")) == before + 1


def test_predict_goes_on_after_an_unreadable_image_and_is_code_1(trained: Path, tmp_path: Path) -> None:
    kept = Predictions.read(trained / "predictions.npz")
    Image.fromarray(kept.images[0]).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    Image.fromarray(kept.images[1]).save(tmp_path / "c.png")
    done = invoke("predict", trained, tmp_path, "--top", "2", "--format", "csv")
    assert done.exit_code == 1
    assert "b.png: not readable as an image" in done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(Path(row["image"]).name, row["rank"]) for row in rows] == [
        (name, rank) for name in ("a.png", "c.png") for rank in "12"
    ]
    assert rows[0]["class"] == kept.classes[kept.probabilities[kept.shown[0]].argmax()]
    done = invoke("predict", trained, tmp_path / "b.png", tmp_path / "a.png", "--format", "json")
    first, second = json.loads(done.stdout)
    assert (done.exit_code, set(first), len(second["top"])) == (1, {"image", "error"}, 5)
    good("predict", trained, tmp_path / "a.png", "--classes-file", trained / "class_indices.json")


def test_show_layers_in_every_format() -> None:
    text = good("show", MICRO, "--layers")
    assert "rows.stem.conv5x5.conv" in text
    assert "58 layers; 4,372 parameters, 4,074 without auxiliary heads" in text
    found = json.loads(good("show", MICRO, "--layers", "--format", "json"))
    assert found["layers"][0] == {
        "layer": "rows.stem.conv5x5.conv",
        "kind": "Conv2d",
        "output": "8x8x8",
        "params": 3 * 8 * 5 * 5,
        "memory (bytes)": 4 * 8 * 8 * 8,
    }
    assert found["totals"]["params"] == sum(layer["params"] for layer in found["layers"]) == 4372
    assert len(list(csv.DictReader(io.StringIO(good("show", MICRO, "--layers", "--format", "csv"))))) == 58
    assert "longtable" in good("show", MICRO, "--layers", "--format", "latex")
    assert "kind: Conv2d" in good("show", MICRO, "--layers", "--format", "yaml")
    assert "| Conv2d" in good("show", MICRO, "--layers", "--format", "md")


def test_bench_says_on_what_it_ran() -> None:
    args = ("bench", MICRO, "--batch", "1,4", "--batches", "2", "--warm-up", "1", "--train", "--precision", "fp32")
    text = good(*args)
    for part in ("mean (ms)", "GMACs/s", "1 thread(s), fp32", "over 2 batches after 1 of warm-up", "by convention"):
        assert part in text
    found = json.loads(good(*args, "--format", "json"))
    assert [(one["mode"], one["batch"]) for one in found["timings"]] == [
        ("forward", 1),
        ("training", 1),
        ("forward", 4),
        ("training", 4),
    ]
    rows = list(csv.DictReader(io.StringIO(good(*args, "--format", "csv"))))
    assert float(rows[0]["std (ms)"]) >= 0


def test_export_says_how_close_it_is(trained: Path, tmp_path: Path) -> None:
    text = good("export", trained, "--to", "torch-export", "--out", tmp_path / "x.pt2")
    assert "at most 0.0001" in text
    extra = {"about": ""}
    torch.export.load(tmp_path / "x.pt2", extra_files=extra)
    assert json.loads(extra["about"])["classes"] == list("0123456789")


@pytest.mark.parametrize(
    ("args", "fragment"),
    [
        (["evaluate", "nowhere.safetensors"], "cannot be read"),
        (["evaluate", "RUN", "--data", "digit"], "Did you mean digits"),
        (["predict", "RUN"], "no image is named"),
        (["predict", "RUN", "x.png", "--classes-file", "no.json"], "cannot be read"),
        (["export", "RUN", "--to", "tflite"], "Known: onnx, torch-export"),
        (["export", "RUN", "--to", "torch-export", "--out", "RUN/weights.safetensors"], "name another one"),
        (["bench", str(MICRO), "--batch", "1,x"], "whole numbers from 1"),
        (["bench", str(MICRO), "--precision", "fp8"], "auto, fp32 or bf16"),
        (["train", str(MICRO), *SHORT, "--init", "no.pth"], "cannot be read"),
    ],
)
def test_wrong_input(args: list[str], fragment: str, trained: Path) -> None:
    done = invoke(*(arg.replace("RUN", str(trained)) for arg in args))
    assert isinstance(done.exception, InputError)  # `main` makes one sentence and code 2 of it
    assert fragment in str(done.exception)


def test_what_a_record_holds_is_plain(trained: Path) -> None:
    good("evaluate", trained)
    record: dict[str, Any] = read_json(trained / "evaluation.json")
    assert (record["split"], record["data"], len(record["bins"]), len(record["confusion"])) == ("val", "digits", 15, 10)
