"""A picture of what surrounds one entity of a graph: the entity in the middle, its neighbours on both sides, theirs further out.

Names stand upright, one a line, so that none covers another however many there are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from shared.knowledge.triples import Graph

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#7f7f7f")
"""One a relation, by the relations' names; used again from the first where there are more."""
LINE = 30
"""Characters of a line of a name."""


@dataclass
class Leaf:
    """An entity of the picture: its place ``(x, y)`` and what hangs on it."""

    name: str
    children: list[Leaf] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0

    def all(self) -> Iterator[Leaf]:
        """This one and everything on it."""
        yield self
        for child in self.children:
            yield from child.all()

    def height(self) -> int:
        """How many lines it needs: one, or one for its own name above those of what hangs on it."""
        return 1 + sum(child.height() for child in self.children)


def draw_neighbourhood(graph: Graph, entity: str, path: Path, *, hops: int = 1, most: int = 24) -> int:
    """Draws ``entity`` and at most ``most`` entities within ``hops`` of it into ``path``, and gives back how many are left out.

    The nearest come first, and of these the most connected in the whole graph. Arrows lead from head to tail; colours and the words on
    them are relations. The format is what the suffix says, as matplotlib knows it. Raises :class:`KnowledgeError` for an entity that is
    not there; :class:`ConfigError` for a format that is not known.
    """
    near = graph.neighbourhood(entity, hops)
    tree = _tree(graph, near, entity, most)
    shown = {leaf.name: leaf for leaf in tree.all()}
    left_out = max(0, len(near.entities) - len(shown))
    sides = _place(tree)
    deepest = max(abs(leaf.x) for leaf in shown.values())
    figure = Figure(figsize=(4.0 + 3.4 * max(1.0, deepest), 1.6 + 0.34 * max(3, *sides)), dpi=120, layout="constrained")
    axes = figure.subplots()
    relations = _arrows(near, shown, axes)
    for leaf in shown.values():
        _name(leaf, leaf is tree, axes)
    _dress(axes, entity, left_out, relations, deepest)
    save_figure(figure, path)
    return left_out


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure whole or not at all, in the format that the suffix says."""
    from io import BytesIO

    from shared.errors import ConfigError
    from shared.files import write_atomic

    kind = path.suffix.lower().lstrip(".") or "png"
    if kind not in figure.canvas.get_supported_filetypes():
        raise ConfigError(f"{path} names no kind of picture that can be drawn; name it .png, .svg or .pdf")
    content = BytesIO()
    figure.savefig(content, format=kind)
    write_atomic(path, content.getvalue())


def _tree(graph: Graph, near: Graph, entity: str, most: int) -> Leaf:
    """Breadth first: each entity hangs on the one through which it was reached first."""
    beside: dict[str, set[str]] = {name: set() for name in near.entities}
    for head, _, tail, _ in near.rows():
        beside[head].add(tail)
        beside[tail].add(head)
    degrees = graph.degrees()
    root = Leaf(entity)
    ring, seen = [root], {entity}
    while ring and len(seen) <= most:
        reached = {name: leaf for leaf in reversed(ring) for name in beside.get(leaf.name, ()) if name not in seen}
        chosen = sorted(reached, key=lambda name: (-degrees[graph.ids[name]], name))[: most + 1 - len(seen)]
        ring = []
        for name in chosen:
            ring.append(Leaf(name))
            reached[name].children.append(ring[-1])
        seen.update(chosen)
    return root


def _place(root: Leaf) -> tuple[int, int]:
    """Deals the root's children to two sides of about equal height, and gives back both heights."""
    sides, heights = (list[Leaf](), list[Leaf]()), [0, 0]
    for child in sorted(root.children, key=lambda leaf: (-leaf.height(), leaf.name)):
        lower = int(heights[1] < heights[0])
        sides[lower].append(child)
        heights[lower] += child.height()
    for sign, side in zip((1.0, -1.0), sides, strict=True):
        line = -0.5 * sum(child.height() for child in side) + 0.5
        for child in sorted(side, key=lambda leaf: leaf.name):
            _stack(child, sign, line)
            line += child.height()
    return heights[0], heights[1]


def _stack(leaf: Leaf, x: float, line: float) -> None:
    leaf.x, leaf.y = x, line + 0.5 * leaf.height() if leaf.children else line
    line += 1
    for child in leaf.children:
        _stack(child, x + np.sign(x), line)
        line += child.height()


def _arrows(near: Graph, shown: dict[str, Leaf], axes: Axes) -> dict[str, str]:
    """Draws an arrow for each pair of entities, with the names of all relations that lead from one to the other; relation → colour."""
    between: dict[tuple[str, str], list[str]] = {}
    for head, relation, tail, _ in near.rows():
        if head in shown and tail in shown and head != tail:
            between.setdefault((head, tail), []).append(relation)
    used = sorted({relation for relations in between.values() for relation in relations})
    colours = {relation: COLOURS[place % len(COLOURS)] for place, relation in enumerate(used)}
    for (head, tail), relations in between.items():
        one, other = shown[head], shown[tail]
        # Two arrows between the same two bend apart, and so does one between entities of one column.
        bend = 0.18 if (tail, head) in between else 0.35 if one.x == other.x else 0.0
        style = {"arrowstyle": "-|>", "color": colours[relations[0]], "linewidth": 1.0, "shrinkA": 7, "shrinkB": 7}
        axes.annotate("", (other.x, other.y), (one.x, one.y), arrowprops=style | {"connectionstyle": f"arc3,rad={bend}"})
        if one.x != other.x:
            _relation(one, other, bend, ", ".join(short(relation) for relation in relations), colours[relations[0]], axes)
    return colours


def _relation(one: Leaf, other: Leaf, bend: float, text: str, colour: str, axes: Axes) -> None:
    # Nearer to the outer end, where arrows lie apart.
    part = 0.62 if abs(other.x) > abs(one.x) else 0.38
    x, y = one.x + part * (other.x - one.x), one.y + part * (other.y - one.y)
    y += bend * abs(other.x - one.x) * np.sign(one.x - other.x)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    axes.text(
        x, y, textwrap.shorten(text, 28, placeholder="…"), fontsize=6.5, color=colour, ha="center", va="center", bbox=box, parse_math=False
    )


def _name(leaf: Leaf, central: bool, axes: Axes) -> None:
    lines = 1 if leaf.children and not central else 2
    text = "\n".join(textwrap.wrap(short(leaf.name), LINE, max_lines=lines, placeholder="…")) or leaf.name
    axes.plot([leaf.x], [leaf.y], "o", color="black" if central else "#555555", markersize=8 if central else 4)
    if central or leaf.children:
        box = {"facecolor": "white", "edgecolor": "#999999" if central else "none", "boxstyle": "round,pad=0.3", "alpha": 0.9}
        weight = "bold" if central else "normal"
        axes.annotate(
            text,
            (leaf.x, leaf.y),
            (0, 9),
            textcoords="offset points",
            fontsize=8,
            ha="center",
            va="bottom",
            bbox=box,
            weight=weight,
            parse_math=False,
        )
        return
    side = 1 if leaf.x > 0 else -1
    axes.annotate(
        text,
        (leaf.x, leaf.y),
        (6 * side, 0),
        textcoords="offset points",
        fontsize=8,
        ha="left" if side > 0 else "right",
        va="center",
        linespacing=0.9,
        parse_math=False,
    )


def _dress(axes: Axes, entity: str, left_out: int, colours: dict[str, str], deepest: float) -> None:
    missing = f" ({left_out:,} more left out)" if left_out else ""
    axes.set_title(f"around {textwrap.shorten(short(entity), 60, placeholder='…')}{missing}", loc="left", fontsize=11, parse_math=False)
    axes.set_axis_off()
    # Room for the names, which stand outside of the outermost points.
    axes.set_xlim(-deepest - 0.75, deepest + 0.75)
    axes.margins(y=0.08)
    axes.invert_yaxis()
    lines = [
        Line2D([], [], color=colour, label=textwrap.shorten(short(relation), 40, placeholder="…")) for relation, colour in colours.items()
    ]
    if lines:
        legend = axes.legend(
            handles=lines[: len(COLOURS)], fontsize=7, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 0.0)
        )
        for text in legend.get_texts():
            text.set_parse_math(False)


def short(name: str) -> str:
    """The last part of an IRI, and every other name as it is."""
    if not name.startswith(("http://", "https://", "urn:")):
        return name
    return name.rstrip("/#").replace("#", "/").rsplit("/", 1)[-1] or name
