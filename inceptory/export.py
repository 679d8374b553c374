"""The commands that carry weights to and from other libraries and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arch.errors import InputError
from inceptory.app import NETWORKS, TRAINING, app
from inceptory.options import ClassesOption, NetworkArgument, WeightsArgument, network_of
from inceptory.printing import say


@app.command(rich_help_panel=NETWORKS)
def convert(
    network: NetworkArgument,
    source: Annotated[Path, typer.Argument(help="Read these weights: .safetensors, .pt or .pth.")],
    target: Annotated[Path, typer.Argument(help="Write the weights here, with one of the same endings.")],
    from_: Annotated[str, typer.Option("--from", help="The weights come from this library: torchvision or timm.")] = "",
    to: Annotated[str, typer.Option("--to", help="The weights are for this library: torchvision or timm.")] = "",
    classes: ClassesOption = None,
) -> None:
    """Convert weights from a library's network to ours, or back."""
    from arch.exchange.convert import check_target, from_library, read_weights, to_library, write_weights
    from arch.exchange.library_names import library_keys

    if bool(from_) == bool(to):
        raise InputError("weights go one way: give either --from LIBRARY or --to LIBRARY.")
    if source.resolve() == target.resolve():
        raise InputError(f"{target}: is the file that is read; name another one to write.")
    spec = network_of(network, None, classes)
    library_keys(spec, from_ or to)  # refuses an unknown library before any file is read
    check_target(target)
    weights = read_weights(source)
    converted = from_library(spec, from_, weights) if from_ else to_library(spec, to, weights)
    write_weights(target, converted)
    say(f"{len(converted)} tensors of {spec.name} written to {target}")


@app.command(rich_help_panel=TRAINING)
def export(
    weights: WeightsArgument,
    to: Annotated[str, typer.Option(help="Write this format: onnx (needs the extra `onnx`) or torch-export.")],
    out: Annotated[Path | None, typer.Option(help="Write this file; without it, next to the weights.")] = None,
) -> None:
    """Export trained weights to ONNX or torch.export.

    The file is kept only if it computes what the original network does.
    """
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
