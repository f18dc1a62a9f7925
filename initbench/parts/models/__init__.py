"""Models: ordinary modules, written for one run.

To add one, write an `nn.Module` and name it in `conf/model/NAME.yaml`. Its constructor takes by name those of these
parameters that it needs, and keyword parameters of its own:

    shape        tuple, the shape of one example
    classes      int, the number of outputs: of classes, or 1 if a number is predicted
    depth        int, layers or blocks
    width        int, units or channels
    act          () -> Activation, a new module for each layer
    vocabulary   int or None: examples are tokens below it, or numbers (None)
    positions    int or None: an example has this many labels, one per position, or one label (None)
    norm         `Norm` or None: how hidden layers are normalized
    dropout      float or None: the share of the hidden units that training drops
    dropconnect  float or None: the share of the hidden layers' weights that training drops

It maps (B, *shape) to logits (B, classes), or (B, positions, classes). A model without one of the last five parameters
is never combined with data or settings that need it. If a model does not fit its data otherwise, it raises DoesNotFit
with the reason.

The layer statistics find a layer by its modules: a submodule that owns a `weight` and gives the
pre-activation, and the `Activation` that is called next. The initializer writes all weights,
so that a model need not. Small modules with parameters but no weight matrix have a `reset_parameters`.
"""

from initbench.parts.models.attention import Seq2Seq, Transformer
from initbench.parts.models.convolutional import CNN, Conv1D, ResNet
from initbench.parts.models.dense import MLP, Dense, Logistic
from initbench.parts.models.recurrent import GRU, LSTM, RNN
