"""A sample of `make fuzz`: Hypothesis chooses what is changed, and shrinks what it finds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import arch
from tests.fuzz.judging import outcome
from tests.fuzz.targets import Target, targets

KINDS = ("network", "recipe", "study", "ablation", "run, .yaml", "run, .json", "weights", "torch file", "predictions")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    return targets(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(draw=st.randoms(use_true_random=False), which=st.integers(0, 10))
def test_every_outcome_is_an_object_or_one_clear_error(
    kind: str, known: list[Target], draw: random.Random, which: int
) -> None:
    chosen = [target for target in known if kind in target.name]
    target = chosen[which % len(chosen)]
    path, content = target.input(draw)
    found = outcome(target, path, content)
    assert found.well, (found, content[:2_000])


def test_the_files_that_are_changed_are_valid_themselves(known: list[Target]) -> None:
    for target in known:
        for path, content in target.files:
            assert outcome(target, path, content).kind == "valid", (target.name, path)


def test_faults_are_seen(tmp_path: Path) -> None:
    """A reader that does each forbidden thing is told apart from one that is well."""

    def wrong(path: Path) -> None:
        raise KeyError("a")

    def nameless(path: Path) -> None:
        raise arch.InputError("something is wrong")

    def writing(path: Path) -> None:
        (tmp_path / "written").write_text("x")

    found = {
        read.__name__: outcome(Target("x", [], read), tmp_path / "file.yaml", b"a: 1").kind
        for read in (wrong, nameless, writing, Path.read_bytes)
    }
    assert found == {"wrong": "KeyError", "nameless": "names no file", "writing": "wrote", "read_bytes": "valid"}
