"""The looks of initializers: kept in all figures, far enough apart for every eye."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from drawn_results import cell, drawn, panel, results_of
from initbench.config.registry import choices, shipped_facts
from initbench.report.figures.style import DASHES, PALETTE, label_styles, looks
from results_on_disk import FATES


def test_an_initializer_keeps_its_look():
    def look(*inits):
        return label_styles(pd.DataFrame({"init": inits, "label": inits}))

    inits = choices("init")
    all_of_them = look(*inits)
    assert len({(style.color, str(style.linestyle)) for style in all_of_them.values()}) == len(inits)
    for init in inits:
        assert look("zeros", init)[init] == all_of_them[init]
    assert len({look(*FATES)[init].color for init in FATES}) == len(FATES)


def test_a_new_initializer_gets_a_look_of_its_own_and_changes_no_others():
    """One without a number in its YAML: a user's own, or a shipped one that was just added."""
    numbered = [name for name, facts in shipped_facts("init").items() if "Look" in facts]
    shipped, new = looks(numbered), ["mine", "my.package.init", "another"]
    assert sorted(looks(numbered).values()) == list(range(len(numbered)))  # the first eight with solid lines
    assert len(numbered) <= len(PALETTE) * len(DASHES)
    found = looks([*shipped, *new])
    assert len(set(found.values())) == len(found)
    assert {name: found[name] for name in shipped} == shipped
    for name in new:
        assert looks([name]) == {name: found[name]} and looks([name, "he"])[name] == found[name]
    assert len(set(looks([f"init{n}" for n in range(40)]).values())) == 32  # more than there are share


def test_swept_parameters_share_a_colour_and_differ_in_marker():
    labels = ["normal std=0.01", "normal std=1"]
    small, large = label_styles(pd.DataFrame({"init": "normal", "label": labels})).values()
    assert small.color == large.color and small.marker != large.marker


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    dark, light = sorted(linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (one, other))
    return float((light + 0.05) / (dark + 0.05))


@pytest.mark.parametrize("background", ["#ffffff", "#14181f"])
def test_colours_stand_out_on_light_and_dark(background):
    assert min(contrast(colour, background) for colour in PALETTE) > 2.6


# Machado, Oliveira & Fernandes 2009, severity 1; Ottosson's OKLab (2020), in which 0.02 is just noticeable.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_CONES = [
    [0.41222147, 0.53633254, 0.05144599],
    [0.2119035, 0.68069955, 0.10739696],
    [0.08830246, 0.28171884, 0.6299787],
]
TO_LAB = [
    [0.21045426, 0.79361779, -0.00407205],
    [1.9779985, -2.4285922, 0.45059371],
    [0.02590404, 0.78277177, -0.80867577],
]


@pytest.mark.parametrize("matrix", BLINDNESS.values(), ids=BLINDNESS.keys())
def test_the_colour_blind_can_tell_them_apart(matrix):
    seen = [np.clip(np.array(matrix) @ linear(colour), 0, 1) for colour in PALETTE]
    lab = [np.array(TO_LAB) @ np.cbrt(np.array(TO_CONES) @ rgb) for rgb in seen]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 0.045


def test_a_colour_means_the_same_initializer_in_all_figures(tmp_path):
    runs = [run for depth in (5, 20) for run in cell("xavier", 0.9, 0.8, depth=depth) + cell("he", 0.95, depth=depth)]
    made = drawn(results_of(tmp_path, *runs), compared=True)
    colour = label_styles(pd.DataFrame({"init": ["xavier"], "label": ["xavier"]}))["xavier"].color.lower()

    def lines(name: str, title: str) -> set[str]:
        return {to_hex(line.get_color()) for line in panel(made[name].figure, title).lines}

    assert colour in lines("loss_curves", "relu, depth 5") and colour in lines("gradient_norms", "relu, depth 5")
    assert colour in lines("profiles", "all contests") and colour in lines("margins", "relu, depth 5")
    bars = panel(made["trainable_depth"].figure, "relu").patches
    assert [to_hex(bar.get_facecolor()) for bar in bars][1] == colour
    points = panel(made["seeds"].figure, "relu, depth 5").collections[0]
    assert {to_hex(face) for face in points.get_facecolors()[1:]} == {colour} or colour in {
        to_hex(face) for face in points.get_facecolors()
    }
    assert colour in {to_hex(line.get_color()) for line in made["act_mean"].figure.axes[0].lines}
