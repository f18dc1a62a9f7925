"""Initializers: the values that a model's weights and biases start from.

To add one, write a function in a module of this package (or a new one)

    f(model, batch, generator, *, act=None, start=None, **parameters) -> None

that writes `model` in place, and name it in `conf/init/NAME.yaml`: `_target_: initbench.parts.inits.MODULE.NAME`. Its
arguments are

    model       an ordinary module
    batch       some of the training inputs, (B, ...)
    generator   the only source of random numbers
    act         the model's `Activation`; passed if the signature has it
    start       a `Start`: a batch with its labels, the loss, forward passes, pre-activations; passed if the signature
                has it, for initializers that look at data

    report      a dictionary for what it did, which is stored with the run
    write_rest  of one that loads weights: writes the whole model by the initializer that its parameter `rest` names

and whatever is wrong with a parameter raises InputError. `contract.check_contract` tests what must hold of it.

In the formulas, n is a weight's fan_in, m its fan_out, N(0, v) a normal distribution of variance v, and
U(-a, a) a uniform one. A scheme writes every hidden layer and the head, matrix by matrix (`Matrix`):

- n and m of a convolution count each position of its kernel;
- gates and attention projections that share one parameter are separate matrices, each with its own fans;
- the input of an embedding is one-hot: n = 1, and m is its width. An embedding that is tied to the head is the head.

What most schemes have in common:

- `gain` multiplies the weights; `auto` is the activation's own gain, E[phi(z)^2]^(-1/2).
- `bias` is written into every bias. Where the default is null, the scheme draws the biases.
- Weights are drawn on the CPU in module order, then biases. Given equal generators, schemes of one distribution (he,
  lecun and xavier_normal, say) differ only in scale, which makes comparisons between them paired.
- A module without weights (a normalization layer) is reset to its own initialization.
"""

from initbench.parts.inits.asymmetric import rai
from initbench.parts.inits.auto import auto
from initbench.parts.inits.autoinit import autoinit
from initbench.parts.inits.data_dependent import krahenbuhl, lsuv
from initbench.parts.inits.drawing import draw_biases, initialize
from initbench.parts.inits.learned import gradinit, metainit
from initbench.parts.inits.matrix import Matrix, fans, gate_biases, matrices, recurrent_parts, set_forget_bias
from initbench.parts.inits.parametrization import mup
from initbench.parts.inits.pretrained import checkpoint, pretrained
from initbench.parts.inits.recurrent import chrono
from initbench.parts.inits.residual import fixup, rezero, skipinit
from initbench.parts.inits.scaling import (
    caffe_xavier,
    constant,
    geometric,
    glorot_standard,
    he,
    he_fan_out,
    he_truncated,
    he_uniform,
    kumar,
    lecun,
    lecun_truncated,
    lecun_uniform,
    mean_field,
    normal,
    ratio_he,
    ratio_xavier,
    torch_default,
    trunc_normal,
    uniform,
    variance_scaling,
    xavier,
    xavier_normal,
    xavier_truncated,
    zeros,
)
from initbench.parts.inits.signal import critical, random_walk, unit_variance
from initbench.parts.inits.structured import delta_orthogonal, identity, orthogonal, sparse, zero
from initbench.parts.inits.transformer import deepnorm, gpt2, mimetic, small_init, t_fixup
