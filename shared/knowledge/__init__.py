"""Knowledge: graphs of triples, the entities that a record names, and the loss terms by which a graph teaches a student."""
