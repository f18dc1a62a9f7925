"""Optimizers: the update of one tensor of one run.

To add one, write a class with keyword parameters and name it in `conf/optim/NAME.yaml`. It has

    elementwise: bool                       does each entry's update look at that entry alone?
    init(parameter) -> dict[str, Tensor]    the state of one tensor before the first step, {} for none
    update(parameter, gradient, state, *, lr, step) -> None

`update` writes `parameter` and `state` in place and leaves `gradient` as it is. `lr` is a tensor that
broadcasts against the parameter and never a Python number, since it may differ from run to run; `step` counts
from 1. An elementwise optimizer is called once for all tensors of all runs, so it may only use operations that
are elementwise and broadcast; where the rows are filled up with zeros it must give finite numbers, so what it
divides by is above 0. Any other (one that looks at norms, like LAMB) is called for one tensor of one run under
`torch.func.vmap`, so it may only use what vmap has a rule for: no `out=`, and no `lerp_`, `addcmul_`, `addcdiv_`.

None decays the weights unless that is part of its definition (AdamW, LAMB): `regularize` does, for all of them.
"""

from initbench.parts.optimizers.elementwise import SGD, Adagrad, Adam, AdamW, RAdam, RMSprop
from initbench.parts.optimizers.layerwise import LAMB, Muon
from initbench.parts.optimizers.lookahead import Lookahead, Ranger
