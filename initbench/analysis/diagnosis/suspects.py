"""Settings that several rules suspect."""

from initbench.analysis.diagnosis.conditions import LARGE_BIAS, OFF_SCALE
from initbench.analysis.diagnosis.settings import Suspect, changed, higher, lower

LARGE_WEIGHTS = higher("init.gain", "init.std", "init.a", "init.value", "init.sigma_w", "init.sigma_b")
SMALL_WEIGHTS = lower("init.gain", "init.std", "init.a", "init.sigma_w", "model.branch_scale")
LARGE_BIAS_SET = (Suspect("init.bias", lambda value, default: abs(value) >= LARGE_BIAS),)
RESTLESS = (
    *higher("lr", "optim.momentum", "optim.beta1"),
    *lower("batch_size", "optim.beta2"),
    *higher("gradient.noise", "regularize.weight_noise"),
    *changed("precision"),
)
MANY_TIMES_SMALLER_BATCH = Suspect("batch_size", lambda value, default: value <= default / OFF_SCALE)
