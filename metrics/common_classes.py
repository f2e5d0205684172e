"""The finest classes that several label spaces can all distinguish. Needs no torch."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

Relation = tuple[
    Sequence[Sequence[int]], Sequence[int]
]  # the target classes of each source class, and which of these mean everything else


def common_classes(relations: Sequence[Relation], num_targets: int) -> tuple[list[list[int]], list[int], int]:
    """Return the finest classes that the target and all sources can distinguish: the connected components of the relations.

    With a source class that means everything else, the targets without a counterpart in its space are one more class.
    Targets that some source cannot express are void on either side, so that truth that cannot be predicted is not scored.

    Returns the common class of each class of each source, that of each target class, and their number C; C is void.

    Example:
        >>> common_classes([([(), (0, 1), (1,), (2,)], [0])], 4)
        ([[2, 0, 0, 1]], [0, 0, 1, 2], 3)
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    starts = num_targets + np.cumsum([0, *(len(stands_for) for stands_for, _ in relations)])
    edges = []
    for (stands_for, rest), start in zip(relations, starts.tolist(), strict=False):
        links = [(source, target) for source, each in enumerate(stands_for) for target in each]
        if rest:
            nameless = {*range(num_targets)} - {target for _, target in links}
            links += [(source, target) for source, each in enumerate(stands_for) if not each for target in nameless]
        edges += [(start + source, target) for source, target in links]
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(ends.shape[1]), ends), shape=(int(starts[-1]),) * 2)
    component = connected_components(graph, directed=False)[1].tolist()
    sides = [component[start:end] for start, end in pairwise(starts)]
    shared = [part for part in dict.fromkeys(component[:num_targets]) if all(part in side for side in sides)]
    index = {part: place for place, part in enumerate(shared)}
    sources, targets = (
        [[index.get(part, len(shared)) for part in side] for side in each]
        for each in (sides, [component[:num_targets]])
    )
    return sources, targets[0], len(shared)
