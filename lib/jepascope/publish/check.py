"""The gate: every rule, over every file. A check that can't be made is an alarm, never a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from jepascope.publish import cells, files, identifiers, outputs, stamped
from jepascope.publish.alarms import Alarm
from jepascope.publish.tree import Tree

Rule = Callable[[Tree], Iterator[Alarm]]
# In the order of the rules in the design: stamp, content, outputs, identifiers, cells, rows, files.
RULES: tuple[Rule, ...] = (
    stamped.tier,
    stamped.banner,
    identifiers.tracebacks,
    outputs.drawings,
    identifiers.in_range,
    identifiers.named_columns,
    identifiers.shifted_dates,
    identifiers.real_ids,
    identifiers.paths,
    identifiers.user_names,
    cells.small_cells,
    cells.small_words,
    cells.differences,
    cells.sidecars,
    outputs.row_level,
    files.kinds,
    files.sizes,
    files.pictures,
    files.arrays,
)


def check(tree: Tree, rules: Sequence[Rule] = RULES) -> list[Alarm]:
    """List every reason to refuse the tree, each once, by file and place."""
    return sorted({found for rule in rules for found in rule(tree)})
