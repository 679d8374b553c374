"""Training throughput against what a user would write instead; every ratio from one alternating run.

Three contestants train the same network from the same weights in batches of the same size:

(a) plain: float32, NCHW, PIL items through a DataLoader, as the tutorials write it;
(b) tuned: (a) with channels_last and bf16 autocast;
(c) inceptory: `search.fit` with its defaults.

Each runs as two pinned one-thread processes, their sum counted (as an engine runs trials), and as one process of two
threads. In each round every contestant has its turn while the others wait. Before that it is proved that (a)
and (c) compute the same.

    python -m benchmarks.throughput --network googlenet_cifar_small --cores 2,3 --to result.json
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import arch
import search
from arch.modules.fused.fused import fuse, runs_as
from arch.modules.plain import Network
from search.data.batches import training_batches
from search.data.cache import Pixels
from search.data.dataset import Data, Memory
from search.recipes.optimizers import make_optimizer
from search.record.environment import environment
from search.training.fit import Control
from search.training.hardware import keep_freed_memory, pick_execution, pick_precision

ROOT = Path(__file__).parents[1]
BATCH = 128
CPU = torch.device("cpu")
RECIPE = search.load_recipe("default", {"batch": BATCH, "epochs": 100_000})
NAMES = {"a": "plain", "b": "tuned", "c": "inceptory"}
WAYS = {"2x1": "two processes, one thread each", "1x2": "one process, two threads"}


def load_images() -> Data:
    """Return CIFAR-10 where it is at hand, else noise of its shape."""
    try:
        return search.load_data("cifar10")
    except arch.InputError:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (50_000, 3, 32, 32), generator=generator, dtype=torch.uint8)
        labels = torch.arange(50_000) % 10
        made = Pixels.of(pixels, labels, tuple(map(str, range(10))))
        part = Memory.of(made)
        of = torch.tensor
        return Data(
            "noise", made.classes, part, part, part, of(made.mean), of(made.std), made.checksum, "none", lambda: part
        )


def network_of(name: str, seed: int = 0) -> Network:
    """Return the plain network with the weights that all start from."""
    torch.manual_seed(seed)
    return arch.build(arch.load(name))


def usual_sgd(network: Network) -> torch.optim.Optimizer:
    """Return the recipe's optimizer as users construct it."""
    values = {"lr": RECIPE.lr, "momentum": RECIPE.momentum, "weight_decay": RECIPE.weight_decay}
    return torch.optim.SGD(network.parameters(), nesterov=RECIPE.nesterov, **values)


def loss_of(network: Network, images: Tensor, labels: Tensor, bf16: bool) -> Tensor:
    """Return the training loss, auxiliary heads included."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        out = network(images)
    smoothing = RECIPE.label_smoothing
    losses = [0.3 * _cross_entropy(logits, labels, smoothing) for logits in out.aux.values()]
    return sum(losses, _cross_entropy(out.logits, labels, smoothing))


def _cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


# Proof that the contestants compute the same


def prove(name: str, data: Data) -> dict[str, float]:
    """Return how far (c) is from (a): gradients and 50 losses in float64, 50 losses in (c)'s own precision.

    The float64 steps are small, as large ones are chaotic: they part (a) from itself just as far once its weights are
    moved by 1e-15, and that distance is returned too.

    Raises
    ------
    AssertionError
        It is further than 1e-10, 1e-8 and 2 %.
    """
    batches = list(_batches(data, 50, 32))
    pairs = [pair.double().eval() for pair in _pair(name)]
    gradients = []
    for network in pairs:
        network.train()
        _no_dropout(network)
        loss_of(network, batches[0][0].double(), batches[0][1], False).backward()
        gradients.append({key: parameter.grad for key, parameter in network.named_parameters()})
    largest = max(float(grad.abs().max()) for grad in gradients[0].values())
    apart = max(
        float((gradients[1][key] - grad).abs().max()) / max(float(grad.abs().max()), 1e-3 * largest)
        for key, grad in gradients[0].items()
    )
    exact = [_losses(network.double(), batches, 1e-4) for network in (*_pair(name), _moved(network_of(name)))]
    exact_apart, noise = (max(abs(x / y - 1) for x, y in zip(exact[0], other, strict=True)) for other in exact[1:])
    plain, fused = _pair(name)
    bf16 = pick_precision("auto", CPU) == "bf16"
    own = [statistics.mean(_losses(plain, batches, 0.02)), statistics.mean(_losses(fused, batches, 0.02, bf16))]
    found = {"gradients": apart, "losses": exact_apart, "mean loss in own precision": abs(own[1] / own[0] - 1)}
    for (what, value), limit in zip(found.items(), (1e-10, 1e-8, 0.02), strict=True):
        assert value <= limit, f"{what}: {value} is over {limit}"
    return found | {"losses of (a) moved by 1e-15": noise}


def _moved(network: Network) -> Network:
    """Return (a) in float64, every weight moved by a relative 1e-15."""
    with torch.no_grad():
        for parameter in network.double().parameters():
            parameter.mul_(1 + 1e-15 * torch.randn_like(parameter))
    return network


def _pair(name: str) -> tuple[Network, Network]:
    plain = network_of(name)
    return plain, fuse(copy.deepcopy(plain))


def _no_dropout(network: Network) -> None:
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def _losses(network: Network, batches: list[tuple[Tensor, Tensor]], lr: float, bf16: bool = False) -> list[float]:
    _no_dropout(network)
    optimizer, losses = torch.optim.SGD(network.parameters(), lr, 0.9, weight_decay=5e-4, nesterov=True), []
    kind = next(network.parameters()).dtype
    for images, labels in batches:
        optimizer.zero_grad()
        loss = loss_of(network, images.to(kind), labels, bf16)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def _batches(data: Data, count: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    part = data.everything
    return data.stream(part, training_batches(len(part), size, 0, 0)[:count], RECIPE, (32, 32), CPU)


# A contestant's process


class Turns(Control):
    """Counts the steps of a training that goes on only while it is this process's turn."""

    def __init__(self, steps_alone: Callable[[float], dict[str, float]]) -> None:
        super().__init__()
        self.steps_alone = steps_alone
        self.done, self.began, self.until = 0, 0.0, 0.0
        self.most = 0

    def tick(self, done: int = 0, steps: int = 0) -> bool:
        """Take note of a step; wait once the turn is over."""
        self.done += 1
        if self.most:
            if self.done < self.most:
                return True
        elif time.perf_counter() < self.until:
            return True
        self.say(seconds=time.perf_counter() - self.began, images=self.done * BATCH)
        return self.wait()

    def wait(self) -> bool:
        """Obey commands until the training may go on."""
        for line in sys.stdin:
            command, amount = line.split()
            if command == "alone":
                self.say(**self.steps_alone(float(amount)))
                continue
            if command == "quit":
                break
            self.most = int(amount) if command == "steps" else 0
            self.done, self.began = 0, time.perf_counter()
            self.until = self.began + float(amount)
            return True
        raise SystemExit

    def say(self, **figures: float) -> None:
        """Report figures, and the memory that this process holds and has held at most, in MiB."""
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        memory = {name: int(status[key].split()[0]) / 2**10 for name, key in (("held", "VmRSS"), ("peak", "VmHWM"))}
        print(json.dumps(figures | memory), flush=True)


def contest(contestant: str, name: str, cores: list[int]) -> None:
    """Be one process of a contestant: train for ever, in turns."""
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))
    data = load_images()
    network = network_of(name)
    bf16 = contestant == "b" or (contestant == "c" and pick_precision("auto", CPU) == "bf16")
    if contestant == "c":
        network = fuse(network)
    if contestant != "a":
        network = network.to(memory_format=torch.channels_last)
    if contestant == "c":
        keep_freed_memory()  # as fit does
    optimizer = make_optimizer(RECIPE, network) if contestant == "c" else usual_sgd(network)
    images, labels = next(_batches(data, 1, BATCH))

    def step(images: Tensor, labels: Tensor) -> None:
        if contestant != "a":
            images = images.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        loss = loss_of(network, images, labels, bf16)
        loss.backward()
        optimizer.step()

    def steps_alone(seconds: float) -> dict[str, float]:
        done, began = 0, time.perf_counter()
        while time.perf_counter() < began + seconds:
            step(images, labels)
            done += 1
        return {"seconds": time.perf_counter() - began, "images": done * BATCH}

    network.train()
    turns = Turns(steps_alone)
    turns.wait()
    if contestant == "c":
        for _ in search.fit(arch.load(name), data, RECIPE, on="everything", control=turns):
            pass
    loader = pil_loader(data)
    while True:
        for batch in loader:
            step(*batch)
            turns.tick()


class PilItems(torch.utils.data.Dataset):
    """Images as torchvision's CIFAR10 gives them: PIL, then its transforms."""

    def __init__(self, data: Data) -> None:
        from torchvision import transforms

        part = data.everything
        self.images = part.pixels[part.index].permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = part.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.mean.tolist(), data.std.tolist()),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def pil_loader(data: Data) -> torch.utils.data.DataLoader:
    """Return torchvision's data path; worker processes were slower on two cores."""
    return torch.utils.data.DataLoader(PilItems(data), BATCH, shuffle=True, drop_last=True)


# The race


@dataclass
class Runner:
    """A contestant in one of the ways to use two cores."""

    contestant: str
    way: str
    processes: list[subprocess.Popen[str]]
    alone: list[float] = field(default_factory=list)
    training: list[float] = field(default_factory=list)
    peak: float = 0.0
    held: float = 0.0

    @classmethod
    def start(cls, contestant: str, way: str, name: str, cores: list[int]) -> Runner:
        """Start its processes."""
        pinned = [[core] for core in cores] if way == "2x1" else [cores]
        processes = []
        for own in pinned:
            given = ["--contest", contestant, "--network", name, "--cores", ",".join(map(str, own))]
            command = [sys.executable, "-m", "benchmarks.throughput", *given]
            env = os.environ | {"OMP_NUM_THREADS": str(len(own)), "PYTHONPATH": str(ROOT)}
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            processes.append(subprocess.Popen(command, env=env, cwd=ROOT, **pipes))
        return cls(contestant, way, processes)

    def turn(self, command: str, amount: float) -> list[dict[str, float]]:
        """Let all its processes have their turn at once; return what they report."""
        for process in self.processes:
            process.stdin.write(f"{command} {amount:g}\n")
            process.stdin.flush()
        found = [json.loads(process.stdout.readline()) for process in self.processes]
        self.peak = max([self.peak, *(one["peak"] for one in found)])
        self.held = max([self.held, *(one["held"] for one in found)])
        return found

    def close(self) -> None:
        """End its processes."""
        for process in self.processes:
            process.stdin.write("quit 0\n")
            process.stdin.close()
            process.wait()


def race(runners: list[Runner], rounds: int, seconds: float) -> None:
    """Let everyone warm up, then take turns."""
    for runner in runners:
        runner.turn("alone", 1)
        runner.turn("train", 1)
    for _ in range(rounds):
        for command in ("alone", "train"):
            for runner in runners:
                total = sum(one["images"] / one["seconds"] for one in runner.turn(command, seconds))
                (runner.alone if command == "alone" else runner.training).append(total)


def data_paths(data: Data, rounds: int, cores: list[int]) -> dict[str, list[float]]:
    """Return the img/s of both data paths on one thread, alternating."""
    os.sched_setaffinity(0, cores[:1])
    torch.set_num_threads(1)
    loader, found = pil_loader(data), {"pil": [], "inceptory": []}
    for _ in range(rounds):
        began = time.perf_counter()
        for count, _ in enumerate(loader, 1):
            if count == 30:
                break
        found["pil"].append(30 * BATCH / (time.perf_counter() - began))
        began = time.perf_counter()
        for _ in _batches(data, 200, BATCH):
            pass
        found["inceptory"].append(200 * BATCH / (time.perf_counter() - began))
    os.sched_setaffinity(0, cores)
    return found


def summary(runners: list[Runner], paths: dict[str, list[float]]) -> dict[str, Any]:
    """Return medians, spreads, and ratios to (a) as one process of two threads, round by round."""
    base = next(runner for runner in runners if (runner.contestant, runner.way) == ("a", "1x2"))
    rows = []
    for runner in runners:
        row: dict[str, Any] = {"contestant": NAMES[runner.contestant], "way": WAYS[runner.way]}
        for kind in ("alone", "training"):
            own, plain = getattr(runner, kind), getattr(base, kind)
            ratios = [one / two for one, two in zip(own, plain, strict=True)]
            row[kind] = {
                "images_per_second": statistics.median(own),
                "spread": (max(own) - min(own)) / statistics.median(own),
                "ratio": statistics.median(ratios),
                "ratios": [min(ratios), max(ratios)],
            }
        rows.append(row | {"peak_mib_a_process": runner.peak, "held_mib_a_process": runner.held})
    ours = next(runner for runner in runners if (runner.contestant, runner.way) == ("c", "2x1"))
    stream = statistics.median(paths["inceptory"])
    return {
        "rows": rows,
        "data_path": {
            "pil_images_per_second": statistics.median(paths["pil"]),
            "inceptory_images_per_second": stream,
            "ratio": statistics.median(b / a for a, b in zip(paths["pil"], paths["inceptory"], strict=True)),
            "share_of_a_step": statistics.median(ours.alone) / len(ours.processes) / stream,
        },
    }


def markdown(result: dict[str, Any]) -> str:
    """Return the tables."""
    about = result["environment"]
    lines = [
        f"{result['network']}, batch {BATCH}, {result['data']}; {about['processor']}, cores {result['cores']}; "
        f"torch {about['versions']['torch']}; {about['time'][:10]}, commit {about['commit']}; (c) is "
        f"{result['execution']} in {result['precision']}. Medians of {result['rounds']} alternating turns of "
        f"{result['seconds']:g} s; load average {result['load'][0]:.1f} before, {result['load'][1]:.1f} after.",
        "",
        "Ratios are to (a) as one process of two threads, turn by turn, with the least and the largest.",
        "",
    ]
    for kind, title in (("alone", "The step alone, prepared batches"), ("training", "End to end, each with its data")):
        lines += [
            f"{title}:",
            "",
            "| | processes | img/s | spread | ratio | MiB a process: peak, in training |",
            "|---|---|---|---|---|---|",
        ]
        for row in result["rows"]:
            figures = row[kind]
            low, high = figures["ratios"]
            lines.append(
                f"| {row['contestant']} | {row['way']} | {figures['images_per_second']:.0f} | {figures['spread']:.0%} | "
                f"{figures['ratio']:.2f} ({low:.2f} to {high:.2f}) | {row['peak_mib_a_process']:.0f}, {row['held_mib_a_process']:.0f} |"
            )
        lines.append("")
    path, proof = result["data_path"], result["proof"]
    lines.append(
        f"Data path on one thread: {path['inceptory_images_per_second']:.0f} img/s against "
        f"{path['pil_images_per_second']:.0f} of PIL and DataLoader, {path['ratio']:.1f} times; "
        f"{path['share_of_a_step']:.1%} of a step."
    )
    lines.append(
        f"(a) and (c) apart: gradients {proof['gradients']:.1e} and 50 losses {proof['losses']:.1e} in float64 (relative; "
        f"(a) with its weights moved by 1e-15: {proof['losses of (a) moved by 1e-15']:.1e}); "
        f"mean of 50 losses {proof['mean loss in own precision']:.2%} in (c)'s own precision."
    )
    if result["growth_mib"]:
        grown = ", ".join(f"{name} {value:+.1f}" for name, value in result["growth_mib"].items())
        lines.append(f"Memory held after {result['growth_steps']} more steps, MiB a process: {grown}.")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark, or one process of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="googlenet_cifar_small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--cores", default="0,1")
    parser.add_argument("--growth", type=int, default=0, help="also train (c) so many steps more and watch its memory")
    parser.add_argument("--to", type=Path, help="a JSON file; the tables go beside it as Markdown")
    parser.add_argument("--contest", choices=list(NAMES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    cores = [int(core) for core in given.cores.split(",")]
    if given.contest:
        contest(given.contest, given.network, cores)
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))
    data = load_images()
    load = [os.getloadavg()[0]]
    proof = prove(given.network, data)
    paths = data_paths(data, given.rounds, cores)
    runners = [Runner.start(contestant, way, given.network, cores) for way in WAYS for contestant in NAMES]
    race(runners, given.rounds, given.seconds)
    grown = {}
    if given.growth:
        for runner in (runner for runner in runners[:3] if runner.contestant == "c"):
            before = runner.turn("steps", 50)
            after = runner.turn("steps", given.growth)
            grown[NAMES[runner.contestant]] = max(b["held"] - a["held"] for a, b in zip(before, after, strict=True))
    for runner in runners:
        runner.close()
    load.append(os.getloadavg()[0])
    result = {
        "network": given.network,
        "data": data.name,
        "environment": environment(),
        "cores": given.cores,
        "execution": runs_as(pick_execution("auto", CPU)),
        "precision": pick_precision("auto", CPU),
        "rounds": given.rounds,
        "seconds": given.seconds,
        "load": load,
        "proof": proof,
        "growth_steps": given.growth,
        "growth_mib": grown,
        **summary(runners, paths),
    }
    print(markdown(result))
    if given.to:
        given.to.parent.mkdir(parents=True, exist_ok=True)
        given.to.write_text(json.dumps(result, indent=2) + "\n")
        given.to.with_suffix(".md").write_text(markdown(result) + "\n")


if __name__ == "__main__":
    main()
