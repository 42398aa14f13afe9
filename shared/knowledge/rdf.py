"""Triples from N-Triples and Turtle files, by rdflib. RDF/XML is not read: its entities can be made to grow without bound."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import KnowledgeError
from shared.knowledge.packing import plain_suffix
from shared.knowledge.reading import SHOWN, Reading, Tally, bounded_text, lines_of
from shared.knowledge.triples import graph_of

MAX_TURTLE = 64 << 20
"""Bytes of a Turtle file. Turtle is one text that must be right as a whole; N-Triples, line by line, have no such bound."""
SUFFIXES = (".nt", ".ttl")
_BASE = "relative:/"
"""What the relative IRIs of a Turtle file without ``@base`` are relative to: not the path of this machine, as rdflib would have it."""


_STUMBLES = (ValueError, RecursionError, LookupError, AssertionError, AttributeError, TypeError)
"""What rdflib raises over Turtle that is broken in ways it does not foresee."""


def read_rdf(path: Path, *, shown: int = SHOWN) -> Reading:
    """The triples of a ``.nt`` or ``.ttl`` file (packed with gzip or not). A resource is named by its IRI, a literal by its text.

    N-Triples are read line by line and a bad line is counted and shown. A Turtle file is one text: an error in it is one sentence
    with its line, and nothing is read.

    Raises :class:`KnowledgeError` for another suffix (RDF/XML among them), what is no text, too large, or no Turtle;
    :class:`MissingFileError`.
    """
    suffix = plain_suffix(path)
    if suffix == ".nt":
        return _read_ntriples(Tally(path, shown))
    if suffix == ".ttl":
        return _read_turtle(Tally(path, shown))
    raise KnowledgeError(f"{path} is neither .nt nor .ttl; convert it to N-Triples (RDF/XML is not read: its entities can explode)")


def _read_ntriples(tally: Tally) -> Reading:
    from rdflib.exceptions import ParserError
    from rdflib.plugins.parsers.ntriples import W3CNTriplesParser

    statements = _Statements(tally)
    sink: Any = statements  # rdflib asks for one of its own two classes, and calls this method alone
    # One parser for the file: blank nodes of one name are one node in all lines.
    parser: Any = W3CNTriplesParser(sink)
    for line, text in lines_of(bounded_text(tally.path, what="triples")):
        statements.line = line
        try:
            with _quiet():
                parser.parsestring(text + "\n")
        except (ParserError, ValueError):
            statements.tally.bad(line, "it is no N-Triples statement")
    return statements.tally.reading(graph_of(statements.tally.good))


def _read_turtle(tally: Tally) -> Reading:
    from rdflib import Graph
    from rdflib.plugins.parsers.notation3 import BadSyntax, RDFSink, SinkParser

    path, statements = tally.path, _Statements(tally)
    text = bounded_text(path, what="triples", limit=MAX_TURTLE)

    class Sink(RDFSink):
        """Hands on each statement with the line that the parser has come to, in place of storing it: repeated ones are seen, too."""

        def makeStatement(self, quadruple: Any, why: Any = None) -> None:  # noqa: N802  # rdflib's name
            scope, predicate, subject, found = quadruple
            statements.line = parser.lines + 1
            statements.triple(*(self.normalise(scope, part) for part in (subject, predicate, found)))

    parser: Any = SinkParser(Sink(Graph()), baseURI=_BASE, turtle=True)
    try:
        with _quiet():
            parser.loadBuf(text)
    except BadSyntax as error:
        raise KnowledgeError(f"{path}, line {error.lines + 1} is no Turtle; correct it or convert the file to N-Triples") from None
    except _STUMBLES:
        raise KnowledgeError(f"{path}, line {parser.lines + 1} cannot be read as Turtle; convert the file to N-Triples") from None
    return statements.tally.reading(graph_of(statements.tally.good))


class _Statements:
    """Takes statements as rdflib finds them. A blank node has no name that a record could link to: such a statement counts as bad."""

    def __init__(self, tally: Tally) -> None:
        self.tally, self.line = tally, 0

    def triple(self, subject: object, predicate: object, found: object) -> None:
        """One statement."""
        from rdflib import BNode

        if isinstance(subject, BNode) or isinstance(found, BNode):
            self.tally.bad(self.line, "it names no resource (a blank node)")
        else:
            self.tally.add(self.line, str(subject), str(predicate), str(found))


@contextmanager
def _quiet() -> Iterator[None]:
    # rdflib logs a traceback for each odd IRI or literal; the reading reports them by line instead.
    logger = logging.getLogger("rdflib.term")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
