"""Files of a run that are truncated, emptied, changed by a bit or another's: found, named, set aside, made anew."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import arch
import reports
import search
from search.comparison.confirm import confirm_study
from search.data.cache import Pixels, cached
from search.data.dataset import Data
from search.engines.single import train
from search.engines.task import Task, run
from search.record.files import append_line, read_json, read_lines, write_lines
from search.record.layout import results
from search.record.status import status
from search.study.run import run_study
from search.training.fit import Control
from tests.support import study
from tests.support.notes import Notes

RECIPE = {"base": "default", "epochs": 2, "batch": 256, "precision": "fp32"}
MACS = 150_000
FIGURES = ("state", "val_accuracy", "val_loss", "train_loss", "key", "searched", "epochs", "duplicate_of")


def config(run_: Path, journal: bool = False) -> dict[str, object]:
    """Three trials, and some that have too many multiply-adds."""
    storage = {"storage": f"journal://{run_ / 'study.log'}"} if journal else {}
    space = {"splits": {"round": 4, "minimum": 4}, "aux_weight": {"low": 0.0, "high": 0.6}}
    return study(recipe=RECIPE, space=space, trials=3, max_macs=MACS, **storage)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    run_study(config(folder), folder)
    return folder


@pytest.fixture(scope="module")
def journalled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("journalled") / "run"
    run_study(config(folder, journal=True), folder)
    return folder


def outcomes(run_: Path) -> dict[Any, dict[str, Any]]:
    return {r["trial"]: {name: r.get(name) for name in FIGURES} for r in results(run_)}


def same_weights(one: Path, other: Path) -> bool:
    """By their tensors: safetensors files hold their metadata in no fixed order."""
    a, b = load_file(one), load_file(other)
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def foreign(path: Path) -> None:
    """Put another program's file of the same kind in its place."""
    path.unlink()
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE songs (title TEXT)")
    elif path.suffix == ".safetensors":
        save_file({"x": torch.zeros(3)}, path)
    elif path.suffix == ".pt":
        torch.save({"x": torch.zeros(3)}, path)
    else:
        path.write_text({".json": '{"hello": 1}\n', ".yaml": "hello: 1\n"}.get(path.suffix, "hello\n"))


def flip(path: Path, every: int = 0) -> None:
    """Change one bit in the middle of a file, or one in each so many bytes."""
    raw = bytearray(path.read_bytes())
    for place in range(every // 2, len(raw), every) if every else [len(raw) // 2]:
        raw[place] ^= 4
    path.write_bytes(raw)


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "flipped": flip,
    "foreign": foreign,
}
TRIAL = "trials/00001"
RECORDS = [
    *(
        f"{TRIAL}/{name}"
        for name in ("result.json", "metrics.jsonl", "weights.safetensors", "spec.yaml", "recipe.yaml")
    ),
    *("base/result.json", "fingerprint.json", "study.yaml", "base.yaml", "distributions.json", "environment.json"),
    "study.db",
]


def _each_once() -> list[object]:
    """Every record with every damage; slow where the record or the damage had its turn."""
    found = []
    for number, name in enumerate(RECORDS):
        for turn, damage in enumerate(DAMAGES):
            marks = [] if name.endswith("/result.json") or turn == number % len(DAMAGES) else [pytest.mark.slow]
            found.append(pytest.param(name, damage, marks=marks))
    return found


@pytest.mark.fault("a record, its weights or the storage: truncated, emptied, a bit flipped, another's")
@pytest.mark.parametrize(("name", "damage"), _each_once())
def test_a_damaged_record_is_set_aside_and_made_anew(name: str, damage: str, finished: Path, tmp_path: Path) -> None:
    run_ = tmp_path / "run"
    shutil.copytree(finished, run_)
    before, path = outcomes(run_), run_ / name
    if (name, damage) == ("study.db", "flipped"):
        flip(path, every=1009)  # one bit alone may fall into a page that is not used
    else:
        DAMAGES[damage](path)
    broken, said = path.read_bytes(), []
    assert run_study(config(run_), run_, show=Notes(said)).ended == "complete"  # type: ignore[arg-type]
    assert outcomes(run_) == before
    assert any(path.name in text for text in said), said
    assert [p.read_bytes() for p in path.parent.glob(f"{path.name}.damaged-*")] == [broken]
    assert path.name in (path.parent / "damaged.txt").read_text()
    assert len(reports.load(run_).trials) == len(before) + 1  # and the base
    weights = f"{TRIAL}/weights.safetensors"
    assert same_weights(run_ / weights, finished / weights)


@pytest.mark.fault("a record, its weights or the storage: truncated, emptied, a bit flipped, another's")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_built_anew(damage: str, journalled: Path, tmp_path: Path) -> None:
    run_ = tmp_path / "run"
    shutil.copytree(journalled, run_)
    before, path = outcomes(run_), run_ / "study.log"
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "flipped":  # in the line's own syntax: values are held against the records
        path.write_bytes(b"".join([*lines[:3], b"z" + lines[3][1:], *lines[4:]]))
    else:
        DAMAGES[damage](path)
    said: list[str] = []
    assert run_study(config(run_, journal=True), run_, show=Notes(said)).ended == "complete"  # type: ignore[arg-type]
    assert outcomes(run_) == before
    assert any("study.log" in text and "rebuilt" in text for text in said), said
    assert len(list(run_.glob("study.log.damaged-*"))) == 1


@pytest.mark.fault("the storage is changed or deleted")
def test_a_storage_that_was_changed_or_deleted_is_built_anew_with_the_same_trials(
    finished: Path, tmp_path: Path
) -> None:
    import optuna

    def seen(run_: Path) -> list[Any]:
        found = optuna.load_study(study_name="micro", storage=f"sqlite:///{run_ / 'study.db'}").trials
        keep = ("macs", "spec_id", "duplicate_of", "outcome")
        return [
            (t.number, t.state, t.values, t.params, t.intermediate_values, {k: t.user_attrs.get(k) for k in keep})
            for t in found
        ]

    run_ = tmp_path / "run"
    shutil.copytree(finished, run_)
    with closing(sqlite3.connect(run_ / "study.db")) as database:
        database.execute("UPDATE trial_values SET value = value + 0.001 WHERE trial_value_id = 1")
        database.commit()
    said: list[str] = []
    run_study(config(run_), run_, show=Notes(said))  # type: ignore[arg-type]
    assert any("in its record" in text for text in said), said
    assert seen(run_) == seen(finished)
    (run_ / "study.db").unlink()
    assert run_study(config(run_) | {"trials": 4}, run_).finished == 4
    more = tmp_path / "more"
    shutil.copytree(finished, more)
    run_study(config(more) | {"trials": 4}, more)
    assert outcomes(run_) == outcomes(more)  # it proposes what it would have proposed


@pytest.mark.fault("a trial's folder is removed")
def test_a_trials_folder_that_is_gone_is_made_anew(finished: Path, tmp_path: Path) -> None:
    run_ = tmp_path / "run"
    shutil.copytree(finished, run_)
    for number in outcomes(run_):
        shutil.rmtree(run_ / "trials" / f"{number:05d}")
    said: list[str] = []
    assert run_study(config(run_), run_, show=Notes(said)).finished == 3  # type: ignore[arg-type]
    assert outcomes(run_) == outcomes(finished)
    again = [f"trial {number}: its record is missing; the trial runs again" for number in outcomes(run_)]
    assert [text for text in said if "trial" in text] == again  # and none has become another one


@pytest.mark.parametrize("name", ["study.yaml", f"{TRIAL}/result.json", f"{TRIAL}/metrics.jsonl"])
def test_reading_a_damaged_run_names_the_file(name: str, finished: Path, tmp_path: Path) -> None:
    run_ = tmp_path / "run"
    shutil.copytree(finished, run_)
    DAMAGES["truncated"](run_ / name)
    if name.endswith(".jsonl"):
        (run_ / name).write_text("{\n" + (run_ / name).read_text())
    with pytest.raises(arch.InputError, match=rf"{name}.*damaged.*give the command that wrote it again"):
        reports.load(run_)
    if not name.endswith(".jsonl"):
        with pytest.raises(arch.InputError, match="damaged"):
            status(run_)


def stopped(folder: Path, micro: arch.Spec) -> Task:
    """A training that was left after its first epoch."""
    task = Task(str(folder), arch.to_mapping(micro), RECIPE, {"name": "digits"})
    epochs = run(task)
    next(epochs)
    epochs.close()
    return task


@pytest.mark.fault("a checkpoint: truncated, emptied, a bit flipped, another's")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_training_begins_anew(
    damage: str, micro: arch.Spec, tmp_path: Path
) -> None:
    task = stopped(tmp_path, micro)
    path = tmp_path / "checkpoint.pt"
    DAMAGES[damage](path)
    broken = path.read_bytes()
    with pytest.warns(UserWarning, match=r"checkpoint\.pt: damaged; set aside as checkpoint\.pt\.damaged-"):
        assert [epoch.restored for epoch in run(task)] == [False, False]
    assert [p.read_bytes() for p in tmp_path.glob("checkpoint.pt.damaged-*")] == [broken]


@pytest.mark.fault("a checkpoint: truncated, emptied, a bit flipped, another's")
def test_any_bit_of_a_checkpoint_is_found_or_makes_no_difference(
    micro: arch.Spec, digits: Data, tmp_path: Path
) -> None:
    """At every 157th byte; the epochs that it holds are the judge."""
    from search.training.checkpoint import load_checkpoint, save_checkpoint

    path, other = tmp_path / "checkpoint.pt", tmp_path / "flipped.pt"
    state = {"network": {"w": torch.arange(500.0)}, "history": [{"epoch": 1, "val_loss": 0.25}], "step": 3}
    save_checkpoint(path, state, {"seed": 1})
    raw = path.read_bytes()
    found = 0
    for place in range(0, len(raw), 157):
        changed = bytearray(raw)
        changed[place] ^= 1 << place % 8
        other.write_bytes(changed)
        try:
            with pytest.warns(UserWarning, match="damaged"):
                assert load_checkpoint(other, {"seed": 1}) is None
            found += 1
        except pytest.fail.Exception:  # no warning: it was read
            read = load_checkpoint(other, {"seed": 1})
            assert read is not None
            assert torch.equal(read["network"]["w"], state["network"]["w"])
            assert read["history"] == state["history"]
    assert found > len(raw) // 157 // 3


@pytest.mark.fault("cached images: truncated, emptied, a bit flipped, another's")
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_images_in_the_cache_are_decoded_anew(damage: str, tmp_path: Path) -> None:
    pixels = torch.arange(4 * 3 * 8 * 8, dtype=torch.int64).reshape(4, 3, 8, 8).to(torch.uint8)
    drawn = Pixels.of(pixels, torch.tensor([0, 1, 0, 1]), ("a", "b"))
    path = tmp_path / "cache.safetensors"
    cached(path, lambda: drawn)
    DAMAGES[damage](path)
    with pytest.warns(UserWarning, match="damaged; set aside as"):
        assert torch.equal(cached(path, lambda: drawn).pixels, pixels)
    assert len(list(tmp_path.glob("cache.safetensors.damaged-*"))) == 1


@pytest.mark.fault("cached images: truncated, emptied, a bit flipped, another's")
def test_another_data_sets_cache_is_not_taken_and_its_mean_is_sealed(tmp_path: Path) -> None:
    drawn = Pixels.of(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"))
    other = Pixels.of(torch.ones(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"))
    path = tmp_path / "one.safetensors"
    cached(path, lambda: drawn)
    shutil.copy(path, tmp_path / "two.safetensors")
    with pytest.warns(UserWarning, match=r"two\.safetensors: damaged"):
        assert int(cached(tmp_path / "two.safetensors", lambda: other).pixels.sum()) > 0
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"0.001", b"0.002", 1))
    assert path.read_bytes() != raw
    with pytest.warns(UserWarning, match=r"one\.safetensors: damaged"):
        assert cached(path, lambda: drawn).std == (0.001,) * 3


@pytest.mark.fault("a confirmation's plan and result: truncated, emptied, a bit flipped, another's")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_plan_and_result_of_a_confirmation(damage: str, finished: Path, tmp_path: Path) -> None:
    run_ = tmp_path / "run"
    shutil.copytree(finished, run_)
    first = confirm_study(run_, top=1, seeds=1)
    for name in ("plan.json", "base/*/result.json"):
        DAMAGES[damage](next((run_ / "confirm").glob(name)))
    with pytest.warns(UserWarning, match="damaged") as said:
        again = confirm_study(run_, top=1, seeds=1)
    texts = " ".join(str(warning.message) for warning in said)
    assert "plan.json: damaged, set aside" in texts
    assert "result.json: damaged, set aside" in texts
    assert {n: r["test_accuracy"] for n, r in again.results.items()} == {
        n: r["test_accuracy"] for n, r in first.results.items()
    }


@pytest.mark.fault("a record, its weights or the storage: truncated, emptied, a bit flipped, another's")
def test_damaged_weights_are_trained_again_when_the_test_set_is_asked_for(micro: arch.Spec, tmp_path: Path) -> None:
    task = Task(str(tmp_path), arch.to_mapping(micro), RECIPE, {"name": "digits"})
    list(run(task, Control()))
    weights = tmp_path / "weights.safetensors"
    whole = Path(shutil.copy(weights, tmp_path / "whole.safetensors"))
    flip(weights)
    asked = Task(str(tmp_path), arch.to_mapping(micro), RECIPE, {"name": "digits"}, test=True)
    with pytest.warns(UserWarning, match=r"weights\.safetensors: damaged, set aside as .*; it is trained again"):
        result, _ = train(asked, search.progress.Silent())
    assert result["test_accuracy"] > 0
    assert same_weights(weights, whole)


@pytest.mark.fault("a line is torn at the end of a file, or broken in the middle")
def test_lines_that_are_torn_are_cut_before_another_is_added(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    write_lines(path, [{"a": 1}])
    with open(path, "a") as file:
        file.write('{"b": ')
    assert read_lines(path) == [{"a": 1}]
    append_line(path, '{"c": 3}')
    assert read_lines(path) == [{"a": 1}, {"c": 3}]
    assert '{"b": ' in (tmp_path / "attempts.jsonl.torn").read_text()
    path.write_bytes(b'{"a": 1}\n{"b": \xff}\n')
    with pytest.raises(arch.InputError, match=r"attempts\.jsonl, line 2: damaged"):
        read_lines(path)


def test_a_record_without_a_seal_is_read_and_one_with_another_content_is_not(tmp_path: Path) -> None:
    from search.record.files import write_sealed

    path = tmp_path / "x.json"
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}
    write_sealed(path, {"a": 1, "b": float("nan")})
    assert read_json(path) == {"a": 1, "b": None}
    path.write_text(path.read_text().replace('"a": 1', '"a": 2'))
    with pytest.raises(arch.InputError, match="its checksum does not match"):
        read_json(path)


@pytest.mark.fault("a file of a run is another's")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trial": 10**30}, r"says that it is of trial 10+; move"),
        ({"trial": "x"}, "says that it is of trial 'x'"),
        ({"macs": 10**400}, "'macs' is 10"),
        ({"macs": -5}, "'macs' is -5"),
        ({"val_accuracy": 1e308}, r"'val_accuracy' is 1e\+308"),
        ({"seconds": "x"}, "'seconds' is 'x'"),
        ({"images_per_second": []}, "'images_per_second' is"),
    ],
)
def test_figures_that_cannot_be_are_named(change: dict[str, Any], said: str, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    path = tmp_path / "run" / "trials" / "00001" / "result.json"
    path.write_text(json.dumps(read_json(path) | change))
    with pytest.raises(arch.InputError, match=rf"00001/result\.json: .*{said}"):
        status(tmp_path / "run")
    if "trial" in change:
        with pytest.raises(arch.InputError, match=said):
            run_study(config(tmp_path / "run"), tmp_path / "run")
        return
    with pytest.raises(arch.InputError, match=said):
        reports.load(tmp_path / "run")
    assert run_study(config(tmp_path / "run"), tmp_path / "run").finished == 3  # set aside, and made anew
    assert list(path.parent.glob("result.json.damaged-*"))
