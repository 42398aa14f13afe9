"""What is drawn: the nearest, the most connected first, at places of their own, with their relations."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from fedstill.report import neighbourhood
from fedstill.report.neighbourhood import COLOURS, draw_neighbourhood, short
from shared.errors import ConfigError, KnowledgeError
from shared.knowledge.triples import graph_of

NAMES = st.sampled_from([f"e{number}" for number in range(14)])
ROWS = st.lists(st.tuples(NAMES, st.sampled_from(["r", "s"]), NAMES, st.just(1.0)), max_size=40)
STAR = graph_of([("sun", "pulls", f"p{number}", 1.0) for number in range(9)] + [("p3", "pulls", "m", 1.0), ("p3", "near", "p4", 1.0)])


@given(ROWS, st.integers(1, 3), st.integers(1, 12))
def test_the_tree_has_the_nearest_first_and_no_two_share_a_place(rows: list[tuple[str, str, str, float]], hops: int, most: int) -> None:
    graph = graph_of([*rows, ("e0", "r", "e1", 1.0)])
    near = graph.neighbourhood("e0", hops)
    tree = neighbourhood._tree(graph, near, "e0", most)
    shown = [leaf.name for leaf in tree.all()]
    assert len(set(shown)) == len(shown) == min(most, len(near.entities) - 1) + 1
    rings = [set(graph.neighbourhood("e0", hop).entities) for hop in range(1, hops + 1)]
    for closer, further in pairwise(rings):
        assert closer <= set(shown) or not (further - closer) & set(shown)
    neighbourhood._place(tree)
    assert len({(leaf.x, leaf.y) for leaf in tree.all()}) == len(shown)
    columns: dict[float, list[float]] = {}
    for leaf in tree.all():
        columns.setdefault(leaf.x, []).append(leaf.y)
    assert all(later - earlier >= 1 for ys in columns.values() for earlier, later in pairwise(sorted(ys)))


def drawn(monkeypatch: pytest.MonkeyPatch, path: Path, **options: int) -> tuple[int, Figure]:
    kept = list[Figure]()
    monkeypatch.setattr(neighbourhood, "save_figure", lambda figure, _: kept.append(figure))
    return draw_neighbourhood(STAR, "sun", path, **options), kept[0]


def test_names_relations_and_what_is_left_out_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left_out, figure = drawn(monkeypatch, tmp_path / "p.png", hops=2, most=5)
    (axes,) = figure.axes
    texts = {text.get_text() for text in axes.texts}
    assert left_out == 5
    assert "5 more left out" in axes.get_title(loc="left")
    # p3 and p4 have the most triples; the others come by name.
    assert {"sun", "p3", "p4", "p0", "p1", "p2", "pulls"} <= texts
    assert not texts & {"p5", "m"}
    legend = axes.get_legend()
    assert legend is not None
    assert [entry.get_text() for entry in legend.get_texts()] == ["near", "pulls"]
    assert [line.get_color() for line in legend.get_lines()] == list(COLOURS[:2])


def test_nothing_is_left_out_where_all_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left_out, figure = drawn(monkeypatch, tmp_path / "p.png", most=9)
    assert left_out == 0
    assert "left out" not in figure.axes[0].get_title(loc="left")
    arrows = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None) is not None]
    assert len(arrows) == 9


@settings(max_examples=4)
@given(ROWS)
def test_any_neighbourhood_can_be_drawn(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str, float]]) -> None:
    path = tmp_path_factory.mktemp("p") / "new" / "p.png"
    draw_neighbourhood(graph_of([*rows, ("e0", "r", "e0", 1.0)]), "e0", path, hops=2)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_names_that_look_like_formulas_are_drawn_as_they_are(tmp_path: Path) -> None:
    graph = graph_of([("$\\frac$", "$r_$", "$\\nothing{$", 1.0)])
    assert draw_neighbourhood(graph, "$\\frac$", tmp_path / "p.svg") == 0
    assert b"<svg" in (tmp_path / "p.svg").read_bytes()


def test_what_cannot_be_drawn_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no kind of picture"):
        draw_neighbourhood(STAR, "sun", tmp_path / "p.xyz")
    with pytest.raises(KnowledgeError, match="no entity 'moon'"):
        draw_neighbourhood(STAR, "moon", tmp_path / "p.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "shown"), [("http://x/a#b", "b"), ("https://x/y/", "y"), ("a/b", "a/b"), ("urn:x/z", "z"), ("http://x", "x"), ("flu", "flu")]
)
def test_an_iri_is_shown_by_its_last_part(name: str, shown: str) -> None:
    assert short(name) == shown
