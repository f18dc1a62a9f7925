from initbench.parts.data.datasets import *  # noqa: F403
