from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from shared.errors import KnowledgeError
from shared.knowledge import bif
from shared.knowledge.bif import Network, Node, read_network

SPRINKLER = """
// a remark
network lawn { property "made by hand" ; }
variable wet { type discrete [ 2 ] { yes, no }; }
variable rain { type discrete [ 2 ] { yes, no }; property position = (1, 2) ; }
variable hose { type discrete [ 3 ] { off, low, "high" }; }
probability ( rain ) { table 0.2, 0.8; }
probability ( hose | rain ) { (yes) 0.9, 0.05, 0.05; (no) 0.5, 0.25, 0.25; }
probability ( wet | rain, hose ) {
  default 0.9, 0.1;
  (no, off) 0.0, 1.0; /* dry
  */ (no, low) 0.6, 0.4;
}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "net.bif"
    path.write_text(text)
    return path


def test_a_joint_is_the_sum_over_all_worlds(tmp_path: Path) -> None:
    network = read_network(write(tmp_path, SPRINKLER))
    rain, hose, wet = (network.nodes[name].table for name in ("rain", "hose", "wet"))
    expected = np.zeros((2, 2))
    for r, h, w in itertools.product(range(2), range(3), range(2)):
        expected[w, r] += rain[r] * hose[r, h] * wet[r, h, w]
    np.testing.assert_allclose(network.joint("wet", "rain"), expected)
    np.testing.assert_allclose(network.joint("wet"), expected.sum(axis=1))
    assert wet[1, 0].tolist() == [0.0, 1.0]
    assert wet[0, 2].tolist() == [0.9, 0.1]


def test_parents_come_first_and_ancestors_are_all_above(tmp_path: Path) -> None:
    network = read_network(write(tmp_path, SPRINKLER))
    assert list(network.nodes) == ["rain", "hose", "wet"]
    assert network.ancestors("hose") == ("rain", "hose")
    with pytest.raises(KnowledgeError, match="no variable 'snow'"):
        network.joint("snow")


def test_a_packed_file_reads_the_same(tmp_path: Path) -> None:
    packed = tmp_path / "net.bif.gz"
    packed.write_bytes(gzip.compress(SPRINKLER.encode()))
    one, other = read_network(packed), read_network(write(tmp_path, SPRINKLER))
    for name in one.nodes:
        np.testing.assert_array_equal(one.nodes[name].table, other.nodes[name].table)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("0.2, 0.8", "0.2, 0.9", "'rain' are not complete or do not add up"),
        ("0.2, 0.8", "0.2, 1.8", "line 7 has the probability 1.8"),
        ("0.2, 0.8", "0.2, nan", "line 7 has the probability nan"),
        ("0.2, 0.8", "0.2, many", "'many' where a probability"),
        ("0.2, 0.8", "0.2", "has 1 numbers, not 2"),
        ("(no) 0.5, 0.25, 0.25;", "", "'hose' are not complete"),
        ("(yes) 0.9", "(maybe) 0.9", "names a state"),
        ("(yes) 0.9", "(yes, no) 0.9", "does not fit"),
        ("( rain )", "( rain | wet )", "form a cycle"),
        ("hose | rain", "hose | snow", "not declared"),
        ("variable hose", "varable hose", "line 6 has 'varable'"),
        ("{ yes, no }; }\nvariable rain", "{ }; }\nvariable rain", "'wet' without states"),
        ("type discrete [ 2 ] { yes, no }; property", "type continuous; property", "'continuous' where 'discrete'"),
        ("variable rain", "variable wet", "line 5 declares 'wet' a second time"),
        (
            "( hose | rain ) { (yes) 0.9, 0.05, 0.05; (no) 0.5, 0.25, 0.25; }",
            "( rain ) { table 0.5, 0.5; }",
            "'rain' probabilities a second",
        ),
        ("probability ( rain ) { table 0.2, 0.8; }", "", "'rain' but gives it no probabilities"),
    ],
)
def test_what_is_no_network_is_refused_with_its_place(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    assert old in SPRINKLER
    with pytest.raises(KnowledgeError, match=sentence):
        read_network(write(tmp_path, SPRINKLER.replace(old, new, 1)))


@pytest.mark.parametrize("cut", [40, 200, 400])
def test_a_file_that_ends_too_soon_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(KnowledgeError, match=r"ends in the middle|no probabilities"):
        read_network(write(tmp_path, SPRINKLER[:cut]))


def test_a_table_too_large_is_refused_before_it_is_made(tmp_path: Path) -> None:
    states = ", ".join(f"s{number}" for number in range(400))
    blocks = "".join(f"variable v{number} {{ type discrete [ 400 ] {{ {states} }}; }}\n" for number in range(4))
    uniform = ", ".join(["0.0025"] * 400)
    roots = "".join(f"probability ( v{number} ) {{ table {uniform}; }}\n" for number in range(3))
    with pytest.raises(KnowledgeError, match="25600000000 cells"):
        read_network(write(tmp_path, f"network n {{ }}\n{blocks}{roots}probability ( v3 | v0, v1, v2 ) {{ default {uniform}; }}"))


def entangled(roots: int) -> Network:
    """Binary roots with a child of every two of them, and one child of all these: nothing can be summed out alone."""
    half, pairs = np.array([0.5, 0.5]), list(itertools.combinations(range(roots), 2))
    nodes = {f"r{number}": Node(f"r{number}", ("a", "b"), (), half) for number in range(roots)}
    for one, other in pairs:
        nodes[f"c{one}-{other}"] = Node(f"c{one}-{other}", ("a", "b"), (f"r{one}", f"r{other}"), np.full((2, 2, 2), 0.5))
    children = tuple(f"c{one}-{other}" for one, other in pairs)
    return Network({**nodes, "last": Node("last", ("a", "b"), children, np.full((2,) * (len(pairs) + 1), 0.5))})


def test_marginals_that_take_too_long_are_refused_before_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    network = entangled(5)
    np.testing.assert_allclose(network.joint("r0", "last"), 0.25)
    monkeypatch.setattr(bif, "MAX_WORK", 100)
    np.testing.assert_allclose(network.joint("r0", "c0-1"), 0.25)
    with pytest.raises(KnowledgeError, match="too much depends on too much"):
        network.joint("r0", "last")
