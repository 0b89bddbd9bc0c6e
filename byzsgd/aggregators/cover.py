"""Vertex covers of bounded size: an exact search, exponential in nothing but the hard core.

Graphs are adjacency lists of bitsets: `adjacency[v]` has bit u set iff u and v are joined, and a
set of vertices is an int. After Chen, Kanj and Jia, "Vertex cover: further observations and further
improvements" (J. Algorithms 2001): shrink the graph by rules that are always safe, give up where a
lower bound passes the budget, split what fell apart, and branch only on what is left.
"""

from collections.abc import Iterator, Sequence

Graph = Sequence[int]


def vertex_cover(graph: Graph, live: int, budget: int) -> int | None:
    """At most `budget` vertices of `live` that touch every edge within it, or None if none do."""
    reduced = _reduce(graph, live, budget)
    if reduced is None:
        return None
    live, taken = reduced
    if not live:
        return taken
    budget -= taken.bit_count()
    rest = _solve_core(graph, live, budget)
    return None if rest is None else taken | rest


def members(vertices: int) -> Iterator[int]:
    """The vertices in a bitset, ascending."""
    while vertices:
        lowest = vertices & -vertices
        yield lowest.bit_length() - 1
        vertices ^= lowest


def _reduce(graph: Graph, live: int, budget: int) -> tuple[int, int] | None:
    """(what is still undecided, what every rule forced into the cover), or None if over budget."""
    taken = 0
    while True:
        before, pending = taken, live
        while pending:
            bit = pending & -pending
            pending ^= bit
            around = graph[bit.bit_length() - 1] & live
            degree, left = around.bit_count(), budget - taken.bit_count()
            if degree == 0:
                live ^= bit
                continue
            if left <= 0:
                return None
            if degree > left:  # without this vertex all its neighbours are taken: too many
                forced = bit
            elif degree == 1:  # a leaf's neighbour covers all that the leaf does
                forced = around
            else:
                continue
            taken |= forced
            live &= ~forced
            pending &= live
        if taken == before:
            crown = _crown(graph, live)
            taken |= crown
            live &= ~crown
        if taken == before:
            return live, taken


def _crown(graph: Graph, live: int) -> int:
    """Neighbours shared by at least as many twins as there are of them: taking them is best."""
    twins: dict[int, int] = {}
    for v in members(live):
        around = graph[v] & live
        twins[around] = twins.get(around, 0) + 1
        if twins[around] >= around.bit_count():
            return around
    return 0


def _solve_core(graph: Graph, live: int, budget: int) -> int | None:
    """A graph that no rule shrinks: bound it, split it, or branch on a vertex of most edges."""
    degrees = {v: (graph[v] & live).bit_count() for v in members(live)}
    busiest = max(degrees, key=degrees.__getitem__)
    if sum(degrees.values()) > 2 * budget * degrees[busiest]:
        return None
    if _cliques_need(graph, live) > budget:
        return None
    component = _component(graph, live)
    if component != live:
        return _solve_apart(graph, component, live & ~component, budget)
    return _branch(graph, live, busiest, budget)


def _branch(graph: Graph, live: int, v: int, budget: int) -> int | None:
    """Either v is in the cover, or all its neighbours are."""
    around = graph[v] & live
    for taken in (1 << v, around):
        left = budget - taken.bit_count()
        rest = vertex_cover(graph, live & ~taken & ~(1 << v), left) if left >= 0 else None
        if rest is not None:
            return taken | rest
    return None


def _solve_apart(graph: Graph, part: int, others: int, budget: int) -> int | None:
    """The least cover of one component, so that the others have the most left."""
    for size in range(_cliques_need(graph, part), budget - _cliques_need(graph, others) + 1):
        cover = vertex_cover(graph, part, size)
        if cover is not None:
            rest = vertex_cover(graph, others, budget - cover.bit_count())
            return None if rest is None else cover | rest
    return None


def _component(graph: Graph, live: int) -> int:
    """The vertices reachable from the first one."""
    reached = frontier = live & -live
    while frontier:
        near = 0
        for v in members(frontier):
            near |= graph[v]
        frontier = near & live & ~reached
        reached |= frontier
    return reached


def _cliques_need(graph: Graph, live: int) -> int:
    """A lower bound: disjoint cliques, greedily; each needs all of its vertices but one."""
    need = 0
    while live:
        v = live & -live
        live ^= v
        common = graph[v.bit_length() - 1] & live
        while common:
            u = common & -common
            live ^= u
            need += 1
            common &= graph[u.bit_length() - 1]
    return need
