"""Training that is asked for in epochs, answered in steps."""

from collections.abc import Sequence
from pathlib import Path

from initbench import build
from initbench.config.elsewhere import CountsEpochs
from initbench.config.grid import FullId, Grid, expand
from initbench.config.pretrained import FindWeights
from initbench.config.values import is_number, shown
from initbench.errors import InputError


def expanded(
    overrides: Sequence[str],
    seeds: int | None,
    config_dir: Path | None,
    zipped: Sequence[str] = (),
    full_id: FullId | None = None,
    find_weights: FindWeights | None = None,
) -> Grid:
    """The grid of these overrides; where they count epochs, the InputError says how many steps those are here."""
    try:
        return expand(
            overrides, seeds=seeds, config_dir=config_dir, zipped=zipped, full_id=full_id, find_weights=find_weights
        )
    except CountsEpochs as error:
        others = [override for override in overrides if shown(override) != error.override]
        config = expand(others, seeds=seeds, config_dir=config_dir).runs[0].config
        examples, batch = len(build.data(config).y_train), config["batch_size"]
        per_epoch = examples // batch
        steps = ",".join(str(round(n * per_epoch)) if is_number(n) else "..." for n in error.epochs)
        raise InputError(
            f"{error}, and an epoch has {per_epoch} of them here ({examples:,} examples in batches of {batch}); did "
            f"you mean steps={steps}?"
        ) from None
