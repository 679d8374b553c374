"""A Ray cluster of two nodes on this machine: nodes die, drivers die, and studies end as if nothing had happened."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

import arch
import search
from search.record.files import read_json
from search.record.layout import results
from search.study.run import run_study
from tests.support import needs, study
from tests.support.driving import finish, start, wait_for

LONG = {"base": "default", "epochs": 12, "batch": 64, "precision": "fp32"}
SMALL = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # else Ray keeps a token in the home folder
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # so that a loopback address stays one
}


@contextmanager
def own_handler() -> Iterator[None]:
    """Keep this process's handler of SIGTERM: a node that is started here puts its own there."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def two_nodes(**head: Any) -> Iterator[Any]:
    """Start a head and one more node, one core each; nothing of them listens to the network."""
    needs("ray")
    short = tempfile.mkdtemp(prefix="ray")  # paths of sockets must be short
    installed = {"PYTHONPATH": str(Path(search.__file__).parent.parent)}  # nodes import what is tested
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (QUIET | installed | {"RAY_TMPDIR": short}).items():
            patch.setenv(name, value)
        import ray
        from ray.cluster_utils import Cluster

        with own_handler():
            nodes = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False, **head})
        try:
            with own_handler():
                nodes.add_node(**SMALL)
            yield nodes
        finally:
            ray.shutdown()
            nodes.shutdown()
            shutil.rmtree(short, ignore_errors=True)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Two nodes for all tests: they take longer to start than most trainings."""
    with two_nodes() as made:
        yield made


@pytest.fixture
def cluster(nodes: Any) -> Iterator[Any]:
    """The two nodes, with nobody connected to them; one that was killed is replaced."""
    yield nodes
    import ray

    ray.shutdown()
    if not nodes.worker_nodes:
        with own_handler():
            nodes.add_node(**SMALL)


def config(tmp_path: Path, address: str, **changes: object) -> dict[str, Any]:
    """A study on the cluster, also written to study.yaml."""
    asked = study(recipe=LONG, trials=3, engine={"name": "ray", "address": address, "threads": 1}) | changes
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(asked))
    return asked


def figures(run: Path) -> dict[object, tuple]:
    base = read_json(run / "base" / "result.json")
    return {r["trial"]: (r["state"], r["val_loss"], r["train_loss"], r["key"]) for r in [base, *results(run)]}


def states(run: Path) -> list[str]:
    loaded = optuna.load_study(study_name="micro", storage=f"sqlite:///{run / 'study.db'}")
    return [trial.state.name for trial in loaded.trials]


def trainings(cluster: Any) -> list[str]:
    """The command lines of worker processes that are training on the cluster's nodes."""
    raylets = [str(node.all_processes["raylet"][0].process.pid) for node in cluster.list_all_nodes()]
    found = subprocess.run(["pgrep", "-P", ",".join(raylets), "-a", "-f", "ray::train_here"], capture_output=True)
    return found.stdout.decode().splitlines()


@pytest.mark.fault("a Ray node is killed")
@pytest.mark.slow
def test_a_node_that_dies_costs_an_attempt_and_nothing_else(cluster: Any, tmp_path: Path) -> None:
    asked = config(tmp_path, cluster.address, trials=2)
    run = tmp_path / "run"
    process = start(tmp_path)
    wait_for(lambda: all((run / name / "metrics.jsonl").exists() for name in ("base", "trials/00000")), process)
    assert len(trainings(cluster)) == 2
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    text = process.communicate(timeout=300)[0]
    assert process.returncode == 0, text
    assert text.count("its worker or node died; attempt 2 of 4") == 1, text
    assert states(run) == ["COMPLETE"] * 2
    assert trainings(cluster) == []
    assert not list(run.glob(".seen-*"))
    # Nothing was lost and nothing done twice: every figure is that of a study in one process.
    run_study(asked | {"engine": {"name": "inprocess", "threads": 1}}, tmp_path / "whole")
    assert figures(run) == figures(tmp_path / "whole")


@pytest.mark.fault("a Ray driver is killed")
@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_nothing_running_and_is_resumed(cluster: Any, tmp_path: Path) -> None:
    config(tmp_path, cluster.address)
    run = tmp_path / "run"
    process = start(tmp_path)
    wait_for(lambda: any(run.glob("trials/*/result.json")), process)
    process.kill()
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in run.glob("trials/*/result.json")}
    assert before
    resumed = finish(tmp_path)
    text = resumed.stdout + resumed.stderr
    assert resumed.returncode == 0, text
    assert states(run) == ["COMPLETE"] * 3
    assert {path: path.stat().st_mtime_ns for path in before} == before  # finished trials were not trained again
    assert not any(f"trial {int(path.parent.name)} epoch" in text for path in before)
    assert trainings(cluster) == []


@pytest.mark.fault("SIGTERM or Ctrl-C")
@pytest.mark.slow
def test_a_signal_makes_trainings_stop_at_a_checkpoint(cluster: Any, tmp_path: Path) -> None:
    config(tmp_path, cluster.address, recipe=LONG | {"epochs": 2000}, engine={
        "name": "ray", "address": cluster.address, "threads": 1, "workers": 3,  # one more than there is room for
    })  # fmt: skip
    run = tmp_path / "run"
    process = start(tmp_path)
    wait_for(lambda: all((run / name / "metrics.jsonl").exists() for name in ("base", "trials/00000")), process)
    process.send_signal(signal.SIGTERM)
    text = process.communicate(timeout=150)[0]
    assert process.returncode == 143, text
    assert sorted(path.parent.name for path in run.rglob("checkpoint.pt")) == ["00000", "base"]
    assert trainings(cluster) == []


def test_where_the_run_directory_is_not_shared_files_come_back_through_ray(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "search.engines.ray.cluster.write_text", lambda *_: None
    )  # the nodes look for the marker in vain
    run = tmp_path / "run"
    recipe = LONG | {"epochs": 2}
    pruned = config(tmp_path, cluster.address, recipe=recipe, trials=2, pruner={"name": "threshold", "lower": 1.1})
    assert run_study(pruned, run).finished == 2
    assert [r["state"] for r in results(run)] == ["pruned"] * 2
    kept = {path.name for path in (run / "base").iterdir()}
    assert kept == {
        "spec.yaml",
        "recipe.yaml",
        "metrics.jsonl",
        "environment.json",
        "result.json",
        "weights.safetensors",
        "class_indices.json",
    }
    run_study(pruned | {"engine": {"name": "inprocess", "threads": 1}}, tmp_path / "whole")
    assert figures(run) == figures(tmp_path / "whole")


@pytest.mark.fault("a worker is killed")
@pytest.mark.slow
def test_a_worker_that_always_dies_fails_its_trial_with_the_reason(cluster: Any, tmp_path: Path) -> None:
    """A time limit that nothing can meet: each attempt is killed, and the study goes on to its end."""
    engine = {"name": "ray", "address": cluster.address, "threads": 1, "time_limit": 0.5, "max_retries": 1}
    asked = config(tmp_path, cluster.address, recipe=LONG | {"epochs": 2000}, trials=1, engine=engine)
    run = tmp_path / "run"
    assert run_study(asked, run).finished == 1
    result = read_json(run / "trials" / "00000" / "result.json")
    assert (result["state"], result["reason"]) == ("failed", "it took more than 0.5 s, attempt 2 of 2")
    assert trainings(cluster) == []


@pytest.mark.slow
def test_a_driver_that_is_no_node_connects_through_rays_client(tmp_path: Path) -> None:
    with two_nodes(ray_client_server_port=23456) as cluster:
        config(tmp_path, "ray://127.0.0.1:23456", trials=2)
        process = start(tmp_path)
        text = process.communicate(timeout=300)[0]
        assert process.returncode == 0, text
        assert states(tmp_path / "run") == ["COMPLETE"] * 2
        assert trainings(cluster) == []


def test_a_cluster_without_inceptory_is_refused_with_a_word(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere:
        """A mailbox whose import fails on the node."""

        def __init__(self) -> None:
            raise ModuleNotFoundError("No module named 'search'")

        async def take(self, wait: float) -> None: ...

    monkeypatch.setattr("search.engines.ray.cluster.Mailbox", Elsewhere)
    with pytest.raises(arch.InputError, match=r"No module named 'search'.*install inceptory on every node"):
        run_study(config(tmp_path, cluster.address), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(arch.InputError, match=r"pip install 'inceptory\[ray\]'"):
        run_study(study(engine={"name": "ray"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_ray_is_imported_only_where_it_is_asked_for() -> None:
    code = "import sys, search.study.run, search.engines.choose; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0
