"""Triples from N-Triples and Turtle files, by rdflib. RDF/XML is not read: its entities can be made to grow without bound."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.errors import KnowledgeError
from shared.knowledge.reading import Reading, Tally, bounded_text, lines_of
from shared.knowledge.triples import graph_of

MAX_TURTLE = 64 << 20
"""Bytes of a Turtle file. Turtle is parsed whole, into objects of about 1 KB a triple; N-Triples, line by line, have no such bound."""


def read_rdf(path: Path) -> Reading:
    """The triples of a ``.nt`` or ``.ttl`` file (packed with gzip or not). A resource is named by its IRI, a literal by its text.

    N-Triples are read line by line and a bad line is counted and shown. A Turtle file is one text: an error in it is one sentence
    with its line, and nothing is read.

    Raises :class:`KnowledgeError` for another suffix (RDF/XML among them), what is no text, too large, or no Turtle;
    :class:`MissingFileError`.
    """
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix == ".nt":
        return _read_ntriples(path)
    if suffix == ".ttl":
        return _read_turtle(path)
    raise KnowledgeError(f"{path} is neither .nt nor .ttl; convert it to N-Triples (RDF/XML is not read: its entities can explode)")


def _read_ntriples(path: Path) -> Reading:
    from rdflib.exceptions import ParserError
    from rdflib.plugins.parsers.ntriples import W3CNTriplesParser

    statements = _Statements(Tally(path))
    sink: Any = statements  # rdflib asks for one of its own two classes, and calls this method alone
    # One parser for the file: blank nodes of one name are one node in all lines.
    parser: Any = W3CNTriplesParser(sink)
    for line, text in lines_of(bounded_text(path, what="triples")):
        statements.line = line
        try:
            with _quiet():
                parser.parsestring(text + "\n")
        except (ParserError, ValueError):
            statements.tally.bad(line, "it is no N-Triples statement")
    return statements.tally.reading(graph_of(statements.tally.good))


def _read_turtle(path: Path) -> Reading:
    from rdflib import Graph
    from rdflib.plugins.parsers.notation3 import BadSyntax

    text = bounded_text(path, what="triples", limit=MAX_TURTLE)
    store, statements = Graph(), _Statements(Tally(path))
    try:
        with _quiet():
            store.parse(data=text, format="turtle")
    except BadSyntax as error:
        raise KnowledgeError(f"{path}, line {error.lines + 1} is no Turtle; correct it or convert the file to N-Triples") from None
    except (ValueError, RecursionError):
        raise KnowledgeError(f"{path} cannot be read as Turtle; convert it to N-Triples") from None
    for number, (subject, predicate, found) in enumerate(store, start=1):
        statements.line = number
        statements.triple(subject, predicate, found)
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
