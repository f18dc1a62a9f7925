"""initbench measures which weight initialization to use, and says how it knows."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from initbench.results.load import Results, load

__all__ = ["Results", "load"]


def __getattr__(name: str):
    """`load` and `Results` when first asked for: `initbench --help` need not wait for pandas."""
    if name in __all__:
        from initbench.results import load

        return getattr(load, name)
    raise AttributeError(f"module 'initbench' has no attribute '{name}'")
