"""What a mitigation is worth: by how much it shrinks the spread between initializers, and which failures it rescues.

A mitigation is any axis that has a value for "without" (`Key.without`); a panel is a contest of the other axes.
Every number compares the same initializers under the same seeds, with and without.
"""

from initbench.analysis.mitigations.effects import MitigationEffects, answer, frames, mitigation_effects
from initbench.analysis.mitigations.pairs import EFFECTS

__all__ = ["EFFECTS", "MitigationEffects", "answer", "frames", "mitigation_effects"]
