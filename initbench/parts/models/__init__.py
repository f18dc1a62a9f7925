"""Models: ordinary modules, written for one run.

To add one, write an `nn.Module` and name it in `conf/model/NAME.yaml`. Its constructor takes a `ModelSpec`, `spec`, and
keyword parameters of its own; the class attribute `supports` names those of the spec's fields `vocabulary`,
`positions`, `widths`, `norm`, `dropout`, `dropconnect` and `alpha_dropout` that it uses. Or it takes by name those that
it needs:

    def __init__(self, shape, classes, depth, width, act, *, ratio=2)

It maps (B, *shape) to logits (B, classes), or (B, positions, classes). A model that lacks one of those seven is never
combined with data or settings that need it. If a model does not fit its data otherwise, it raises DoesNotFit with the
reason.

The layer statistics find a layer by its modules: a submodule that owns a `weight` and gives the pre-activation, and the
`Activation` that is called next. (In models outside of this package functions count as activations too, and layers are
numbered.) The initializer writes all weights, so that a model need not. Small modules with parameters but no weight
matrix have a `reset_parameters`.
"""

from initbench.parts.models.attention import Seq2Seq, Transformer
from initbench.parts.models.convolutional import CNN, Conv1D, ResNet
from initbench.parts.models.dense import MLP, Dense, Logistic
from initbench.parts.models.from_torchvision import Torchvision
from initbench.parts.models.recurrent import GRU, LSTM, RNN
from initbench.parts.models.spec import ModelSpec
