"""What data a model takes: the shape of one example, or InputError with the reason and a model that fits."""

from collections.abc import Sequence

from initbench.errors import DoesNotFit


def image(model: str, shape: Sequence[int]) -> tuple[int, int, int]:
    """(C, H, W) of an image."""
    if len(shape) == 3:
        channels, height, width = shape
        return channels, height, width
    fits = "model=conv1d, rnn, gru, lstm and transformer take sequences" if len(shape) == 2 else "model=mlp takes any"
    raise DoesNotFit(f"model={model} takes images (channels, height, width), not {plain(shape)}; {fits}")


def sequence(model: str, shape: Sequence[int]) -> tuple[int, int]:
    """(C, T) of a sequence of numbers, channels x time."""
    if len(shape) == 2:
        channels, steps = shape
        return channels, steps
    fits = (
        "take data=digits_rows, or model=cnn or resnet, which take images" if len(shape) == 3 else "model=mlp takes any"
    )
    raise DoesNotFit(f"model={model} takes sequences (channels, steps), not {plain(shape)}; {fits}")


def tokens(model: str, shape: Sequence[int]) -> int:
    """T of a sequence of tokens."""
    if len(shape) == 1:
        return shape[0]
    hint = "; model=seq2seq takes pairs of sequences" if len(shape) == 2 else ""
    raise DoesNotFit(f"model={model} takes one sequence of tokens, not {plain(shape)}{hint}")


def pair(model: str, shape: Sequence[int], vocabulary: int | None, positions: int | None) -> tuple[int, int]:
    """(T, vocabulary) of a pair of token sequences with a label for each position of the second."""
    if vocabulary is None or positions is None or len(shape) != 2 or shape[0] != 2:
        raise DoesNotFit(
            f"model={model} takes pairs of token sequences (2, steps), source and target, as data=reverse has them; "
            f"model=transformer takes single sequences"
        )
    return shape[1], vocabulary


def plain(shape: Sequence[int]) -> str:
    return f"examples of shape ({', '.join(map(str, shape))})"
