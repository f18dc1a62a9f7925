from initbench.parts.inits.schemes import *  # noqa: F403
