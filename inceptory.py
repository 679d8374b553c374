"""The command line of Inceptory: thin, each command a few calls of `arch`, `search` and `reports`."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable

import arch
from arch.cost import NetworkCost
from arch.dead import warning
from arch.diff import SAME, described, differences, sized
from arch.edit import with_classes, with_input
from arch.errors import InputError, near
from arch.ledger import Line
from arch.measure import NetworkMeasures
from arch.registry import BLOCKS, HEADS
from arch.spec import FINAL
from arch.strict import parse_yaml

app = typer.Typer(
    help="Explore the Inception family: specs, exact costs, studies on CIFAR-10, reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console(width=None if sys.stdout.isatty() else 160)  # a file or pipe is wider than 80 columns
err = Console(stderr=True, soft_wrap=True)


class Format(StrEnum):
    """How a table is printed."""

    table = "table"
    json = "json"
    csv = "csv"
    md = "md"
    latex = "latex"


class ShowFormat(StrEnum):
    """How a network is shown."""

    table = "table"
    yaml = "yaml"
    json = "json"
    csv = "csv"
    md = "md"
    latex = "latex"


class Layout(StrEnum):
    """How the ledger is laid out."""

    lines = "lines"
    paper = "paper"


FormatOption = Annotated[Format, typer.Option("--format", help="How the table is printed.")]
InputOption = Annotated[str | None, typer.Option("--input", help="Another input, as 3x32x32.")]
ClassesOption = Annotated[int | None, typer.Option("--classes", min=1, help="Another number of classes.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override, as recipe.lr=0.05; may be repeated.")]
DownloadOption = Annotated[bool, typer.Option("--download", help="Fetch the data set if it is not at hand.")]


def _network(name: str, shape: str | None = None, classes: int | None = None) -> arch.Spec:
    spec = arch.load(name)
    if shape:
        parts = shape.lower().split("x")
        if len(parts) != 3 or not all(part.isdigit() and 0 < int(part) <= 16_384 for part in parts):
            raise InputError(f"--input is '{shape}', but it must be channels x height x width, such as 3x32x32.")
        spec = with_input(spec, (int(parts[0]), int(parts[1]), int(parts[2])))
    return with_classes(spec, classes) if classes else spec


def _overrides(settings: list[str] | None, sections: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return `--set section.key=value` as a mapping by section; values are read as YAML."""
    result: dict[str, dict[str, Any]] = {section: {} for section in sections}
    for setting in settings or []:
        path, equals, text = setting.partition("=")
        section, dot, key = path.partition(".")
        if not equals or not dot or not key:
            raise InputError(f"--set is '{setting}', but it must read {sections[0]}.KEY=VALUE.")
        if section not in sections:
            raise InputError(
                f"--set {setting}: unknown section '{section}'.{near(section, sections)} Sections: {', '.join(sections)}."
            )
        result[section][key] = parse_yaml(text, f"--set {setting}")
    return result


def _print(
    rows: list[dict[str, Any]],
    kind: Format,
    title: str = "",
    note: str = "",
    fold: bool = False,
    name: str = "table",
    wide: str = "",
) -> None:
    """Print rows of plain values as a table, or as text for other programs.

    A note stands under what people read; `fold` breaks headers over narrow numbers. In LaTeX the label is
    `tab:NAME`, and a table with a `wide` column of text goes on over pages.
    """
    if kind is Format.json:
        print(json.dumps(rows, indent=2))
    elif kind is Format.table:
        grid = RichTable(title=title.replace("[", r"\[") or None, title_justify="left", box=None, pad_edge=False)
        columns = list(rows[0]) if rows else []
        for column in columns:
            numbers = all(isinstance(row[column], int | float) or row[column] is None for row in rows)
            whole = numbers or column == columns[0]
            broken = fold and numbers and len(column) > max(len(_cell(row[column])) for row in rows)
            header = _cell(column).replace("_", "_\n") if broken else _cell(column)
            grid.add_column(header, justify="right" if numbers else "left", overflow="fold", no_wrap=whole)
        for row in rows:
            grid.add_row(*(_cell(row[column]) for column in columns))
        out.print(grid)
        if note:
            out.print(f"\n{note}", markup=False, highlight=False)
    else:
        import pandas as pd

        from reports.table import Table, longtable

        caption, notes = (title.strip(), (note,)) if note else ("", ())
        table = Table(name, caption, pd.DataFrame(rows, dtype=object), notes=notes)
        if wide and kind is Format.latex:
            print(longtable(table, wide), end="")
            return
        print({"csv": table.csv, "md": table.markdown, "latex": table.latex}[kind.value](), end="")


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, but what is written goes into a folder; name one.")


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).replace("[", r"\[")
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="networks, blocks, heads, recipes or datasets")] = "networks",
    pattern: Annotated[str, typer.Argument(help="a wildcard, such as 'inception*'")] = "*",
    format: FormatOption = Format.table,
) -> None:
    """List what there is."""
    kinds = ("networks", "blocks", "heads", "recipes", "datasets")
    if kind == "networks":
        rows = [_network_line(arch.load(name)) for name in arch.list_networks(pattern)]
    elif kind in ("blocks", "heads"):
        registry = BLOCKS if kind == "blocks" else HEADS
        found = [registry.get(name) for name in registry.names(pattern)]
        rows = [{"name": d.name, "arguments": ", ".join(d.parameters), "what": d.summary} for d in found]
    elif kind == "recipes":
        from search.recipe import list_recipes, load_recipe

        recipes = [load_recipe(name) for name in list_recipes(pattern)]
        rows = [
            {
                "name": r.name,
                "optimizer": r.optimizer,
                "lr": r.lr,
                "schedule": r.schedule,
                "batch": r.batch,
                "epochs": r.epochs,
                "source": r.source,
            }
            for r in recipes
        ]
    elif kind == "datasets":
        from fnmatch import fnmatch

        from search.sources import DATASETS

        rows = [{"name": name, "what": what} for name, what in DATASETS.items() if fnmatch(name, pattern)]
    else:
        raise InputError(f"'{kind}' cannot be listed.{near(kind, kinds)} Choose from {', '.join(kinds)}.")
    if not rows and format is not Format.json:
        err.print(f"nothing among the {kind} matches '{pattern}'", markup=False)
        return
    _print(rows, format)


def _network_line(spec: arch.Spec) -> dict[str, Any]:
    total = arch.cost(spec)
    return {
        "name": spec.name,
        "input": _shape(spec.input),
        "params": total.params,
        "aux_params": total.aux_params,
        "macs": total.macs,
        "source": spec.source,
    }


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


@app.command()
def show(
    network: Annotated[str, typer.Argument(help="a network's name or YAML file")],
    format: Annotated[ShowFormat, typer.Option("--format", help="yaml prints the network's file.")] = ShowFormat.table,
    input: InputOption = None,
    classes: ClassesOption = None,
) -> None:
    """Show a network row by row, with shapes, costs and what is wrong with it."""
    spec = _network(network, input, classes)
    if format is ShowFormat.yaml:
        print(arch.to_yaml(spec), end="")
        return
    if format is ShowFormat.latex:
        from reports.architecture import architecture_table

        print(architecture_table(spec), end="")
        return
    total, measures = arch.cost(spec), arch.measure(spec)
    note = f"{spec.note}\n" if spec.note else ""
    title = (
        f"{spec.name}, {spec.source}\n{note}input {_shape(spec.input)}, {spec.classes} classes; without auxiliary heads "
        f"{total.params:,} parameters and {total.macs:,} MACs; heads {total.aux_params:,} and {total.aux_macs:,}\n"
        f"{measures.depth} layers deep; receptive field {sized(measures.receptive_field)}; "
        f"peak activation memory {_mib(measures.peak_memory):.4g} MiB (batch 1, float32)\n"
    )
    _print(_show_rows(spec, total, measures), Format(format.value), title, fold=True)
    if found := warning({row.name: row.dead for row in measures.rows}, total.params):
        _say(f"\n{found}") if format is ShowFormat.table else err.print(found, markup=False, highlight=False)


def _show_rows(spec: arch.Spec, total: NetworkCost, measures: NetworkMeasures) -> list[dict[str, Any]]:
    args = [row.args for row in spec.rows] + [spec.heads[name].args for name in (FINAL, *spec.aux_rows)]
    names = [row.name for row in total.rows] + [f"aux {row.name}" for row in total.aux]
    parts = zip(names, args, (*total.rows, *total.aux), (*measures.rows, *measures.aux), strict=True)
    return [
        {
            "row": name,
            "block": row.block,
            "arguments": described(given),
            "output": _shape(row.output),
            "depth": found.depth,
            "receptive_field": sized(found.field.size if found.field else None),
            "params": row.params,
            "MACs": row.macs,
            "dead_weights": found.dead_weights,
        }
        for name, given, row, found in parts
    ]


def _mib(amount: int) -> float:
    return amount / 2**20


@app.command()
def count(
    networks: Annotated[list[str], typer.Argument(help="names, wildcards or YAML files")],
    check: Annotated[bool, typer.Option("--check", help="Let fvcore and torch count the built network too.")] = False,
    input: InputOption = None,
    classes: ClassesOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Count parameters, MACs, activations and more from the spec."""
    names = [name for given in networks for name in (arch.list_networks(given) if "*" in given else [given])]
    if not names:
        raise InputError(f"no network matches {', '.join(networks)}; `inceptory list networks` names all.")
    specs = [_network(name, input, classes) for name in names]
    rows = [_count_row(spec, detailed=format is Format.json) for spec in specs]
    wrong = []
    if check:
        from arch.judge import check as judge

        for spec, row in zip(specs, rows, strict=True):
            differing = [v for v in judge(spec) if not v.agrees]
            row["fvcore"] = "agrees" if not differing else "DIFFERS"
            wrong += [f"{spec.name}: {v.quantity} {v.ours:,} from the spec, {v.judged:,} counted" for v in differing]
    _print(rows, format, fold=True)
    if wrong:
        err.print("\n".join(wrong), markup=False)
        raise typer.Exit(1)


def _count_row(spec: arch.Spec, detailed: bool) -> dict[str, Any]:
    total, measures = arch.cost(spec), arch.measure(spec)
    field = measures.receptive_field
    row: dict[str, Any] = {
        "network": spec.name,
        "input": list(spec.input) if detailed else _shape(spec.input),
        "params": total.params,
        "aux_params": total.aux_params,
        "macs": total.macs,
        "aux_macs": total.aux_macs,
        "activations": total.activations,
        "dead_weights": measures.dead_weights,
        "depth": measures.depth,
        "receptive_field": field if detailed else sized(field),
    }
    if not detailed:
        return row | {"peak_memory_MiB": _mib(measures.peak_memory)}
    rows = [
        {"name": r.name, "block": r.block, "output": list(r.output), "params": r.params, "macs": r.macs}
        for r in total.rows
    ]
    return row | {"peak_memory_bytes": measures.peak_memory, "rows": rows}


@app.command()
def diff(a: str, b: str, format: FormatOption = Format.table) -> None:
    """Set two networks side by side, row by row, with the change in every quantity."""
    first, second = arch.load(a), arch.load(b)
    if first.name == second.name:
        first, second = replace(first, name=a), replace(second, name=b if a != b else f"{b} (2)")
    lines = differences(first, second)
    if format is not Format.table:
        _print(lines, format)
        return
    first_keys = ("row", first.name, second.name, "params", "MACs")
    _print([{key: line[key] for key in first_keys} for line in lines], format, f"{first.name} and {second.name}\n")
    others = [key for key in lines[0] if key not in first_keys]
    moved = [key for key in others if any(_changes(line[key]) for line in lines)]
    if moved:
        chosen = [line for line in lines if any(_changes(line[key]) for key in moved)]
        _print(
            [{key: line[key] for key in ("row", *moved)} for line in chosen], format, "\nwhat else changes, by row\n"
        )
    if still := [key for key in others if key not in moved]:
        _say(f"\nthe same in every row: {', '.join(still)}")


def _changes(value: Any) -> bool:
    return value not in (0, None, SAME)


@app.command()
def gallery(to: Annotated[Path, typer.Argument(help="the folder of the page")] = Path("docs")) -> None:
    """Write the page of all networks, with drawings of the main blocks."""
    from reports.gallery import gallery as write_gallery

    _check_folder(to)
    _say(str(write_gallery(to)))


@app.command()
def convert(
    network: Annotated[str, typer.Argument(help="a network's name")],
    source: Annotated[Path, typer.Argument(help="weights to read: .safetensors, .pt or .pth")],
    target: Annotated[Path, typer.Argument(help="weights to write, with one of the same endings")],
    from_: Annotated[str, typer.Option("--from", help="the library whose weights come in: torchvision or timm")] = "",
    to: Annotated[str, typer.Option("--to", help="the library that the weights are for")] = "",
    classes: ClassesOption = None,
) -> None:
    """Carry weights over from a library's network to ours, or back."""
    from arch.convert import check_target, from_library, read_weights, to_library, write_weights
    from arch.naming import names

    if bool(from_) == bool(to):
        raise InputError("weights go one way: give either --from LIBRARY or --to LIBRARY.")
    if source.resolve() == target.resolve():
        raise InputError(f"{target}: is the file that is read; name another one to write.")
    spec = _network(network, None, classes)
    names(spec, from_ or to)
    check_target(target)
    weights = read_weights(source)
    carried = from_library(spec, from_, weights) if from_ else to_library(spec, to, weights)
    write_weights(target, carried)
    _say(f"{len(carried)} tensors of {spec.name} written to {target}")


@app.command()
def ledger(
    which: Annotated[
        str | None,
        typer.Argument(help="a paper's name or arXiv number, or a network; a name of both is the paper's; all without"),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="paper: GoogLeNet's Table 1 as printed, our exact columns beside.")
    ] = Layout.lines,
    format: FormatOption = Format.table,
    doubtful: Annotated[bool, typer.Option("--doubtful", help="List only what does not agree.")] = False,
) -> None:
    """Hold the papers' printed tables, totals and claims against the exact values; 1 if our own count differs."""
    from arch.ledger import NOTE, RATIO, paper_layout, summary
    from arch.ledger import ledger as lines_of
    from arch.verdict import Verdict

    lines = lines_of(which)
    label = "-".join(["ledger", *([which.replace("_", "-")] if which else []), *(["doubtful"] if doubtful else [])])
    if layout is Layout.paper:
        if doubtful or not any((line.paper, line.table) == ("googlenet", "Table 1") for line in lines):
            asked = "with --doubtful" if doubtful else f"'{which}'"
            raise InputError(
                f"--layout paper prints GoogLeNet's Table 1, not {asked}; use `inceptory ledger googlenet --layout paper`."
            )
        title = "Table 1 of arXiv 1409.4842 and the exact counts\n"
        _print(paper_layout(), format, title, NOTE, name=f"{label}-table-1")
    else:
        shown = [line for line in lines if not (doubtful and line.verdict.agreeing)]
        about = ", ".join(dict.fromkeys(line.paper for line in lines))
        note = f"{NOTE} {RATIO}\n{summary(lines)}"
        _print(
            _ledger_rows(shown, format),
            format,
            f"Printed and exact figures: {about}\n",
            note,
            name=label,
            wide="reason",
        )
    if wrong := [line for line in lines if line.verdict is Verdict.OURS]:
        err.print("\n".join(f"{w.paper}, {w.table}, {w.row}, {w.quantity}: {w.reason}" for w in wrong), markup=False)
        raise typer.Exit(1)


def _ledger_rows(lines: list[Line], kind: Format) -> list[dict[str, Any]]:
    """Return the lines as they are printed: what people read leaves out a paper that is the only one."""
    rows = [line.table_cells() if kind is Format.table else line.record() for line in lines]
    if kind not in (Format.json, Format.csv) and len({line.paper for line in lines}) == 1:
        return [{key: value for key, value in row.items() if key != "paper"} for row in rows]
    return rows


@app.command()
def draw(
    network: Annotated[str, typer.Argument(help="a network's name or YAML file")],
    row: Annotated[str | None, typer.Argument(help="one row's block; 'final' is the classifier")] = None,
    head: Annotated[bool, typer.Option("--head", help="Draw the auxiliary head of the row.")] = False,
    to: Annotated[Path, typer.Option(help="the folder of the drawing")] = Path(),
    input: InputOption = None,
    classes: ClassesOption = None,
) -> None:
    """Draw a network, or the block of one row, as SVG and PNG."""
    from reports.diagram import save
    from reports.graph import head_graph, network_graph, row_graph

    spec = _network(network, input, classes)
    if head and row is None:
        raise InputError(
            f"--head goes with a row, such as `inceptory draw {network} {next(iter(spec.aux_rows), 'ROW')} --head`."
        )
    if row is None:
        graph = network_graph(spec)
    else:
        graph = head_graph(spec, row) if head or row == FINAL else row_graph(spec, row)
    _check_folder(to)
    name = "-".join([spec.name, *([row] if row else []), *(["head"] if head else [])])
    for path in save(graph, to, name):
        _say(str(path))


@app.command()
def train(
    network: Annotated[str, typer.Argument(help="a network's name or YAML file")],
    data: Annotated[str, typer.Option(help="a data set, or a folder with train/ and test/")] = "cifar10",
    recipe: Annotated[str, typer.Option(help="a recipe's name or YAML file")] = "default",
    run: Annotated[
        Path | None, typer.Option(help="the run directory; by default runs/NETWORK-RECIPE-DATA-SEED")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    set: SetOption = None,
    input: InputOption = None,
    classes: ClassesOption = None,
    everything: Annotated[bool, typer.Option("--everything", help="Train on the held-out images too.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Open the test set after the last epoch; recorded.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    execution: Annotated[
        str, typer.Option(help="auto, plain, fused (for CPUs) or compiled (for GPUs); how, never what, is computed")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes torch's default")] = 0,
    download: DownloadOption = False,
) -> None:
    """Train one network; the same command goes on where it was stopped."""
    import torch

    from search.data import data_config, load_data
    from search.hardware import pick_device, pick_execution
    from search.progress import display
    from search.recipe import load_recipe
    from search.training import check_fit
    from search.trial import Task
    from search.trial import train as train_task

    spec = _network(network, input, classes)
    changes = _overrides(set, ("recipe", "data"))
    chosen = load_recipe(recipe, changes["recipe"])
    config = data_config({"name": data} | changes["data"])
    pick_execution(execution, pick_device(device))
    if threads:
        torch.set_num_threads(threads)
    check_fit(spec, load_data(config, download=download), chosen)
    folder = run or Path("runs") / f"{spec.name}-{chosen.name}-{Path(data).name}-{seed}"
    task = Task(
        str(folder),
        arch.to_mapping(spec),
        chosen.model_dump(),
        config.model_dump(),
        seed,
        everything,
        test,
        device,
        execution,
    )
    result, caught = train_task(task, display(err))
    if caught:
        _stopped(caught)
    if result["state"] != "complete":
        raise RuntimeError(f"{folder}: {result['state']}: {result.get('reason', '')}")
    for key in ("val_accuracy", "test_accuracy"):
        if result.get(key) is not None:
            _say(f"{key.replace('_', ' ')} {result[key]:.2%}")
    _say(f"written to {folder}; `inceptory report {folder}` makes the page")


def _stopped(number: int) -> None:
    """Say how to go on, and leave with the code that a shell gives to that signal."""
    command = shlex.join(["inceptory", *sys.argv[1:]])
    err.print(f"stopped by {signal.Signals(number).name}; a checkpoint is written. To go on: {command}", markup=False)
    raise typer.Exit(128 + number)


@app.command()
def search(
    study: Annotated[str, typer.Argument(help="a study's YAML file")],
    run: Annotated[Path | None, typer.Option(help="the run directory; by default runs/NAME")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="another total number of trials")] = None,
    engine: Annotated[str | None, typer.Option(help="where trials run: auto, inprocess, local or ray")] = None,
    address: Annotated[
        str | None, typer.Option(help="the Ray cluster: auto, HOST:PORT, ray://HOST:PORT, or local for one of its own")
    ] = None,
    set: SetOption = None,
    allow_change: Annotated[
        list[str] | None,
        typer.Option("--allow-change", help="A key that may have changed since the last start; may be repeated."),
    ] = None,
) -> None:
    """Run a study, or go on with it, until it has its total number of trials."""
    from search.progress import display
    from search.record import status as status_of
    from search.study import load_study, run_study

    config = load_study(study)
    changes = _overrides(set, ("recipe", "data", "sampler", "pruner", "engine", "study"))
    changes["engine"] |= {key: value for key, value in (("name", engine), ("address", address)) if value}
    values = config.model_dump() | changes.pop("study")
    recipe = values["recipe"]
    values["recipe"] = (recipe if isinstance(recipe, dict) else {"base": recipe}) | changes.pop("recipe")
    for section, change in changes.items():
        if change and not isinstance(values[section], dict):
            raise InputError(
                f"--set {section}.KEY=VALUE goes with a mapping, but study.{section} is {values[section]!r}."
            )
        values[section] = values[section] | change if change else values[section]
    outcome = run_study(load_study(values), run, trials=trials, allow=allow_change or (), show=display(err))
    if outcome.ended == "interrupted":
        _stopped(outcome.signal)
    done = f"{outcome.ended}: {outcome.finished} of {outcome.total} trials finished"
    if not status_of(outcome.run)["complete"]:
        raise RuntimeError(f"{done}, and none came to its end; `inceptory report {outcome.run}` names the reasons.")
    _say(f"{done}; see `inceptory best {outcome.run}` and `inceptory report {outcome.run}`")


@app.command()
def status(run: Path, format: FormatOption = Format.table) -> None:
    """Say how far a run is."""
    from search.record import read_lines
    from search.record import status as status_of

    _print([status_of(run)], format)
    changes = read_lines(run / "changes.jsonl")
    if changes and format is Format.table:
        _say("")
        for change in changes:
            _say(
                f"{change['time']}, before trial {change['trials']}: {change['key']} was {change['old']!r} and is {change['new']!r}"
            )


@app.command()
def best(
    run: Path,
    format: Annotated[
        ShowFormat, typer.Option("--format", help="yaml prints the best network's file.")
    ] = ShowFormat.table,
    trial: Annotated[int | None, typer.Option(min=0, help="with --format yaml: this trial's network")] = None,
) -> None:
    """Show a study's best network beside the base; of several objectives the front, best first."""
    import reports
    from reports.front import front_table
    from reports.tables import best_beside_base

    loaded = reports.load(run)
    table = front_table(loaded) if len(loaded.objectives) > 1 else best_beside_base(loaded)
    if table is None:
        raise InputError(f"{run}: no trial has come to its end yet; `inceptory status {run}` says how far it is.")
    if trial is not None and format is not ShowFormat.yaml:
        raise InputError("--trial goes with --format yaml, which prints that trial's network.")
    if format is ShowFormat.yaml:
        print(arch.to_yaml(_trial_network(run, loaded, trial)), end="")
    elif format is ShowFormat.table:
        _print(_records(table.printed()), Format.table, f"{table.caption}: {_accuracies(loaded)}\n")
    else:
        _print(json.loads(table.frame.to_json(orient="records")), Format(format.value))


def _trial_network(run: Path, loaded: Any, trial: int | None) -> arch.Spec:
    """Return a trial's network, by default the best one's, under a name of its own."""
    from search.record import trial_folder

    if trial is None:
        best: arch.Spec = loaded.specs["best"]
        return replace(best, name=f"{loaded.name}_best")
    path = trial_folder(run, trial) / "spec.yaml"
    if not path.exists():
        raise InputError(f"{run}: there is no trial {trial}; `inceptory report {run}` lists them all.")
    return replace(arch.load(path), name=f"{loaded.name}_{trial}")


def _records(frame: Any) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def _accuracies(run: Any) -> str:
    top = run.ranked.iloc[0]
    text = f"{run.objective} {top[run.objective]:.4f} (trial {top['trial']})"
    return text + (f", base {run.base[run.objective]:.4f}" if run.base else "")


@app.command()
def confirm(
    run: Annotated[Path, typer.Argument(help="a study's run directory")],
    top: Annotated[int, typer.Option(min=1, help="So many of the best trials.")] = 3,
    trial: Annotated[list[int] | None, typer.Option(help="This trial, instead of the best; may be repeated.")] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", help="Another study's trial beside, as RUN2:5; may be repeated.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="How many fresh seeds, or which, as 11,12,13.")] = "6",
    recipe: Annotated[str | None, typer.Option(help="another recipe than the study's: a name or YAML file")] = None,
    set: SetOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Trainings side by side; 0: as in the study.")] = 0,
    format: FormatOption = Format.table,
) -> None:
    """Train a study's best networks and its base anew with fresh seeds, and open the test set once for each.

    The same command goes on where it was stopped. RUN/confirm holds everything; `report` shows it.
    """
    import reports
    from reports.confirmation import confirmation_tables
    from search.confirm import confirm_study
    from search.progress import display

    others = [_other_trial(given) for given in with_ or []]
    changes = _overrides(set, ("recipe",))["recipe"]
    asked: dict[str, Any] = {"trials": trial or (), "others": others, "seeds": _seeds(seeds)}
    outcome = confirm_study(run, top=top, **asked, recipe=recipe, changes=changes, workers=workers, show=display(err))
    if outcome.signal:
        _stopped(outcome.signal)
    _print_tables(confirmation_tables(reports.load(run)), format)
    if not outcome.complete:
        raise RuntimeError(f"{run}: no training of the confirmation came to its end.")


def _print_tables(tables: list[Any], format: Format) -> None:
    """Print tables of one subject: for reading, as one JSON object by name, or the last, fullest one as CSV."""
    if format is Format.json:
        print(json.dumps({table.name: json.loads(table.frame.to_json(orient="records")) for table in tables}, indent=2))
    elif format is Format.csv:
        print(tables[-1].csv(), end="")
    elif format is Format.table:
        notes = list(dict.fromkeys(note for table in tables for note in table.notes))
        for table in tables:
            _print(_records(table.printed()), format, f"{table.caption}\n", fold=True)
            _say("")
        _say("\n".join(notes))
    else:
        print("\n".join(table.markdown() if format is Format.md else table.latex() for table in tables), end="")


def _other_trial(given: str) -> tuple[str, int]:
    folder, colon, number = given.rpartition(":")
    if not colon or not folder or not number.isdigit():
        raise InputError(f"--with is '{given}', but it must be another study's run directory and a trial, as RUN2:5.")
    return folder, int(number)


def _seeds(text: str) -> int | list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() for part in parts):
        raise InputError(f"--seeds is '{text}', but it must be a number of seeds, as 6, or a list, as 11,12,13.")
    return int(parts[0]) if "," not in text else [int(part) for part in parts]


@app.command()
def report(
    run: Path,
    to: Annotated[Path | None, typer.Option(help="another folder than report/ in the run directory")] = None,
) -> None:
    """Write a run's tables, figures and page."""
    from reports.page import report as write_report

    _say(str(write_report(run, to)))


@app.command()
def demo(
    run: Annotated[Path, typer.Option(help="the run directory")] = Path("runs/demo"),
) -> None:
    """Run a small study on the embedded digits, and report it: the whole project in minutes."""
    import reports
    from reports.page import report as write_report
    from search.progress import display
    from search.study import DEMO, run_study

    outcome = run_study(DEMO, run, show=display(err))
    if outcome.ended == "interrupted":
        _stopped(outcome.signal)
    page = write_report(run)
    best(run)
    _say("")
    _say(
        f"best split found: {_accuracies(reports.load(run))}; held-out digits, one seed each: a demonstration, no proof"
    )
    _say(f"report: {page}")


def main() -> None:
    """Run the command line: 0 well, 1 failed, 2 wrong input, 130 and 143 interrupted."""
    try:
        app()
    except InputError as error:
        err.print(f"inceptory: {error}", markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except (RuntimeError, OSError) as error:
        err.print(f"inceptory: {error}", markup=False, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
