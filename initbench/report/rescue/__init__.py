"""What a mitigation is worth: by how much it shrinks the spread between initializers, and which failures it rescues.

A mitigation is any axis that has a value for "without" (`axes.BASELINES`); a panel is a contest of the other axes.
Every number compares the same initializers under the same seeds, with and without.
"""

from initbench.report.rescue.answers import answer, brief_sheet, frames, rescue_sheet
from initbench.report.rescue.axes import Rescue, rescues
from initbench.report.rescue.pairs import FATES

__all__ = ["FATES", "Rescue", "answer", "brief_sheet", "frames", "rescue_sheet", "rescues"]
