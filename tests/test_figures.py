"""All figures of a sweep: each is there, as text on nothing, in files on white, and of unusual results."""

import re
from dataclasses import replace

import matplotlib.image
import pytest

from drawn_results import drawn, results_of
from initbench.report.figures.drawing import Drawing
from initbench.report.figures.quantities import QUANTITIES
from initbench.report.figures.style import INK, MUTED, PALETTE, RULE
from initbench.report.sections.figures import GROUPS
from initbench.results.load import load
from initbench.results.store import Store
from results_on_disk import finished, made_up_sweep, row

NAMES = [
    *("outcomes", "trainable_depth", "margins", "seeds", "profiles", "loss_curves", "gradient_norms"),
    *(quantity.figure for quantity in QUANTITIES),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Drawing]:
    """All drawings of a sweep with 8 initializers, 2 activations and 2 depths."""
    root = tmp_path_factory.mktemp("sweep")
    made_up_sweep(root, acts=["relu", "leaky_relu"], depths=[3, 20], seeds=2, pending=1)
    return drawn(load(root), compared=True)


@pytest.mark.slow
def test_all_drawings_of_a_sweep(made):
    assert [name for name in made if name in NAMES] == NAMES  # a newcomer's figure may stand between them
    for drawing in made.values():
        assert drawing.group in {group.name for group in GROUPS}
        assert drawing.caption.endswith(".") and re.search(r"\d", drawing.alt) and len(drawing.alt) > 80


def test_no_text_leaves_a_figure_or_covers_a_panel(made):
    for drawing in made.values():
        figure = drawing.figure
        figure.canvas.draw()
        whole, legends = figure.bbox, [legend.get_window_extent() for legend in figure.legends]
        for box in [*legends, *(text.get_window_extent() for text in figure.texts)]:
            assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1, drawing.name
            assert not any(box.overlaps(ax.get_window_extent()) for ax in figure.axes), drawing.name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_svg_is_text_on_nothing_in_three_inks(made, name):
    drawing = made[name].svg
    assert made[name].figure.texts[0].get_text() in drawing and "sans-serif" in drawing and "DejaVu" not in drawing
    assert "#000000" not in drawing and not re.search("fill: #ffffff", drawing)
    fills = set(re.findall(r"<text[^>]*fill: (#\w+)", drawing))
    assert fills <= {INK, "#fdfdfd", "#0b0f14"}  # the last two stand on coloured cells
    assert {INK, MUTED} <= set(re.findall(r"#[0-9a-f]{6}", drawing)) and {INK, MUTED, RULE}.isdisjoint(PALETTE)
    assert drawing == replace(made[name]).svg  # drawn again


@pytest.mark.parametrize("suffix, start", [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_files_are_written_on_white(made, tmp_path, suffix, start):
    file = tmp_path / f"outcomes.{suffix}"
    made["outcomes"].save(file)
    assert file.read_bytes().startswith(start)
    if suffix == "png":
        assert matplotlib.image.imread(file)[0, 0].tolist() == [1, 1, 1, 1]
    if suffix == "svg":
        assert '<rect width="100%" height="100%" fill="#ffffff"/>' in file.read_text(encoding="utf-8")


def test_nothing_is_drawn_over_time_where_nothing_is_recurrent(made):
    assert "gradient_norm_over_time" not in made


def test_nothing_is_drawn_of_what_is_not_trained(tmp_path):
    Store(tmp_path).save_sweep("demo", info={}, runs=[row()])
    assert not drawn(load(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["diverged", "one layer", "zeros"])
def test_unusual_results_are_drawn(tmp_path, case):
    runs = {
        "diverged": [finished(row(init), "diverged", diverged_step=step) for init, step in (("normal", 0), ("he", 3))],
        "one layer": [finished(row(init, depth=1)) for init in ("he", "xavier")],
        "zeros": [finished(row(init), "stuck") for init in ("zeros", "constant")],
    }[case]
    zero = {"pre_grad_norm": lambda seed, step, layer: 0.0 * layer} if case == "zeros" else {}
    names = set(drawn(results_of(tmp_path, *runs, **zero)))
    assert {"outcomes", "seeds", "loss_curves", "gradient_norms"} <= names


@pytest.mark.slow
def test_results_without_layers_have_no_figures_of_layers(tmp_path):
    made_up_sweep(tmp_path, inits=["he"], acts=["relu"], depths=[3], seeds=1)
    (tmp_path / "stacks" / "0000" / "layers.parquet").write_bytes(b"PAR1")
    assert not {drawing.name for drawing in drawn(load(tmp_path)).values() if drawing.group == "layers"}
