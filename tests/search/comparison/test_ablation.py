from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import arch
import inceptory
import reports
import search
from reports.page.report import report
from reports.page.summary import summarised
from reports.tables.run_tables import tables_of
from search.comparison.ablation import candidates, load_ablation
from search.comparison.confirm import fresh_seeds
from search.record.files import read_json, read_lines
from search.record.status import status
from tests.support import MICRO, ROOT

SHIPPED = ROOT / "studies" / "ablations"
ONE = {"base": "default", "epochs": 1, "batch": 256, "precision": "fp32"}


def ablation(**changes: object) -> dict[str, Any]:
    """An ablation of the micro network that takes seconds."""
    return {
        "name": "micro",
        "network": str(MICRO),
        "data": "digits",
        "recipe": ONE,
        "changes": {"none": {"heads": [], "about": "no heads"}},
        "seeds": 2,
        "engine": {"workers": 1, "threads": 1},
        **changes,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "micro"
    search.run_ablation(ablation(), folder)
    return folder


def stamps(run: Path) -> dict[str, int]:
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in run.glob("*/*/result.json")}


# What a change is


def changed(change: dict[str, Any], **more: object) -> arch.Spec:
    return candidates(load_ablation(ablation(changes={"it": change}, **more)))["it"][0].spec


def test_a_family_keeps_the_splits_and_iso_macs_keeps_the_cost() -> None:
    small = {"network": "googlenet_cifar_small"}
    base = arch.load("googlenet_cifar_small")
    plain, solved = ({"family": "inception_v3"}, {"family": "inception_v3", "iso_macs": True})
    v3 = changed(plain, **small)
    assert {row.block for row in v3.rows if row.name[0].isdigit()} == {"inception_v3"}
    assert arch.cost(v3).macs < 0.7 * arch.cost(base).macs
    assert arch.cost(changed(solved, **small)).macs == pytest.approx(arch.cost(base).macs, rel=0.01)
    by_stage = changed({"family": {"4": "inception_v2", "5b": "inception_v3"}}, **small)
    assert [row.block for row in by_stage.rows if row.name in ("3a", "4a", "4b", "5a", "5b")] == [
        "inception_v1",
        "inception_v2",
        "inception_v2",
        "inception_v1",
        "inception_v3",
    ]


def test_edits_arguments_heads_and_recipe() -> None:
    assert changed({"edits": {"style": {"norm": "none"}}}).style.norm == "none"
    scaled = changed({"family": "inception_residual", "args": {"scale": 0.1}})
    assert {row.args["scale"] for row in scaled.rows if row.block == "inception_residual"} == {0.1}
    assert changed({"heads": []}).aux_rows == ()
    found = candidates(load_ablation(ablation(changes={"slow": {"recipe": {"lr": 0.01}}})))
    assert (found["slow"][0].recipe.lr, found["slow"][0].spec) == (0.01, found["base"][0].spec)


def test_changes_apply_to_a_changed_base() -> None:
    base = {"family": "inception_residual", "args": {"scale": 0.3}}
    found = candidates(load_ablation(ablation(base=base, changes={"none": {"family": "inception_v2"}})))
    assert any(row.block == "inception_residual" for row in found["base"][0].spec.rows)
    assert not any(row.block == "inception_residual" for row in found["none"][0].spec.rows)


def test_a_factorial_is_every_combination_but_the_bases_own() -> None:
    factors = {
        "norm": {"batch": {}, "none": {"edits": {"style": {"norm": "none"}}}},
        "rate": {"lr0.1": {}, "lr0.3": {"recipe": {"lr": 0.3}}, "lr1": {"recipe": {"lr": 1.0}}},
    }
    found = candidates(load_ablation(ablation(changes={}, factors=factors)))
    assert list(found) == ["base", "lr0.3", "lr1", "none", "none+lr0.3", "none+lr1"]
    both, about = found["none+lr1"]
    assert (both.spec.style.norm, both.recipe.lr) == ("none", 1.0)
    assert about["levels"] == {"norm": "none", "rate": "lr1"}
    assert found["base"][1]["levels"] == {"norm": "batch", "rate": "lr0.1"}


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"changes": {}}, ["at least one change"]),
        (
            {"changes": {"deep": {"network": "inception_v4", "iso_macs": True}}},
            ["change deep: iso_macs solves", "inception_v4 has none"],
        ),
        (
            {"changes": {"deep": {"network": "googlenet", "iso_macs": True}}},
            ["change deep: no widths within 1 %", "MACs; the nearest have"],
        ),
        ({"changes": {"base": {"heads": []}}}, ["cannot be called 'base'"]),
        ({"changes": {"a/b": {"heads": []}}}, ["a/b", "pattern"]),
        ({"changes": {"x": {"headss": []}}}, ["headss", "Did you mean heads"]),
        ({"changes": {"same": {}}}, ["change same", "the same network and recipe as base"]),
        ({"changes": {"x": {"args": {"n": 5}}}}, ["change x", "no row takes 'n'"]),
        ({"changes": {"x": {"family": "inception_v5"}}}, ["change x", "Families"]),
        ({"changes": {"x": {"edits": {"rows": {"9z": "remove"}}}}}, ["change x", "9z", "It has"]),
        ({"changes": {"x": {"recipe": {"epoch": 1}}}}, ["Did you mean epochs"]),
        ({"seeds": [3, 3]}, ["each seed is named once"]),
        ({"seeds": 0}, ["seeds"]),
        ({"factors": {"f": {"a": {}}}}, ["one level"]),
        ({"factors": {"f": {"a": {"heads": []}, "b": {"recipe": {"lr": 0.2}}}}}, ["the base's own"]),
    ],
)
def test_what_is_no_ablation_is_refused(changes: dict, fragments: list[str], tmp_path: Path) -> None:
    with pytest.raises(arch.InputError) as error:
        search.run_ablation(ablation(**changes), tmp_path / "run")
    for fragment in fragments:
        assert fragment in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_ablations_are_what_they_say(path: Path) -> None:
    config = load_ablation(path)
    assert config.name == path.stem
    assert config.question
    found = candidates(config)
    base = arch.cost(found["base"][0].spec).macs
    for name, (candidate, about) in found.items():
        assert about["about"], name
        arch.build(candidate.spec)
        if "equal_macs" in name:
            assert arch.cost(candidate.spec).macs == pytest.approx(base, rel=0.01)
    if path.stem == "families":
        assert {row.block for c, _ in found.values() for row in c.spec.rows} >= {
            f"inception_{x}" for x in ("v1", "v2", "v3", "residual")
        }


# Running one


def test_every_change_with_every_seed_in_pairs(run: Path) -> None:
    seeds = fresh_seeds(2, [0])
    assert sorted(stamps(run)) == sorted(f"{c}/{s}/result.json" for c in ("base", "none") for s in seeds)
    for path in run.glob("*/*/result.json"):
        result = read_json(path)
        assert (result["change"], result["seed"]) == (path.parts[-3], int(path.parts[-2]))
        assert result["everything"]
        assert len(read_lines(path.parent / "test_openings.jsonl")) == 1
    assert status(run) | {"finished": 4, "of": 4, "complete": 4, "failed": 0} == status(run)


def test_nothing_is_trained_twice_and_a_plan_grows_on_record(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    before = stamps(copy)
    search.run_ablation(ablation(), copy)
    assert stamps(copy) == before
    more = ablation(changes={"none": {"heads": []}, "slow": {"recipe": {"lr": 0.01}}})
    outcome = search.run_ablation(more, copy)
    assert (outcome.total, outcome.complete) == (6, 6)
    assert {path: stamp for path, stamp in stamps(copy).items() if path in before} == before
    assert read_json(copy / "plan.json")["grown"][0]["to"] == {"seeds": 2, "networks": 3}
    with pytest.raises(arch.InputError, match=r"another ablation \(recipe\.epochs was 1 and is 2\)"):
        search.run_ablation(ablation(recipe=ONE | {"epochs": 2}), copy)
    with pytest.raises(arch.InputError, match=r"another ablation \(networks\.none was"):
        search.run_ablation(ablation(changes={"none": {"heads": [], "recipe": {"lr": 0.2}}}), copy)


def test_frames_tables_and_the_page(run: Path) -> None:
    loaded = reports.load(run)
    assert loaded.kind == "ablation"
    assert set(loaded.trials["change"]) == {"base", "none"}
    assert loaded.trials["trial"].tolist() == [f"{c}/{s}" for c in ("base", "none") for s in fresh_seeds(2, [0])]
    assert set(loaded.epochs["change"]) == {"base", "none"}
    assert [table.name for table in tables_of(loaded)] == ["ablation", "ablation_differences", "ablation_runs"]
    assert summarised(loaded).certainty == "No verdict, 2 of 6 seeds: none."
    page = report(run, run.parent / "page").read_text()
    assert "Differences to the base" in page
    again = reports.load(run.parent / "page")
    assert again.kind == "ablation"
    for ours, theirs in zip(tables_of(loaded), tables_of(again), strict=True):
        assert ours.markdown() == theirs.markdown()


def test_on_held_out_images_the_test_set_stays_closed(tmp_path: Path) -> None:
    search.run_ablation(ablation(test=False, seeds=[7]), tmp_path)
    assert not list(tmp_path.glob("*/*/test_openings.jsonl"))
    table = tables_of(reports.load(tmp_path))[0]
    assert "held-out accuracy, mean (%)" in table.plain()
    assert any("the test set was not opened" in note for note in table.notes)


def test_at_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(ablation(seeds=1)))
    args = ["ablate", str(tmp_path / "a.yaml"), "--run", str(tmp_path / "run"), "--set", "recipe.epochs=1"]
    done = CliRunner().invoke(inceptory.app, [*args, "--seeds", "5,", "--format", "json"])
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "run" / "none").iterdir()] == ["5"]
    refused = CliRunner().invoke(inceptory.app, [*args, "--seeds", "five"])
    assert isinstance(refused.exception, arch.InputError)


def test_a_factor_that_is_added_later_is_said_of_the_known_networks_too(tmp_path: Path) -> None:
    first = {"name": "f", "network": str(MICRO), "data": "digits", "seeds": 1, "engine": {"name": "inprocess"}}
    slower, plainer = (
        {"own": {}, "slow": {"recipe": {"lr": 0.01}}},
        {"own": {}, "plain": {"recipe": {"nesterov": False}}},
    )
    quick = {"recipe": {"base": "default", "epochs": 1, "max_steps": 1}}
    search.run_ablation(first | quick | {"factors": {"rate": slower}}, tmp_path)
    search.run_ablation(first | quick | {"factors": {"rate": slower, "momentum": plainer}}, tmp_path)
    networks = read_json(tmp_path / "plan.json")["networks"]
    assert networks["base"]["levels"] == {"rate": "own", "momentum": "own"}
    assert all(set(about["levels"]) == {"rate", "momentum"} for about in networks.values())
