"""Commands about one trained network: evaluate, predict, export; and how fast a network is."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arch.errors import InputError
from inceptory.app import app
from inceptory.options import ClassesOption, Format, FormatOption, InputOption, network_of
from inceptory.printing import err, print_rows, print_tables, say

if TYPE_CHECKING:
    from search.evaluation.bench import Bench
    from search.evaluation.evaluate import Evaluation

_MATRIX = 20  # classes up to which the whole confusion matrix is printed

WeightsArgument = Annotated[Path, typer.Argument(help="weights (.safetensors), or the folder of a training")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps")]
ExecutionOption = Annotated[str, typer.Option(help="auto, plain or fused (for CPUs)")]


class Split(StrEnum):
    """Which images weights are judged on."""

    val = "val"
    test = "test"


@app.command()
def evaluate(
    weights: WeightsArgument,
    data: Annotated[
        str | None, typer.Option(help="another data set or folder; by default the one that was trained on")
    ] = None,
    split: Annotated[
        Split, typer.Option(help="val: the held-out images of the training; test: opens the test set, recorded.")
    ] = Split.val,
    device: DeviceOption = "auto",
    execution: ExecutionOption = "auto",
    format: FormatOption = Format.table,
) -> None:
    """Judge trained weights: accuracy, by class, confusion, calibration, auxiliary heads."""
    from search.evaluation.evaluate import evaluate as judge

    found = judge(weights, data, split.value, device=device, execution=execution)
    if format is Format.json:
        print(json.dumps(found.record(), indent=2))
    else:
        print_tables(_evaluation_tables(found), format)


def _evaluation_tables(found: Evaluation) -> list[Any]:
    import pandas as pd

    from reports.tables.table import Table, decimals, percent, whole

    ran = found.environment
    images = f"{found.images:,} images of {found.data}, {'held out' if found.split == 'val' else 'the test set'}"
    notes = [
        f"Accuracies in %. {images}; {found.network}, recipe {found.recipe}, one training; {ran['processor']}, "
        f"{ran['device']}, {ran['precision']}, {ran['execution']}.",
        f"Calibration error: |accuracy - confidence| over {len(found.bins)} even bins of confidence, weighted by their "
        "images (Guo et al. 2017, arXiv 1706.04599).",
    ]
    if found.split == "test":
        notes.append(f"The test set was opened; {Path(found.weights).parent / 'test_openings.jsonl'} says so.")
    if found.top5_accuracy is not None and len(found.classes) <= 20:
        notes.append(f"Guessing reaches {5 / len(found.classes):.0%} of top-5.")
    if not found.train_images_known:
        notes.append("These weights do not say what they were trained on: some of these images may be among it.")
    line = {
        "network": found.network,
        "data": found.data,
        "split": found.split,
        "images": found.images,
        "top-1": found.accuracy,
        **({} if found.top5_accuracy is None else {"top-5": found.top5_accuracy}),
        **{f"aux {row}": accuracy for row, accuracy in found.heads.items()},
        "loss": found.loss,
        "calibration error": found.calibration_error,
    }
    shares = {key: percent for key in line if key.startswith(("top-", "aux ", "calibration"))}
    frame = pd.DataFrame(found.bins)
    bins = frame[frame["images"] > 0]
    rates = {"accuracy": percent, "precision": percent, "confidence": percent, "images": whole}
    edges = {"lower": decimals(3), "upper": decimals(3)}
    return [
        Table(
            "evaluation",
            "Evaluation",
            pd.DataFrame([line]),
            {"images": whole, "loss": decimals(4)} | shares,
            tuple(notes),
        ),
        Table("calibration", "Confidence and accuracy", bins, rates | edges),
        _confusion_table(found),
        Table("classes", "By class", pd.DataFrame(found.classes), rates),
    ]


def _confusion_table(found: Evaluation) -> Any:
    import pandas as pd

    from reports.tables.table import Table

    names = [row["class"] for row in found.classes]
    if len(names) <= _MATRIX:
        frame = pd.DataFrame(found.confusion, columns=names)
        frame.insert(0, "true class", names)
        return Table("confusion", "Confusion: images of each class by the class they were given", frame)
    pairs = [
        {"true class": names[i], "given class": names[j], "images": count}
        for i, row in enumerate(found.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    frame = pd.DataFrame(pairs, columns=["true class", "given class", "images"])
    frame = frame.sort_values("images", ascending=False, kind="stable").head(_MATRIX)
    return Table("confusion", f"The {len(frame)} most frequent confusions", frame)


@app.command()
def predict(
    weights: WeightsArgument,
    images: Annotated[list[str] | None, typer.Argument(help="image files, and folders of them")] = None,
    url: Annotated[
        list[str] | None, typer.Option("--url", help="An http(s) address to fetch; may be repeated.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="how many classes are named")] = 5,
    classes_file: Annotated[
        Path | None, typer.Option("--classes-file", help="class_indices.json: names instead of those in the weights")
    ] = None,
    device: DeviceOption = "auto",
    execution: ExecutionOption = "auto",
    format: FormatOption = Format.table,
) -> None:
    """Say what images show, by falling probability; 1 if one of them could not be read."""
    from search.evaluation.predict import predict as ask

    how: dict[str, Any] = {"classes_file": classes_file, "device": device, "execution": execution}
    found = ask(weights, images or [], urls=url or [], top=top, **how)
    if format is Format.json:
        print(json.dumps([prediction.record() for prediction in found], indent=2))
    else:
        rows = [
            {"image": prediction.image, "rank": rank, "class": name, "probability": value}
            for prediction in found
            for rank, (name, value) in enumerate(prediction.top, 1)
        ]
        if rows:
            print_rows(rows, format, name="predictions")
    failed = [prediction.error for prediction in found if prediction.error]
    for error in failed:
        err.print(f"inceptory: {error}", markup=False, highlight=False)
    if failed:
        raise typer.Exit(1)


@app.command()
def export(
    weights: WeightsArgument,
    to: Annotated[str, typer.Option(help="onnx (extra `onnx`) or torch-export")],
    out: Annotated[Path | None, typer.Option(help="the file; by default beside the weights")] = None,
) -> None:
    """Write weights for other programs, once the written network has been run against the original."""
    from arch.exchange.export import BATCHES, ENDINGS, TOLERANCE, check_export
    from arch.exchange.export import export as write
    from arch.specs.write import to_yaml
    from search.training.weights import find_weights, read_weights

    file = out or find_weights(weights).with_suffix(ENDINGS.get(to, ""))
    check_export(to, file)
    if file.resolve() == find_weights(weights).resolve():
        raise InputError(f"{file}: is the file of weights; name another one to write.")
    found = read_weights(weights)
    metadata = {"spec": to_yaml(found.spec), "about": found.about.model_dump_json()}
    done = write(found.network(), file, to, metadata)
    say(
        f"{done.bytes:,} bytes written to {done.file}: normalised images (N, {', '.join(map(str, found.spec.input))}) "
        f"to logits (N, {found.spec.classes}), without auxiliary heads\n"
        f"largest difference from the original {done.difference:.2g} of the largest logit, on batches of "
        f"{', '.join(map(str, BATCHES))} (at most {TOLERANCE:g})"
    )


@app.command()
def bench(
    network: Annotated[str, typer.Argument(help="a network's name or YAML file")],
    batch: Annotated[str, typer.Option(help="sizes of batches")] = "1,32,128",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU threads")] = 1,
    train: Annotated[bool, typer.Option("--train", help="Time training steps too.")] = False,
    batches: Annotated[int, typer.Option(min=2, max=1_000_000, help="timed batches")] = 100,
    warm_up: Annotated[int, typer.Option(min=0, max=1_000_000, help="batches before them")] = 10,
    recipe: Annotated[str, typer.Option(help="whose optimizer a training step runs")] = "default",
    input: InputOption = None,
    classes: ClassesOption = None,
    device: DeviceOption = "auto",
    execution: Annotated[str, typer.Option(help="auto, plain, fused (for CPUs) or compiled (for GPUs)")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16")] = "auto",
    format: FormatOption = Format.table,
) -> None:
    """Time a network's batches, forward and in training: mean and deviation, img/s and MACs/s."""
    sizes = [int(part) if part.strip().isdecimal() else 0 for part in batch.split(",")]
    if min(sizes) < 1:
        raise InputError(f"--batch is '{batch}', but it must be whole numbers from 1, as 1,32,128.")
    if precision not in ("auto", "fp32", "bf16"):
        raise InputError(f"--precision is '{precision}', but it must be auto, fp32 or bf16.")
    from search.evaluation.bench import bench as measure
    from search.recipes.load import load_recipe

    how: dict[str, Any] = {"threads": threads, "device": device, "execution": execution, "precision": precision}
    spec, chosen = network_of(network, input, classes), load_recipe(recipe)
    found = measure(spec, sizes, train=train, repeats=batches, warm_up=warm_up, recipe=chosen, **how)
    if format is Format.json:
        print(json.dumps(found.record(), indent=2))
    else:
        print_tables([_bench_table(found)], format)


def _bench_table(found: Bench) -> Any:
    import pandas as pd

    from reports.tables.table import Table, decimals, whole
    from search.evaluation.bench import BACKWARD

    ran = found.environment
    shape = "x".join(map(str, found.input))
    notes = [
        f"{found.network}, {shape}; mean and standard deviation over {found.timings[0].batches} batches after "
        f"{found.warm_up} of warm-up; {ran['processor']}, {ran['device']}, {ran['threads']} thread(s), "
        f"{ran['precision']}, {ran['execution']}; torch {ran['versions']['torch']}, Python {ran['python']}."
    ]
    if found.recipe:
        notes.append(
            f"Training: forward with all heads, loss, backward and the optimizer of recipe {found.recipe}; its MACs are "
            f"{BACKWARD} times those of its forward pass, by convention."
        )
    rows = [
        {
            "mode": timing.mode,
            "batch": timing.batch,
            "mean (ms)": timing.mean_ms,
            "std (ms)": timing.std_ms,
            "img/s": timing.images_per_second,
            "GMACs/s": timing.macs_per_second / 1e9,
        }
        for timing in found.timings
    ]
    formats = {"mean (ms)": decimals(3), "std (ms)": decimals(3), "img/s": whole, "GMACs/s": decimals(2)}
    return Table("bench", f"Time of a batch of {found.network}", pd.DataFrame(rows), formats, tuple(notes))
