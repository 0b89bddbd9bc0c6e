"""The search for a vertex cover, in one source that runs compiled and as plain Python.

A set of vertices is `words` integers in a row of a flat list, `width` vertices in each: 64 where
numba compiles it, all n where it does not. Both ways make the same decisions and open the same
nodes, so that replicas with and without numba agree. Nothing in here recurses, allocates or slices;
it is one file because numba's cache looks for changes in one file only.

After Chen, Kanj and Jia, "Vertex cover: further observations and further improvements" (J.
Algorithms 2001) and, for mirrors, Fomin, Grandoni and Kratsch, "A measure and conquer approach for
the analysis of exact algorithms" (J. ACM 2009): shrink the graph by rules that are always safe,
give up where a lower bound passes the budget, split what fell apart, branch only on what is left.
"""

Words = list[int]

NONE, FOUND, AGAIN, BELOW, SPENT = 0, 1, 2, 3, 4
"""Of a frame: it has no cover; it has one; look at it again, or at the one below; out of nodes."""
SOLVED, HOPELESS, SPLIT = -1, -2, -3

# A frame is three sets: `live`, what is undecided, `taken`, what is in the cover, and `touched`,
# what has lost a neighbour since it was last looked at. Then four numbers: how many more it may
# take, the vertex that it branches on (or SPLIT, where it does one component first), and what that
# component may take at this try and at most.
SETS, NUMBERS = 3, 4
PIVOT, SIZE, LAST = 1, 2, 3

# Scratch is three sets, `free` (in no clique yet), `near` and `part` (a component), then a tally of
# degrees.


def search(
    graph: Words, frames: Words, scratch: Words, words: int, width: int, nodes: int
) -> tuple[int, int]:
    """(FOUND or NONE: whether frame 0 has a cover, then in its `taken`; the nodes not used).

    SPENT where `nodes`, the frames it may open, were too few to tell.
    """
    at, state, step = 0, AGAIN, SETS * words + NUMBERS
    while True:
        if state == BELOW:
            at += step
        if state >= AGAIN:
            if nodes <= 0:
                return SPENT, 0
            nodes -= 1
            state = open_frame(graph, frames, scratch, words, width, at)
        elif at == 0:
            return state, nodes
        else:
            at -= step
            state = resume(graph, frames, scratch, words, width, at, state)


def open_frame(graph: Words, frames: Words, scratch: Words, words: int, width: int, at: int) -> int:
    """Reduce it; then go by its first component, or by its busiest vertex."""
    left = at + SETS * words
    v = reduce(graph, frames, scratch, words, width, at)
    if v < 0:
        return FOUND if v == SOLVED else NONE
    if not find_part(graph, frames, scratch, words, width, at):
        frames[left + PIVOT] = v
        return put_in(graph, frames, words, width, at, v)
    frames[left + PIVOT] = SPLIT
    for w in range(words):
        scratch[w] = scratch[2 * words + w]
    frames[left + SIZE] = cliques(graph, scratch, words, width)
    for w in range(words):
        scratch[w] = frames[at + w] & ~scratch[2 * words + w]
    frames[left + LAST] = frames[left] - cliques(graph, scratch, words, width)
    return try_part(frames, scratch, words, at)


def resume(
    graph: Words, frames: Words, scratch: Words, words: int, width: int, at: int, state: int
) -> int:
    """After the frame below: what it found is part of this one's cover, or the other way is."""
    left = at + SETS * words
    below = left + NUMBERS
    v = frames[left + PIVOT]
    if v == SPLIT:
        find_part(graph, frames, scratch, words, width, at)
    if state == NONE:
        if v != SPLIT:
            return leave_out(graph, frames, words, width, at, v)
        frames[left + SIZE] += 1
        return try_part(frames, scratch, words, at)
    for w in range(words):
        frames[at + words + w] |= frames[below + words + w]
    if v != SPLIT:
        return FOUND
    for w in range(words):
        frames[at + w] &= ~scratch[2 * words + w]
        frames[left] -= count(frames[below + words + w])
    return AGAIN


def put_in(graph: Words, frames: Words, words: int, width: int, at: int, v: int) -> int:
    """The frame below: v is in the cover, and so are its mirrors.

    These are not joined to v, but to all its neighbours except one at most: with such a vertex
    outside the cover these neighbours are in it, and v could be exchanged for the last one.
    """
    left = at + SETS * words
    below = left + NUMBERS
    for w in range(words):
        frames[below + w] = frames[at + w]
        frames[below + words + w] = frames[below + 2 * words + w] = 0
    frames[below + SETS * words] = frames[left]
    for w in range(words):
        others = frames[at + w] & ~graph[v * words + w]
        while others != 0:
            low = others & -others
            others ^= low
            u = w * width + count(low - 1)
            if u == v or nearly_within(graph, frames, words, at, v, u):
                take(graph, frames, words, width, below, u)
    if frames[below + SETS * words] >= 0:
        return BELOW
    return leave_out(graph, frames, words, width, at, v)


def leave_out(graph: Words, frames: Words, words: int, width: int, at: int, v: int) -> int:
    """Vertex v is not in the cover, so all its neighbours are."""
    frames[at + v // width] &= ~(1 << v % width)
    for w in range(words):
        around = graph[v * words + w] & frames[at + w]
        while around != 0:
            low = around & -around
            around ^= low
            take(graph, frames, words, width, at, w * width + count(low - 1))
    return AGAIN


def try_part(frames: Words, scratch: Words, words: int, at: int) -> int:
    """The least cover of a component, size by size, so that the others have the most left."""
    left = at + SETS * words
    below = left + NUMBERS
    if frames[left + SIZE] > frames[left + LAST]:
        return NONE
    for w in range(words):
        frames[below + w] = scratch[2 * words + w]
        frames[below + words + w] = frames[below + 2 * words + w] = 0
    frames[below + SETS * words] = frames[left + SIZE]
    return BELOW


def reduce(graph: Words, frames: Words, scratch: Words, words: int, width: int, at: int) -> int:
    """Apply the rules until none does: a vertex of most edges, SOLVED or HOPELESS."""
    while True:
        v = survey(graph, frames, scratch, words, width, at)
        if v < 0:
            return v
        if dominate(graph, frames, words, width, at):
            continue
        if degree(graph, frames, words, at, v) == 2:
            take(graph, frames, words, width, at, v)  # cycles: any vertex is in some least cover
            continue
        for w in range(words):
            scratch[w] = frames[at + w]
        if cliques(graph, scratch, words, width) > frames[at + SETS * words]:
            return HOPELESS
        return v


def survey(graph: Words, frames: Words, scratch: Words, words: int, width: int, at: int) -> int:
    """A vertex of most edges; SOLVED if there are none; HOPELESS if those that may still be taken
    cannot touch all edges. Drops vertices without edges; takes those that have too many to cover.
    """
    left, tally = at + SETS * words, 3 * words
    changed = True
    while changed:
        changed, most, total, best = False, 0, 0, SOLVED
        for d in range(tally, len(scratch)):
            scratch[d] = 0
        for w in range(words):
            pending = frames[at + w]
            while pending != 0:
                low = pending & -pending
                pending ^= low
                v = w * width + count(low - 1)
                edges = degree(graph, frames, words, at, v)
                if edges == 0:
                    frames[at + w] ^= low
                elif frames[left] <= 0:
                    return HOPELESS
                elif edges > frames[left]:
                    take(graph, frames, words, width, at, v)
                    changed = True
                else:
                    scratch[tally + edges] += 1
                    total += edges
                    if edges > most:
                        most, best = edges, v
    return best if total <= 2 * most_touched(scratch, tally, most, frames[left]) else HOPELESS


def most_touched(scratch: Words, tally: int, most: int, left: int) -> int:
    """At how many edges `left` vertices can be, with these degrees."""
    touched = 0
    while most > 0 and left > 0:
        number = min(left, scratch[tally + most])
        touched += number * most
        left -= number
        most -= 1
    return touched


def dominate(graph: Words, frames: Words, words: int, width: int, at: int) -> bool:
    """Take vertices joined to all that some neighbour of theirs is: of leaves, the other end."""
    touched, changed, w = at + 2 * words, False, 0
    while w < words:
        low = frames[touched + w] & -frames[touched + w]
        frames[touched + w] ^= low
        if low == 0:
            w += 1
        elif frames[at + w] & low != 0:
            u = dominator(graph, frames, words, width, at, w * width + count(low - 1))
            if u >= 0:
                if frames[at + SETS * words] == 0:
                    return True
                take(graph, frames, words, width, at, u)
                changed, w = True, 0  # the first of all again, however wide words are
    return changed


def dominator(graph: Words, frames: Words, words: int, width: int, at: int, v: int) -> int:
    """A neighbour of v joined to all its other neighbours, or -1."""
    for w in range(words):
        around = graph[v * words + w] & frames[at + w]
        while around != 0:
            low = around & -around
            around ^= low
            u = w * width + count(low - 1)
            if nearly_within(graph, frames, words, at, v, u):
                return u
    return -1


def nearly_within(graph: Words, frames: Words, words: int, at: int, v: int, u: int) -> bool:
    """Whether all of v's neighbours but one at most are u's."""
    number = 0
    for w in range(words):
        number += count(graph[v * words + w] & frames[at + w] & ~graph[u * words + w])
    return number <= 1


def cliques(graph: Words, scratch: Words, words: int, width: int) -> int:
    """A lower bound for the set `free`, which it empties: disjoint cliques, greedily; each needs
    all of its vertices but one.
    """
    need = 0
    for w in range(words):
        while scratch[w] != 0:
            low = scratch[w] & -scratch[w]
            scratch[w] ^= low
            need += clique_from(graph, scratch, words, width, w, w * width + count(low - 1))
    return need


def clique_from(graph: Words, scratch: Words, words: int, width: int, first: int, v: int) -> int:
    """How many vertices from word `first` on join v in a clique; takes them out of `free`."""
    near, joined = words, 0
    for w in range(first, words):
        scratch[near + w] = graph[v * words + w] & scratch[w]
    for w in range(first, words):
        while scratch[near + w] != 0:
            low = scratch[near + w] & -scratch[near + w]
            scratch[w] ^= low
            joined += 1
            u = w * width + count(low - 1)
            for x in range(w, words):
                scratch[near + x] &= graph[u * words + x]
    return joined


def find_part(graph: Words, frames: Words, scratch: Words, words: int, width: int, at: int) -> bool:
    """Put the first live vertex's component into `part`; whether there is more than that."""
    near, part, first = words, 2 * words, True
    for w in range(words):
        scratch[near + w] = frames[at + w] & -frames[at + w] if first else 0
        scratch[part + w] = 0
        first = first and frames[at + w] == 0
    going = True
    while going:
        going = False
        for w in range(words):
            while scratch[near + w] != 0:
                going = True
                low = scratch[near + w] & -scratch[near + w]
                scratch[part + w] |= low
                v = w * width + count(low - 1)
                for x in range(words):
                    scratch[near + x] |= graph[v * words + x] & frames[at + x]
                    scratch[near + x] &= ~scratch[part + x]
    more = False
    for w in range(words):
        more = more or scratch[part + w] != frames[at + w]
    return more


def degree(graph: Words, frames: Words, words: int, at: int, v: int) -> int:
    number = 0
    for w in range(words):
        number += count(graph[v * words + w] & frames[at + w])
    return number


def take(graph: Words, frames: Words, words: int, width: int, at: int, v: int) -> None:
    """Put v into the cover."""
    bit = 1 << v % width
    frames[at + v // width] &= ~bit
    frames[at + words + v // width] |= bit
    frames[at + SETS * words] -= 1
    for w in range(words):
        frames[at + 2 * words + w] |= graph[v * words + w]


def count(word: int) -> int:
    return word.bit_count()


def count64(word: int) -> int:
    """`count` for compilers, of 64 bits: they know this as one instruction."""
    word -= word >> 1 & 0x5555555555555555
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (word * 0x0101010101010101) >> 56
