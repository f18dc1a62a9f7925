"""Whether the teachers that runs ask for can teach them, before anything is trained."""

import json
from collections.abc import Sequence
from pathlib import Path

from initbench.config.keys import OWN_SEED
from initbench.config.run import Run
from initbench.config.values import shown
from initbench.errors import InputError
from initbench.jobs.teachers import KEY, check_teachers


def check_teaching(runs: Sequence[Run], missing: Sequence[Run], root: Path) -> None:
    """Raise InputError where a teacher is missing, has no weights or knows other examples; each is looked at once.

    missing: those of the runs that are to be trained.
    """
    if not any(run.config["distill"]["run"] for run in runs):
        for key, value in runs[0].config["distill"].items():
            if value is not None:
                raise InputError(f"distill.{key}={shown(value)} has no effect without {KEY}, the id of a finished run")
    seen = set()
    for run in missing:
        distill = run.config["distill"]
        seed = run.config["seed"] if distill["seeds"] == OWN_SEED else None
        asked = json.dumps([distill, run.config["data"], seed])
        if asked not in seen:
            seen.add(asked)
            check_teachers(root, run.config)
