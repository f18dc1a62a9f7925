"""Peer (c): JAX, `vmap` over the runs and `scan` over the steps in one `jit`."""

import sys
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from problem import (
    BATCH,
    DEAD,
    LOOK_EVERY,
    LR,
    MOMENTUM,
    RUNS,
    SATURATED,
    Shape,
    batch_order,
    digits,
    he_weights,
)
from timing import OneEachCore, report, slope

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
    """All runs, LOOK_EVERY steps a block.

    order is (blocks, LOOK_EVERY, R, B); out come losses (blocks, LOOK_EVERY, R), statistics (blocks, R, L).
    """

    def plain(state: tuple, rows: jax.Array) -> tuple:
        params, momenta = state
        params, momenta, loss = jax.vmap(plain_step)(params, momenta, x[rows], y[rows])
        return (params, momenta), loss

    def block(state: tuple, rows: jax.Array) -> tuple:
        params, momenta = state
        params, momenta, first, looks = jax.vmap(look_step)(params, momenta, x[rows[0]], y[rows[0]])
        state, rest = lax.scan(plain, (params, momenta), rows[1:])
        return state, (jnp.concatenate([first[None], rest]), looks)

    (params, momenta), (losses, looks) = lax.scan(block, (params, momenta), order)
    return params, momenta, losses, looks


class Stack:
    """The runs of `seeds` as one program, compiled once for each number of steps."""

    def __init__(self, shape: Shape, seeds: Sequence[int]) -> None:
        self.x, self.y = digits()
        self.weights = [he_weights(shape, self.x.shape[1], seed) for seed in seeds]
        self.seeds = seeds
        self.programs = {}

    def __call__(self, steps: int) -> None:
        order = np.stack([batch_order(len(self.x), seed, steps) for seed in self.seeds], 1)
        arguments = to_jax(self.weights, self.x, self.y, order)
        jax.block_until_ready(self.programs[steps](*arguments))

    def compile(self, *lengths: int) -> None:
        for steps in lengths:
            order = np.zeros((steps, len(self.seeds), BATCH), np.int64)
            arguments = to_jax(self.weights, self.x, self.y, order)
            self.programs[steps] = train_stack.lower(*arguments).compile()
        self(lengths[0])


def to_jax(runs: list[list[np.ndarray]], x: np.ndarray, y: np.ndarray, order: np.ndarray) -> tuple:
    """What `train_stack` takes, from each run's weights (out, in) and an order (steps, R, B)."""
    params = [
        (jnp.asarray(np.stack(layer).transpose(0, 2, 1)), jnp.zeros((len(runs), layer[0].shape[0])))
        for layer in zip(*runs, strict=True)
    ]
    momenta = jax.tree.map(jnp.zeros_like, params)
    blocks = order.astype(np.int32).reshape(-1, LOOK_EVERY, *order.shape[1:])
    return params, momenta, jnp.asarray(x), jnp.asarray(y.astype(np.int32)), jnp.asarray(blocks)


def ready(shape: Shape, seeds: Sequence[int], steps: tuple[int, int]) -> Stack:
    stack = Stack(shape, seeds)
    stack.compile(*steps)
    return stack


def measure(shape: Shape, processes: int, steps: tuple[int, int]) -> tuple[float, str]:
    """All runs in one program that has both cores, or half of them in a program pinned to each core."""
    if processes == 1:
        return slope(ready(shape, range(RUNS), steps), steps, RUNS), f"{RUNS} runs in one program"
    halves = [(shape, range(core, RUNS, processes), steps) for core in range(processes)]
    stacks = OneEachCore(ready, halves, pin=True)
    rate = slope(stacks, steps, RUNS)
    stacks.close()
    return rate, f"{RUNS // processes} runs in each of {processes} programs"


if __name__ == "__main__":
    shape, processes, short, long = Shape.parse(sys.argv[1]), *map(int, sys.argv[2:])
    report(measure(shape, processes, (short, long)))
