"""The layer quantities that are drawn over training, each with the words and the scale of its figure.

A metric of the engine that is not in this list is stored, and not drawn.
"""

from dataclasses import dataclass, replace

USUAL_RATIO = 1e-3  # of updates to weights: a rule of thumb for healthy training


@dataclass(frozen=True)
class LayerQuantity:
    """A quantity of layers that is drawn."""

    name: str  # its column in layers.parquet
    figure: str  # the name of its file
    title: str
    label: str  # of its colour bar, with the unit
    scale: str  # of its colours: "log", "fraction", "signed" (about 0) or "ratio" (logarithmic about `USUAL_RATIO`)
    meaning: str


GRADIENT_NORM = LayerQuantity(
    "pre_grad_norm",
    figure="gradient_norm_over_training",
    title="Gradient norm over training",
    label="norm of ∂loss / ∂pre-activations",
    scale="log",
    meaning="Norm of the loss's gradient with respect to the pre-activations, over the batch and the units.",
)
QUANTITIES = [
    GRADIENT_NORM,
    LayerQuantity(
        "act_mean",
        figure="act_mean",
        title="Mean activation over training",
        label="mean activation",
        scale="signed",
        meaning="Mean of the activations over the batch and the units. White marks 0.",
    ),
    LayerQuantity(
        "act_var",
        figure="act_var",
        title="Variance of the activation over training",
        label="variance of the activation",
        scale="log",
        meaning="Variance of the activations over the batch and the units.",
    ),
    LayerQuantity(
        "dead",
        figure="dead",
        title="Dead units over training",
        label="dead units (% of units)",
        scale="fraction",
        meaning="Share of units whose slope |φ'| is below 0.001 on every example of the batch.",
    ),
    LayerQuantity(
        "saturated",
        figure="saturated",
        title="Saturation over training",
        label="saturated (% of units × examples)",
        scale="fraction",
        meaning="Share of (unit, example) pairs whose slope |φ'| is below 0.05. A ReLU that is off counts.",
    ),
    LayerQuantity(
        "update_ratio",
        figure="update_ratio",
        title="Update-to-weight ratio over training",
        label="norm of one step's update / norm of the weights",
        scale="ratio",
        meaning="Norm of the change that one step makes to the weights, divided by the norm of the weights; undefined "
        "where all weights are 0. White marks 0.001, a rule of thumb: far below it learning is slow, far above it "
        "training is unstable.",
    ),
]
OVER_TIME = replace(
    GRADIENT_NORM,
    figure="gradient_norm_over_time",
    title="Gradient norm over time steps",
    meaning="Norm of the loss's gradient with respect to the pre-activations at each time step, over the batch and "
    "the units",
)
