"""initbench measures which weight initialization to use, and says how it knows."""

from initbench.store import Results, load

__all__ = ["Results", "load"]
