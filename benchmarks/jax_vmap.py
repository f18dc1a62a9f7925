"""Peer (c): JAX, `vmap` over the runs and `scan` over the steps in one `jit`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from problem import DEAD, LOOK_EVERY, LR, MOMENTUM, SATURATED, Shape, batch_order, digits, he_weights

Params = list[tuple[jax.Array, jax.Array]]


def forward(params: Params, probes: list, x: jax.Array) -> tuple[jax.Array, list, list]:
    """Logits, pre-activations and activations of one run; the probes are zeros whose gradients are dL/ds."""
    pres, acts = [], []
    for (weight, bias), probe in zip(params, probes, strict=True):
        pre = x @ weight + bias
        if probe is not None:
            pre = pre + probe
        x = jax.nn.relu(pre)
        pres.append(pre)
        acts.append(x)
    return pres[-1], pres[:-1], acts[:-1]


def loss_and_layers(params: Params, probes: list, x: jax.Array, y: jax.Array) -> tuple[jax.Array, tuple]:
    logits, pres, acts = forward(params, probes, x)
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)
    return -picked.mean(), (pres, acts)


def sgd(params: Params, momenta: Params, grads: Params) -> tuple[Params, Params]:
    momenta = jax.tree.map(lambda buffer, grad: MOMENTUM * buffer + grad, momenta, grads)
    return jax.tree.map(lambda p, buffer: p - LR * buffer, params, momenta), momenta


def plain_step(params: Params, momenta: Params, x: jax.Array, y: jax.Array) -> tuple:
    """One run's step and its loss."""
    nothing = [None] * len(params)
    loss, grads = jax.value_and_grad(lambda p: loss_and_layers(p, nothing, x, y)[0])(params)
    return *sgd(params, momenta, grads), loss


def look_step(params: Params, momenta: Params, x: jax.Array, y: jax.Array) -> tuple:
    """One run's step, its loss and its layers' statistics."""
    probes = [jnp.zeros((len(x), len(bias))) for _, bias in params]
    gradient = jax.value_and_grad(loss_and_layers, argnums=(0, 1), has_aux=True)
    (loss, (pres, acts)), (grads, pre_grads) = gradient(params, probes, x, y)
    after, momenta = sgd(params, momenta, grads)
    return after, momenta, loss, statistics(params, after, grads, pre_grads, pres, acts)


def statistics(before: Params, after: Params, grads: Params, pre_grads: list, pres: list, acts: list) -> dict:
    norm = jnp.linalg.norm
    slopes = [(pre > 0).astype(jnp.float32) for pre in pres]
    return {
        "weight_grad_norm": jnp.stack([norm(weight) for weight, _ in grads]),
        "pre_grad_norm": jnp.stack([norm(grad) for grad in pre_grads]),
        "act_mean": jnp.stack([act.mean() for act in acts]),
        "act_var": jnp.stack([act.var() for act in acts]),
        "unit_spread": jnp.stack([jnp.sqrt(act.var(1).mean()) for act in acts]),
        "example_spread": jnp.stack([jnp.sqrt(act.var(0).mean()) for act in acts]),
        "dead": jnp.stack([(slope < DEAD).all(0).mean() for slope in slopes]),
        "saturated": jnp.stack([(slope < SATURATED).mean() for slope in slopes]),
        "update_ratio": jnp.stack(
            [norm(new - old) / norm(old) for (old, _), (new, _) in zip(before, after, strict=True)]
        ),
    }


@partial(jax.jit, donate_argnums=(0, 1))
def train_stack(params: Params, momenta: Params, x: jax.Array, y: jax.Array, order: jax.Array) -> tuple:
    """All runs, LOOK_EVERY steps a block: order (blocks, LOOK_EVERY, R, B); losses come out (blocks, LOOK_EVERY, R)."""

    def plain(state: tuple, rows: jax.Array) -> tuple:
        params, momenta, loss = jax.vmap(plain_step)(*state, x[rows], y[rows])
        return (params, momenta), loss

    def block(state: tuple, rows: jax.Array) -> tuple:
        *state, first, looks = jax.vmap(look_step)(*state, x[rows[0]], y[rows[0]])
        state, rest = lax.scan(plain, tuple(state), rows[1:])
        return state, (jnp.concatenate([first[None], rest]), looks)

    (params, momenta), (losses, looks) = lax.scan(block, (params, momenta), order)
    return params, momenta, losses, looks


class Stack:
    """`seeds` as one program."""

    def __init__(self, shape: Shape, seeds: list[int]) -> None:
        self.shape, self.seeds = shape, seeds
        x, y = digits()
        self.x, self.y = jnp.asarray(x), jnp.asarray(y.astype(np.int32))

    def __call__(self, steps: int) -> np.ndarray:
        """Losses, (steps, R); `steps` is a multiple of LOOK_EVERY, a new one compiles anew."""
        rows, features = self.x.shape
        runs = [he_weights(self.shape, features, seed) for seed in self.seeds]
        params = [
            (jnp.asarray(np.stack(weights).transpose(0, 2, 1)), jnp.zeros((len(runs), weights[0].shape[0])))
            for weights in zip(*runs, strict=True)
        ]
        order = np.stack([batch_order(rows, steps, seed) for seed in self.seeds], 1).astype(np.int32)
        order = order.reshape(-1, LOOK_EVERY, *order.shape[1:])
        momenta = jax.tree.map(jnp.zeros_like, params)
        *_, losses, _ = jax.block_until_ready(train_stack(params, momenta, self.x, self.y, jnp.asarray(order)))
        return np.asarray(losses).reshape(steps, -1)
