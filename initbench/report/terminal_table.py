"""A table of texts in a terminal of any width: nothing is cut off, and columns that are left out are named."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2  # characters between two columns
LEAST = 20  # characters of a row's name that goes on in the next line
RULED = box.SIMPLE_HEAD
RULED_ASCII = box.Box(str(RULED).replace("─", "-"), ascii=True)


@dataclass(frozen=True)
class TextColumn:
    header: tuple[str, ...]  # the uppermost first; neighbours that share an upper one stand under it together
    left: bool = False  # text; numbers stand to the right

    @property
    def title(self) -> str:
        """The headers in one line."""
        return ", ".join(filter(None, self.header))


@dataclass(frozen=True)
class TextCell:
    """A text; `bold` for the best, with a `mark` behind it, and a colour (rich's) where the terminal has one."""

    text: str
    bold: bool = False
    mark: str = ""
    colour: str = ""


@dataclass(frozen=True)
class TerminalTable:
    """Rows of texts under columns, the first `stub` of which name the row. rich prints it as it is.

    Where a terminal is too narrow for all columns, first the values of the `headings` stand on lines above their rows.
    Then the `optional` columns are left out, one after the other; the line below the table names them. Then the rows'
    names go on in the next line, and further blocks with the same stub show the columns that still have no room.
    """

    caption: str
    columns: Sequence[TextColumn]
    stub: int
    rows: Sequence[Sequence[TextCell]]
    title: str = field(default="", kw_only=True)  # what all rows have in common.
    headings: int = field(default=0, kw_only=True)  # of the stub, how many columns name a group of rows.
    optional: Sequence[int] = field(default=(), kw_only=True)  # places of columns, the one that goes first first.
    whole: str = field(default="", kw_only=True)  # a sentence: where the columns that are left out can be seen.

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = RULED_ASCII if options.ascii_only else RULED
        above, places = self._fitting(options.max_width)
        if self.title:
            yield ""
            yield Text(self.title, style="bold", overflow="fold")
        for block in self._blocks(places, options.max_width):
            yield ""
            widths = self._widths(block, options.max_width)
            yield from self._grouped(above, widths, lines) if above else [self._whole(widths, lines)]
        yield ""
        if left_out := [" ".join(self.columns[place].header) for place in self.optional if place not in places]:
            yield Text(f"Left out for lack of room: {', '.join(left_out)}. {self.whole}".strip(), style="dim")
        if self.caption:
            yield Text(self.caption, style="dim")

    def _fitting(self, width: int) -> tuple[int, list[int]]:
        """How many columns stand above their rows, and the places of the others that are shown."""
        everything = list(range(len(self.columns)))
        ways = [(0, everything)]
        for count in range(len(self.optional) + 1):
            below = [place for place in everything[self.headings :] if place not in self.optional[:count]]
            ways.append((self.headings, below))
        return next((way for way in ways if self._total(way[1], self._width) <= width), ways[-1])

    def _width(self, place: int) -> int:
        """The characters of a column's longest text."""
        texts = [*self.columns[place].header, *(row[place].text + row[place].mark for row in self.rows)]
        return max(cell_len(text) for text in texts)

    def _least(self, place: int) -> int:
        """The width below which a column does not fall: the last one of the stub may break its texts."""
        return min(self._width(place), LEAST) if place == self.stub - 1 else self._width(place)

    def _total(self, places: Sequence[int], width_of: Callable[[int], int]) -> int:
        return sum(width_of(place) + GAP for place in places) - GAP

    def _blocks(self, places: Sequence[int], width: int) -> Iterator[list[int]]:
        """The places of the columns that stand beside each other in so many characters, each time with the stub."""
        stub = [place for place in places if place < self.stub]
        block = stub.copy()
        for place in places[len(stub) :]:
            if len(block) > len(stub) and self._total([*block, place], self._least) > width:
                yield block
                block = stub.copy()
            block.append(place)
        yield block

    def _widths(self, block: Sequence[int], width: int) -> dict[int, int]:
        """The width of each column: the last one of the stub takes the room that the others leave."""
        widths = {place: self._least(place) for place in block}
        room = width - self._total(block, self._least)
        widths[self.stub - 1] += max(0, min(room, self._width(self.stub - 1) - widths[self.stub - 1]))
        return widths

    def _whole(self, widths: dict[int, int], lines: box.Box) -> Table:
        """One table, with a blank line between two groups; what goes on from the row above is said once."""
        table = self._empty(widths, lines)
        for number, (_, rows) in enumerate(self._groups(self.headings)):
            if number and self.headings:
                table.add_section()
            above: Sequence[TextCell] = []
            for row in rows:
                known = _alike(above, row, self.stub - 1)
                table.add_row(*("" if place < known else _text(row[place]) for place in widths))
                above = row
        return table

    def _grouped(self, above: int, widths: dict[int, int], lines: box.Box) -> Iterator[RenderableType]:
        """The header, and each group's rows below its name: "act=relu depth=5"."""
        yield self._empty(widths, lines)
        names = [column.title for column in self.columns[:above]]
        for values, rows in self._groups(above):
            name = " ".join(f"{name}={value}" for name, value in zip(names, values, strict=True) if value)
            yield Text(name, style="cyan", overflow="fold")
            table = self._empty(widths, lines, header=False)
            for row in rows:
                table.add_row(*(_text(row[place]) for place in widths))
            yield table

    def _empty(self, widths: dict[int, int], lines: box.Box, *, header: bool = True) -> Table:
        table = Table(box=lines, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), show_header=header)
        height = max(len(list(filter(None, column.header))) for column in self.columns)
        for place, width in widths.items():
            column = self.columns[place]
            texts = list(filter(None, column.header))
            text = Text("\n".join([""] * (height - len(texts)) + texts), style="bold")
            table.add_column(text, justify="left" if column.left else "right", width=width, overflow="fold")
        return table

    def _groups(self, headings: int) -> Iterator[tuple[list[str], list[Sequence[TextCell]]]]:
        """The rows that share the texts of their first cells, and these texts."""
        for texts, rows in itertools.groupby(self.rows, lambda row: [cell.text for cell in row[:headings]]):
            yield texts, list(rows)


def _alike(one: Sequence[TextCell], other: Sequence[TextCell], most: int) -> int:
    """How many cells from the left are the same in both rows, `most` at most."""
    pairs = zip(one[:most], other[:most], strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _text(cell: TextCell) -> Text:
    return Text(cell.text + cell.mark, style=f"{'bold ' if cell.bold else ''}{cell.colour}".strip())
