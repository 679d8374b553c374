"""The performance page is what its records say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.performance import PAGE, accuracies, gather, page


def test_the_page_is_made_of_its_records() -> None:
    assert PAGE.read_text() == page()


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
