"""Tables go between two marks of README.md, `<!-- kind -->` and `<!-- end of kind -->`, rows into a CSV beside it."""

from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent


def write(kind: str, tables: str, rows: pd.DataFrame | None = None, *, numbers: str = "%.1f") -> None:
    """Put the tables in place of those that are there; `rows` is what they were made of, with `numbers` so written."""
    readme = HERE / "README.md"
    begin, end = f"<!-- {kind} -->\n", f"<!-- end of {kind} -->"
    before, rest = readme.read_text(encoding="utf-8").split(begin)
    readme.write_text(before + begin + tables + end + rest.split(end)[1], encoding="utf-8")
    if rows is not None:
        rows.to_csv(HERE / f"{kind}.csv", index=False, float_format=numbers)
