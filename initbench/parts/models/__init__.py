"""Models: ordinary modules, written for one run.

To add one, write an `nn.Module` whose constructor takes what it needs of

    shape        of one example
    classes      outputs: the number of classes, 1 where a number is predicted
    depth, width
    act          what makes a new `Activation` for each layer
    vocabulary   examples are tokens below it; None: they are numbers
    positions    each of so many positions of an example has a label; None: the example has one
    norm         how hidden layers are normalized, a `Norm`; None for not at all
    dropout, dropconnect   the share of hidden units, or of their weights, that training drops; None for none

and keyword parameters of its own, and name it in `conf/model/NAME.yaml`. It maps (B, *shape) to logits
(B, classes), or (B, positions, classes). A model that doesn't take vocabulary or positions is never given
data that have them; one that doesn't fit its data otherwise raises InputError with the reason. Nor does a model go
with normalization, dropout or dropconnect that it doesn't take.

The layer statistics find a layer by its modules: a submodule that owns a `weight` and gives the
pre-activation, and the `Activation` that is called next. Weights need no values of their own: the
initializer writes them. Small modules with parameters but no weight matrix have a `reset_parameters`.
"""

from initbench.parts.models.attention import Seq2Seq, Transformer
from initbench.parts.models.convolutional import CNN, Conv1D, ResNet
from initbench.parts.models.dense import MLP, Dense, Logistic
from initbench.parts.models.recurrent import GRU, LSTM, RNN
