"""How the uses of weights in a forward pass follow each other, by autograd's graph."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from torch.autograd.graph import Node

Edge = tuple[Node, int]  # a node and which of its outputs
CUTS = ("Select", "Slice", "Unbind", "Split", "Narrow", "Index", "Gather", "UnsafeSplit", "Chunk")  # take a part of x


class LayerGraph:
    """The uses of weights, numbered in their order, as nodes of autograd's graph.

    above   of each use, the uses whose outputs it reads, with no other use between
    places  of each use, its number along the longest way from the input, from 1
    """

    def __init__(self, uses: Sequence[Node], data: Node | None):
        """data: the inputs' node, where they have one."""
        self.uses, self.data = uses, data
        self.number = {node: i for i, node in enumerate(uses)}
        reads: dict[Node, frozenset[int]] = {}
        for node in _upward(uses):
            before = [self.number.get(b) for b, _ in _inputs(node)]
            direct = {i for i in before if i is not None}
            others = [reads[b] for b, _ in _inputs(node) if b not in self.number]
            reads[node] = frozenset(direct.union(*others))
        self.above = [reads[node] for node in uses]
        self.places: list[int] = []
        for above in self.above:
            self.places.append(1 + max((self.places[i] for i in above), default=0))

    def split(self, uses: list[int]) -> list[list[int]]:
        """The uses of one weight as layers: one layer where it reads a sequence step by step, or several things side by
        side; a layer each where every use reads the one before, and no new data."""
        deep = len(uses) > 1 and all(self.follows(after, before) for before, after in pairwise(uses))
        return [[use] for use in uses] if deep and not self.reads_new_data(uses[1], uses[0]) else [uses]

    def beside(self, layers: Sequence[Sequence[int]]) -> list[int | None]:
        """Of each layer, given as its uses, the first before it that stands at the same place, if one does.

        The weights with which a cell reads its own state stand beside those with which it reads its input.
        """
        first = {use: self.places[uses[0]] for uses in layers for use in uses}
        places = []
        for uses in layers:
            others = self.above[uses[1]] - set(uses) if len(uses) > 1 else ()
            places.append(max([first[uses[0]], *(first[use] for use in others)]))
        return [n if (n := places.index(place)) < i else None for i, place in enumerate(places)]

    def follows(self, later: int, earlier: int) -> bool:
        """Whether a use reads, through others, the output of an earlier one."""
        waiting, met = [later], {later}
        while waiting:
            new = self.above[waiting.pop()] - met
            met |= new
            waiting += new
        return earlier in met and later != earlier

    def reads_new_data(self, later: int, earlier: int) -> bool:
        """Whether a use sees a part of the data, or the output of a use, that an earlier one has not seen and that is
        not computed from it: the next time step of a sequence."""
        known = set(_edges(self.uses[earlier]))
        fresh = [edge for edge in _edges(self.uses[later], stop=self.uses[earlier]) if edge not in known]
        through = self._leads_to(self.uses[later], {self.uses[earlier]})
        from_data = self._leads_to(self.uses[later], {*self.uses, self.data} - {self.uses[later]})
        return any(
            from_data[node] and not through[node] and (node in self.number or node.name().startswith(CUTS))
            for node, _ in fresh
        )

    def _leads_to(self, node: Node, goals: set[Node | None]) -> dict[Node, bool]:
        """Of each node from which one is computed, and of itself: whether it is, or is computed from, a goal."""
        found: dict[Node, bool] = {}
        for each in _upward([node]):
            found[each] = each in goals or any(found[before] for before, _ in _inputs(each))
        return found


def _inputs(node: Node) -> list[Edge]:
    return [(before, which) for before, which in node.next_functions if before is not None]


def _edges(node: Node, stop: Node | None = None) -> Iterable[Edge]:
    """All edges from which a node is computed, but for what lies above `stop`."""
    waiting, met = _inputs(node), set(_inputs(node))
    while waiting:
        edge = waiting.pop()
        yield edge
        new = [] if edge[0] is stop else [other for other in _inputs(edge[0]) if other not in met]
        met.update(new)
        waiting += new


def _upward(nodes: Iterable[Node]) -> Iterable[Node]:
    """The nodes and all from which they are computed, each after those that it reads."""
    done: set[Node] = set()
    waiting = list(nodes)[::-1]
    while waiting:
        node = waiting[-1]
        new = [before for before, _ in _inputs(node) if before not in done]
        if new:
            waiting += new
            continue
        waiting.pop()
        if node not in done:
            done.add(node)
            yield node
