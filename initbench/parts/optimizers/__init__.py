"""Optimizers: the update of one tensor of one run.

To add one, write a class with keyword parameters and name it in `conf/optim/NAME.yaml`. It has

    elementwise: bool                       does each entry's update look at that entry alone?
    init(parameter) -> dict[str, Tensor]    the state of one tensor before the first step, {} for none
    update(parameter, gradient, state, *, lr, step) -> None

`update` writes `parameter` and `state` in place and leaves `gradient` as it is. `lr` is a tensor that broadcasts
against the parameter, since it may differ between runs; `step` counts from 1. An elementwise optimizer is called once
for all tensors of all runs, so it may only use elementwise operations that broadcast, and it must give finite numbers
for the zeros that fill up rows; `trials.check_optimizer` tries somebody's own. Any other (LAMB looks at norms) is
called for one tensor of one run under `torch.func.vmap`, which has no rule for `out=`, `lerp_`, `addcmul_` and
`addcdiv_`.

Only AdamW and LAMB decay weights, by definition; `regularize` does so for all.
"""

from initbench.parts.optimizers.elementwise import SGD, Adagrad, Adam, AdamW, RAdam, RMSprop
from initbench.parts.optimizers.layerwise import LAMB, Muon
from initbench.parts.optimizers.lookahead import Lookahead, Ranger
