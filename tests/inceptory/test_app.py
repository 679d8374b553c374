from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torchvision
import typer
import yaml
from safetensors.torch import load_file, save_file

import arch
from arch.errors import InputError
from arch.specs.edit import with_args
from inceptory import networks
from inceptory.options import overridden, overrides
from search.record.files import read_json, replace_file
from tests.support import MICRO, ROOT, study
from tests.support.commands import here as run


@pytest.mark.parametrize("kind", ["networks", "blocks", "heads", "recipes", "datasets"])
def test_list(kind: str) -> None:
    done = run("list", kind, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) >= 3
    assert run("list", kind).stdout.splitlines()[0].startswith("name")


def test_list_by_wildcard() -> None:
    names = [row["name"] for row in json.loads(run("list", "networks", "inception*", "--format", "json").stdout)]
    assert names == [name for name in arch.list_networks() if name.startswith("inception")]


def test_count_json_has_the_promised_keys() -> None:
    network = json.loads(run("count", "googlenet", "--format", "json").stdout)[0]
    assert network["network"] == "googlenet"
    assert network["input"] == [3, 224, 224]
    assert (network["params"], network["macs"], network["aux_params"]) == (6_998_552, 1_582_671_872, 6_379_728)
    assert network["aux_macs"] == 8_372_224
    assert network["activations"] > 0
    assert sum(row["macs"] for row in network["rows"]) == network["macs"]
    assert sum(row["params"] for row in network["rows"]) == network["params"]
    assert set(network["rows"][0]) == {"name", "block", "output", "params", "macs"}
    changed = json.loads(
        run("count", "googlenet_cifar", "--input", "3x64x64", "--classes", "100", "--format", "json").stdout
    )[0]
    assert changed["input"] == [3, 64, 64]
    assert changed["rows"][-1]["output"] == [100]


def test_count_check_asks_the_judge() -> None:
    done = run("count", "googlenet_cifar_small", str(MICRO), "--check", "--format", "json")
    rows = json.loads(done.stdout)
    assert [row["fvcore"] for row in rows] == ["agrees", "agrees"]
    assert all(row["fvcore_adds"] > 0 for row in rows)
    assert (done.returncode, done.stderr) == (0, "")


def test_count_check_fails_where_another_network_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "arch.modules.fvcore_check.build", lambda spec: arch.build(with_args(spec, "stem", {"out": 33}))
    )
    with pytest.raises(typer.Exit) as left:
        networks.count(["googlenet_cifar_tiny"], check=True, format=networks.Format.json)
    assert left.value.exit_code == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)[0]["fvcore"] == "DIFFERS"
    assert "googlenet_cifar_tiny: params 228,058 from the spec, " in " ".join(printed.err.split())


def test_show_yaml_is_accepted_by_count_also_after_an_edit(tmp_path: Path) -> None:
    text = run("show", "googlenet", "--format", "yaml").stdout
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    assert json.loads(run("count", str(file), "--format", "json").stdout)[0]["macs"] == 1_582_671_872
    edited = text.replace("b5x5: [16, 32],  pool: 32", "b5x5: [24, 48],  pool: 40")
    assert edited != text
    file.write_text(edited)
    assert json.loads(run("count", str(file), "--format", "json").stdout)[0]["macs"] > 1_582_671_872


def test_show_and_diff() -> None:
    assert "1,582,671,872 MACs" in run("show", "googlenet").stdout
    rows = json.loads(run("diff", "googlenet_cifar_small", "inception_v2_cifar_small", "--format", "json").stdout)
    assert rows[-1]["MACs"] == 0
    by_name = {row["row"]: row for row in rows}
    assert by_name["stem"]["inception_v2_cifar_small"] == "="
    assert by_name["5b"]["inception_v2_cifar_small"].startswith("inception_v2")


def test_count_measures_the_network_too() -> None:
    network = json.loads(run("count", "googlenet_bn_cifar32", "--format", "json").stdout)[0]
    assert (network["dead_weights"], network["depth"], network["receptive_field"]) == (1_404_928, 22, [715, 715])
    assert network["peak_memory_bytes"] == 4 * (64 * 16 * 16 + 64 * 8 * 8)
    assert (
        json.loads(run("count", "googlenet_bn_cifar32", "--input", "3x224x224", "--format", "json").stdout)[0][
            "dead_weights"
        ]
        == 0
    )
    line = next(csv.DictReader(io.StringIO(run("count", "googlenet_bn_cifar32", "--format", "csv").stdout)))
    assert (line["receptive_field"], line["peak_memory_MiB"]) == ("715x715", "0.078125")


def test_tables_fit_160_columns_where_the_output_is_no_terminal() -> None:
    for args in (
        ["count", "*"],
        ["diff", "inception_v3", "googlenet"],
        ["show", "inception_v4"],
    ):
        command = [sys.executable, "-m", "inceptory", *args]
        env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0
        assert 80 < max(map(len, done.stdout.splitlines())) <= 160
        assert "\u2026" not in done.stdout


def test_show_warns_of_dead_weights() -> None:
    done = run("show", "googlenet_bn_cifar32")
    assert "warning: 1,404,928 weights, 23.4 % of the parameters" in done.stdout
    assert "4a, 4b, 4c, 4d, 4e: 5x5 kernels on 2x2 maps" in done.stdout
    assert "warning" not in run("show", "googlenet").stdout
    asked = run("show", "googlenet_bn_cifar32", "--format", "json")
    rows = {row["row"]: row for row in json.loads(asked.stdout)}
    assert "1,404,928" in asked.stderr
    assert (rows["4a"]["dead_weights"], rows["4a"]["depth"], rows["4a"]["receptive_field"]) == (12_288, 2, "171x171")
    assert rows["4a"]["arguments"].startswith("b1x1 192")  # not its head's
    assert rows["aux 4a"]["arguments"] == ""


def test_show_as_a_papers_table() -> None:
    text = run("show", "googlenet", "--format", "latex").stdout
    assert r"inception v1 (3a) &  & 28$\times$28$\times$256 & 2 & 64 & 96 & 128 & 16 & 32 & 32 & 164 & 128 \\" in text


@pytest.mark.parametrize("kind", ["csv", "md", "latex"])
def test_other_formats(kind: str) -> None:
    text = run("count", "googlenet", "--format", kind).stdout
    assert "googlenet" in text
    if kind == "csv":
        assert next(csv.DictReader(io.StringIO(text)))["macs"] == "1582671872"


@pytest.mark.parametrize(
    ("args", "fragment"),
    [
        (["count", "goglenet"], "googlenet"),
        (["count", "nowhere.yaml"], "cannot be read"),
        (["count", "googlenet", "--input", "3x32"], "--input"),
        (["count", "googlenet", "--input", "3x4x4"], "leaves nothing"),
        (["list", "network"], "Did you mean networks"),
        (["train", "googlenet", "--data", "digits"], "--input 3x32x32"),
        (["train", "googlenet_cifar_small", "--data", "digits", "--set", "recipe.epoch=1"], "Did you mean epochs"),
        (["train", "googlenet_cifar_small", "--data", "digits", "--set", "recip.lr=1"], "Did you mean recipe"),
        (["train", "googlenet_cifar_small", "--data", "cifar101"], "Did you mean cifar10"),
        (["train", "googlenet_cifar_small", "--data", "digits", "--device", "cuda:9"], "device"),
        (["search", "nowhere.yaml"], "cannot be read"),
        (["train", "googlenet_cifar_small", "--data", "digits", "--set", "data.val_fraction=2"], "val_fraction"),
        (["train", "googlenet_cifar_small", "--data", "digits", "--set", "recipe.random_resized_crop=true"], "folders"),
        (["count", "nothing*"], "no network matches"),
        (["status", "nowhere"], "no run is here"),
        (["best", "nowhere"], "no run is here"),
        (["report", "nowhere"], "no run is here"),
        (["confirm", "nowhere"], "no study with trials is here"),
        (["confirm", "nowhere", "--with", "other"], "as RUN2:5"),
        (["confirm", "nowhere", "--seeds", "six"], "as 11,12,13"),
        (["confirm", "nowhere", "--set", "data.name=digits"], "unknown section 'data'"),
        (["convert", "inception_v3", "no.pth", "x.pth", "--to", "timm", "--from", "timm"], "either --from"),
        (["convert", "inception_v3", "no.pth", "x.pth", "--from", "torchvision"], "cannot be read"),
        (["convert", "inception_v3", "no.pth", "no.pth", "--from", "torchvision"], "name another one"),
        (["convert", "inception_v3", "no.pth", "x.pth", "--from", "torchvizion"], "Did you mean torchvision"),
        (["convert", "inception_v3", "no.pth", "a/x.pth", "--from", "torchvision"], "make it first"),
        (["draw", "googlenet", "--to", os.devnull], "name one"),
        (["count"], "Missing argument"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_input_is_code_2_and_one_paragraph(args: list[str], fragment: str, tmp_path: Path) -> None:
    done = run(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert fragment in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "args", [["list"], ["count", "googlenet"], ["diff", "googlenet", "googlenet_cifar"], ["ledger"], ["status", "RUN"]]
)
def test_torch_is_not_imported_where_it_is_not_needed(args: list[str], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(MICRO.read_text())
    args = [str(tmp_path) if arg == "RUN" else arg for arg in args]
    code = f"import sys; sys.argv = ['inceptory', *{args!r}]\nimport inceptory\ntry:\n inceptory.main()\nexcept SystemExit as e:\n assert not e.code\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_set_is_merged_into_a_files_sections_and_its_own_keys() -> None:
    file = {"name": "x", "recipe": "default", "data": {"name": "digits", "val_fraction": 0.2}, "seeds": 6}
    sections = ("recipe", "data", "ablation")
    changes = overrides(["recipe.lr=0.1", "data.val_fraction=0.5", "ablation.seeds=[3, 4]"], sections)
    assert overridden(file, changes, "ablation") == {
        "name": "x",
        "recipe": {"base": "default", "lr": 0.1},
        "data": {"name": "digits", "val_fraction": 0.5},
        "seeds": [3, 4],
    }
    assert overridden(file, overrides(None, sections), "ablation") == file
    whole = overrides(["ablation.recipe={base: muon}", "recipe.lr=0.1"], sections)
    assert overridden(file, whole, "ablation")["recipe"] == {"base": "muon", "lr": 0.1}
    with pytest.raises(InputError, match=r"goes with a mapping, but ablation\.data is 'cifar10'"):
        overridden(file, overrides(["ablation.data=cifar10", "data.val_fraction=0.5"], sections), "ablation")


def test_convert_carries_weights_there_and_back(tmp_path: Path) -> None:
    network = arch.build(arch.load("googlenet_torchvision"))
    save_file(network.state_dict(), tmp_path / "ours.safetensors")
    there = ("ours.safetensors", "theirs.pth", "--to", "torchvision")
    back = ("theirs.pth", "again.safetensors", "--from", "torchvision")
    for args in (there, back):
        done = run("convert", "googlenet_torchvision", *args, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    theirs = torchvision.models.googlenet(init_weights=False)
    theirs.load_state_dict(torch.load(tmp_path / "theirs.pth", weights_only=True))
    again = load_file(tmp_path / "again.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in network.state_dict().items())


def test_from_a_study_to_its_report(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(trials=2)))
    done = run("search", "study.yaml", "--set", "recipe.epochs=1", "--set", "sampler.name=tpe", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "complete: 2 of 2 trials finished" in done.stdout
    assert "held-out accuracy" in done.stderr
    status = json.loads(run("status", "runs/micro", "--format", "json", cwd=tmp_path).stdout)[0]
    assert (status["finished"], status["of"], status["complete"]) == (2, 2, 2)
    assert "best network next to the base" in run("best", "runs/micro", cwd=tmp_path).stdout
    best = run("best", "runs/micro", "--format", "yaml", cwd=tmp_path).stdout
    (tmp_path / "best.yaml").write_text(best)
    assert run("count", "best.yaml", cwd=tmp_path).returncode == 0
    assert run("report", "runs/micro", cwd=tmp_path).stdout.strip() == "runs/micro/report/index.html"
    traced = run("report", "runs/micro", "--trace", "trials", "0", "MACs (M)", cwd=tmp_path).stdout.splitlines()
    assert traced[0].startswith("trials, 0, MACs (M): ")
    assert traced[1:] == ["runs/micro/trials/00000"]
    wrong = run("report", "runs/micro", "--trace", "trial", "0", "MACs (M)", cwd=tmp_path)
    assert (wrong.returncode, "Did you mean trials?" in wrong.stderr) == (2, True)
    assert yaml.safe_load((tmp_path / "runs/micro/study.yaml").read_text())["sampler"]["name"] == "tpe"
    confirm = ("confirm", "runs/micro", "--trial", "1", "--seeds", "5,6", "--format")
    confirmed = run(*confirm, "json", cwd=tmp_path)
    assert confirmed.returncode == 0, confirmed.stderr
    tables = json.loads(confirmed.stdout)
    assert [row["network"] for row in tables["confirmation"]] == ["base", "trial-1"]
    assert tables["confirmation_differences"][0]["verdict"] == "no verdict: 2 of 6 seeds"
    rows = list(csv.DictReader(io.StringIO(run(*confirm, "csv", cwd=tmp_path).stdout)))
    assert [(row["network"], row["seed"]) for row in rows] == [
        ("base", "5"),
        ("base", "6"),
        ("trial-1", "5"),
        ("trial-1", "6"),
    ]


def test_train_stops_resumes_and_answers_from_its_record(tmp_path: Path) -> None:
    args = ["train", str(MICRO), "--data", "digits", "--threads", "1", "--test", "--run", "run"]
    short = ["--set", "recipe.epochs=3", "--set", "recipe.batch=32"]
    command = [sys.executable, "-m", "inceptory", *args, *short]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=env
    )
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    text = process.communicate()[1]
    assert process.returncode == 130, text
    assert "To resume: inceptory train" in text
    done = run(*args, *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = read_json(tmp_path / "run" / "result.json")
    assert result["epochs"] == 3
    assert f"test accuracy {result['test_accuracy']:.2%}" in done.stdout
    assert run(*args, *short, cwd=tmp_path).stdout == done.stdout
    assert len((tmp_path / "run" / "test_openings.jsonl").read_text().splitlines()) == 1
    assert run(*args, "--set", "recipe.epochs=2", cwd=tmp_path).returncode == 2


def test_a_failed_training_is_code_1(tmp_path: Path) -> None:
    plain = arch.from_mapping(arch.to_mapping(arch.load(MICRO)) | {"style": {"norm": "none"}})
    (tmp_path / "plain.yaml").write_text(arch.to_yaml(plain))
    wild = ["recipe.lr=99", "recipe.warmup=0", "recipe.schedule=constant", "recipe.batch=16", "recipe.weight_decay=1"]
    args = ["train", "plain.yaml", "--data", "digits", "--threads", "1"]
    done = run(*args, *(part for value in wild for part in ("--set", value)), cwd=tmp_path)
    assert done.returncode == 1
    assert "diverged" in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing half written stays, and the command to give again is said."""

    def written(*_: object, **__: object) -> None:
        replace_file(tmp_path / "index.html", lambda temporary: os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr("reports.page.watch.write", written)
    done = run("report", "runs/mine")
    assert done.returncode == 143, done.stderr
    assert done.stderr == "stopped at once; what is recorded stays. To resume: inceptory report runs/mine\n"
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
