"""Keys whose values go together: `--zip act,init.sigma_w` takes the first of both, then the second of both, ..."""

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from initbench.config.aliases import read_key
from initbench.config.axis import Axis
from initbench.config.values import shown
from initbench.errors import InputError, nearest
from initbench.text import plural, split_words


@dataclass(frozen=True)
class Bundle:
    """Axes that vary as one: a single axis, or those of one `--zip`."""

    places: tuple[int, ...]  # of the axes in the list of all axes.
    rows: list[tuple[int, ...]]  # for each combination of their values, the number of the value of each axis.


def read_zips(texts: Iterable[str], axes: Iterable[Axis]) -> list[list[str]]:
    """The keys of each `--zip KEY,KEY`; InputError unless these are swept, once each, with lists of equal length."""
    by_key = {axis.key: axis for axis in axes}
    zips: list[list[str]] = []
    for text in texts:
        keys, where = [read_key(word) for word in split_words(text)], f"--zip {shown(text)}"
        if len(keys) < 2:
            raise InputError(f"{where}: takes two keys or more, as in --zip act,init.sigma_w")
        for n, key in enumerate(keys):
            if key not in by_key:
                raise InputError(f"{where}: no values of '{key}' are given{nearest(key, by_key)}")
            if key in [*keys[:n], *itertools.chain(*zips)]:
                raise InputError(f"{where}: '{key}' is already in a --zip; name it once")
        for key in keys:
            if by_key[key].tuned:
                what = "rate" if key == "lr" else "value"
                raise InputError(
                    f"{where}: {key}=tune tries every {what} in each combination; leave {key} out of --zip"
                )
        lengths = {key: len(by_key[key].listed) for key in keys}
        if len(set(lengths.values())) > 1:
            have = ", ".join(f"{key} has {plural(length, 'value')}" for key, length in lengths.items())
            raise InputError(f"{where}: {have}; give each key as many values")
        zips.append(keys)
    return zips


def bundles(axes: Sequence[Axis], zips: Iterable[Collection[str]]) -> list[Bundle]:
    """Every axis in one bundle, each bundle at the place of its first axis; what goes with the seed comes last."""
    together = {key: keys for keys in zips for key in keys}
    places = dict.fromkeys(
        tuple(n for n, other in enumerate(axes) if other.key in together.get(axis.key, [axis.key])) for axis in axes
    )
    found = [Bundle(each, list(dict.fromkeys(zip(*(_numbers(axes[n]) for n in each), strict=True)))) for each in places]
    return sorted(found, key=lambda bundle: any(axes[n].key == "seed" for n in bundle.places))


def _numbers(axis: Axis) -> list[int]:
    """For each value as listed its number among the different ones."""
    texts = [json.dumps(value) for value in axis.values]
    return [texts.index(json.dumps(value)) for value in axis.listed]


def points(bundled: Iterable[Bundle]) -> Iterator[dict[int, int]]:
    """The product of bundles: for each axis, by its place, the number of its value; the last bundle changes fastest."""
    bundled = list(bundled)
    for rows in itertools.product(*(bundle.rows for bundle in bundled)):
        yield {
            place: number
            for bundle, row in zip(bundled, rows, strict=True)
            for place, number in zip(bundle.places, row, strict=True)
        }
