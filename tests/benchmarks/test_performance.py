"""The performance page is what its records say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.performance import PAGE, RECORDS, accuracies, gather, mean_accuracy, page
from search.record.files import read_json


def test_the_page_is_made_of_its_records() -> None:
    assert PAGE.read_text() == page()


def test_the_readmes_figures_are_the_records() -> None:
    readme = " ".join((PAGE.parents[2] / "README.md").read_text().split())
    records = json.loads((RECORDS / "accuracy.json").read_text())
    ours = [r for r in records if (r["network"], r["recipe"], r["epochs"]) == ("googlenet_cifar_small", "muon", 20)]
    values = [100 * record["test_accuracy"] for record in ours]
    assert f"mean of {len(values)} random seeds ({min(values):.2f} to {max(values):.2f})" in readme
    for network in ("googlenet_cifar_small", "googlenet_bn_cifar32"):
        for recipe in ("muon", "tutorial_000"):
            assert f"{mean_accuracy(records, network, recipe):.2f} %" in readme
    first = [r for r in records if (r["network"], r["recipe"], r["epochs"]) == ("googlenet_cifar_small", "muon", 1)]
    core_seconds = sum(record["seconds"] for record in first) / len(first)
    reached = mean_accuracy(records, "googlenet_cifar_small", "muon", 1)
    assert f"one epoch ({reached:.2f} %) takes {core_seconds:.0f} core-seconds" in readme
    row = next(
        row
        for row in read_json(RECORDS / "throughput_googlenet_cifar_small.json")["rows"]
        if row["contestant"] == "inceptory" and row["way"].startswith("two processes")
    )
    assert f"{row['training']['ratio']:.1f} times" in readme


def test_accuracies_by_hand() -> None:
    common = {
        "network": "n",
        "recipe": "r",
        "epochs": 2,
        "precision": "bf16",
        "seconds": 10.0,
        "images_per_second": 5.0,
    }
    records = [common | {"seed": seed, "test_accuracy": value} for seed, value in ((1, 0.90), (0, 0.92))]
    alone = common | {"epochs": 3, "seed": 0, "test_accuracy": 0.5}
    first, second = accuracies([*records, alone]).frame.to_dict("records")
    assert first["test %"] == "91.00 +- 1.41 (90.00 to 92.00)"
    assert first["seeds"] == "0, 1"
    assert second["test %"] == "50.00 n = 1"


def test_a_training_without_its_test_is_not_gathered(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps({"state": "complete"}))
    with pytest.raises(SystemExit, match="--test"):
        gather([tmp_path])
