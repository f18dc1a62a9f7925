"""`initbench theory`: what mean-field theory says of wide networks at birth, without a network."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from initbench.commands.options import AsJson, ConfigDir, complete
from initbench.commands.printing import print_line, stdout
from initbench.errors import InputError

if TYPE_CHECKING:
    from initbench.report.figures.theory import PlaneMark
    from initbench.theory.activations import Phi
    from initbench.theory.network import WideNetwork

SHORT = ("sigma_w", "sigma_b")  # may be written without `init.`, and then mean `init=mean_field`
MOST_EXPLAINED = 3  # settings; more get the table alone


@dataclass(frozen=True)
class AskedCell:
    """One network that was asked for: its axes, and its theory or the reason why there is none."""

    name: str  # the values of the axes: "act=tanh init.sigma_w=1.3"
    axes: dict[str, Any]
    network: "WideNetwork | None"
    reason: str = ""


def theory(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Set or vary keys: act=tanh,relu sigma_w=1,1.5 sigma_b=0.3, or init=he,xavier",
            metavar="KEY=VALUE,...",
            autocompletion=complete,
        ),
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Show each layer's variance and correlation", metavar="")
    ] = False,
    c0: Annotated[float, typer.Option(help="Set the correlation of two inputs, for --layers", metavar="C")] = 0.5,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Draw the phase diagram to a file (.png, .svg, .pdf), or all figures to a folder", metavar="PATH"
        ),
    ] = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
) -> None:
    """Predict wide networks at birth: variance, gradients, correlations, trainable depth. Nothing is trained.

    [bold]initbench theory act=tanh sigma_w=1.3 sigma_b=0.3[/]

    [bold]initbench theory init=he,xavier,lecun act=relu,tanh --figure phases.png[/]
    """
    if not -1 <= c0 <= 1:
        raise InputError(f"--c0 {c0}: a correlation between -1 and 1 is needed")
    cells = asked_for(overrides or [], config_dir)
    if as_json:
        facts = [json_of(cell, c0 if layers else None) for cell in cells]
        print(json.dumps(facts if len(facts) > 1 else facts[0], indent=1))
    else:
        show(cells, c0 if layers else None)
    if figure is not None:
        files = draw(cells, figure, c0)
        if not as_json:
            stdout.print(f"written: [bold]{escape(', '.join(map(str, files)))}[/]", highlight=False)


def asked_for(overrides: Sequence[str], config_dir: Path | None) -> list[AskedCell]:
    """The cells of a grid, each once: axes that theory doesn't know, such as the seed, make no difference."""
    from initbench.config.grid import expand
    from initbench.config.registry import describe
    from initbench.config.values import dotted
    from initbench.theory.coverage import NotCovered
    from initbench.theory.network import wide_network

    grid = expand(written_out(overrides), config_dir=config_dir)
    facts = {choice.name: choice.facts for choice in describe("init", config_dir)}
    found: dict[Any, AskedCell] = {}
    for run in grid.runs:
        flat = dotted(run.config)
        axes = {key: run.choices.get(key, flat.get(key)) for key in grid.axes}
        axes = {key: value for key, value in axes.items() if key in run.choices or key in flat}
        shown = {"act": run.choices["act"], "init": run.choices["init"]} | axes
        name = " ".join(f"{key}={value}" for key, value in shown.items())
        try:
            one = wide_network(run.choices, run.config, facts.get(run.choices["init"], {}))
            found.setdefault((run.choices["init"], *id_of(one)), AskedCell(name, shown, one))
        except NotCovered as error:
            found.setdefault(str(error), AskedCell(name, shown, None, str(error)))
    return list(found.values())


def id_of(network: "WideNetwork") -> tuple[Any, ...]:
    """What tells settings apart."""
    layer = network.layer
    numbers = (layer.phi.name, layer.sigma_w, layer.sigma_b, layer.keep, network.depth, network.width, network.q0)
    return (*numbers, network.alpha, network.branch_layers, str(layer.phi.kinks), layer.phi.negative_slope)


def written_out(overrides: Iterable[str]) -> list[str]:
    """Overrides in which `sigma_w=1.3` stands for `init=mean_field init.sigma_w=1.3`."""
    words = [f"init.{word}" if word.partition("=")[0] in SHORT else word for word in overrides]
    asked = {word.partition("=")[0] for word in words}
    if asked & {f"init.{key}" for key in SHORT} and not asked & {"init", "init._target_"}:
        words.insert(0, "init=mean_field")
    return words


def json_of(cell: AskedCell, c0: float | None) -> dict[str, Any]:
    """What `--json` prints for a cell. Numbers that are infinite are null and named in `infinite`."""
    from initbench.theory.prediction import prediction

    if cell.network is None:
        return cell.axes | {"reason": cell.reason}
    found = cell.axes | prediction(cell.network)
    infinite = [key for key, value in found.items() if isinstance(value, float) and math.isinf(value)]
    if c0 is not None:
        found["layers"] = layers_of(cell.network, c0)
    return finite(found) | {"infinite": infinite, "reason": None}


def finite(value: Any) -> Any:
    """Plain JSON: numbers that are infinite or do not exist are null."""
    match value:
        case dict():
            return {key: finite(each) for key, each in value.items()}
        case list():
            return [finite(each) for each in value]
        case float() if not math.isfinite(value):
            return None
    return value


def layers_of(network: "WideNetwork", c0: float) -> list[dict[str, float]]:
    """Variance and correlation of every hidden layer; of residual networks the mean square after each block."""
    if network.growth is not None:
        return [{"block": number, "mean_square": q} for number, q in enumerate(network.growth.q, 1)]
    profile = network.profile(c0)
    rows = zip(profile.q.tolist(), profile.c.tolist(), profile.chi.tolist(), strict=True)
    return [{"layer": number, "q": q, "c": c, "chi": chi} for number, (q, c, chi) in enumerate(rows, 1)]


def show(cells: Sequence[AskedCell], c0: float | None) -> None:
    """Print the table, what it means, and what is not covered."""
    from initbench.report.tables.theory import LEGEND, growth_table, layers_table, numbers_table, sentences
    from initbench.theory.prediction import prediction

    covered = [(cell, cell.network, prediction(cell.network)) for cell in cells if cell.network is not None]
    for table, residual in ((numbers_table, False), (growth_table, True)):
        if rows := [(cell.axes, numbers) for cell, _, numbers in covered if ("growth" in numbers) == residual]:
            stdout.print(table(rows), highlight=False)
    if len(covered) > MOST_EXPLAINED:
        stdout.print(f"\n{LEGEND}", style="dim", highlight=False)
    else:
        for cell, network, numbers in covered:
            stdout.print(f"\n[bold]{escape(cell.name)}[/]", highlight=False)
            for sentence in sentences(network, numbers):
                stdout.print(f"- {escape(sentence)}", highlight=False)
    if c0 is not None:
        for cell, network, _ in covered:
            stdout.print("", layers_table(cell.name, layers_of(network, c0)), highlight=False)
    for reason in (cell.reason for cell in cells if cell.network is None):
        print_line("not covered:", reason, "yellow")


def draw(cells: Sequence[AskedCell], to: Path, c0: float) -> list[Path]:
    """Write the phase diagram to a file, or all figures as PNG and SVG to a folder; the files."""
    from initbench.report.figures.theory import phase_diagram, profiles

    plain = [(cell, cell.network) for cell in cells if cell.network is not None and cell.network.alpha is None]
    if not plain:
        raise InputError("--figure: theory covers none of the settings, so there is nothing to draw")
    if to.suffix not in ("", ".png", ".svg", ".pdf"):
        raise InputError(f"--figure {to}: '{to.suffix}' is no format of figures; there is .png, .svg and .pdf")
    width = plain[0][1].width
    acts = dict.fromkeys(network.act for _, network in plain)
    diagram = phase_diagram([(act, marks(act, width, plain)) for act in acts], width)
    made = {to: diagram}
    if not to.suffix:
        labels = short_names([cell.axes for cell, _ in plain])
        profile = [network.profile(c0) for _, network in plain]
        curves = profiles(list(zip(labels, profile, strict=True)), c0)
        made = {to / f"{each.name}.{kind}": each for each in (diagram, curves) for kind in ("png", "svg")}
    try:
        for file, drawing in made.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            drawing.save(file)
    except OSError as error:
        raise InputError(f"--figure {to}: can't be written: {error.strerror or error}") from error
    return list(made)


def short_names(cells: Sequence[dict[str, Any]]) -> list[str]:
    """What tells cells apart: "tanh, he", or all that is known of a single one."""
    differ = [key for key in cells[0] if len({str(cell.get(key)) for cell in cells}) > 1] or ["act", "init"]
    plain = ("act", "init")
    return [
        ", ".join(str(cell[key]) if key in plain else f"{key}={cell[key]}" for key in differ if key in cell)
        for cell in cells
    ]


def marks(act: "Phi", width: int, plain: Sequence[tuple[AskedCell, "WideNetwork"]]) -> list["PlaneMark"]:
    """Initializers on the plane of one activation: the cells that were asked for, and all others that are shipped.

    Those at one point share a mark, the usual ones first.
    """
    from initbench.config.registry import describe
    from initbench.report.figures.theory import PlaneMark
    from initbench.theory.nominal import Scheme

    named = {}
    for cell, network in plain:
        if network.act == act:
            parameters = [
                f"{key.removeprefix('init.')}={value}" for key, value in cell.axes.items() if key.startswith("init.")
            ]
            named[" ".join([cell.axes["init"], *parameters])] = network.layer
    asked = {cell.axes["init"] for cell, _ in plain}
    others = [choice for choice in describe("init") if "Variance" in choice.facts and choice.name not in asked]
    for choice in sorted(others, key=lambda choice: int(choice.facts.get("Look", 99))):
        named[choice.name] = Scheme.of(choice.name, choice.facts, choice.parameters).layer(act, width, width)
    points: dict[tuple[float, float], list[str]] = {}
    for name, layer in named.items():
        points.setdefault((round(layer.sigma_w, 2), round(layer.sigma_b, 2)), []).append(name)
    return [PlaneMark(tuple(names), *point) for point, names in points.items()]
