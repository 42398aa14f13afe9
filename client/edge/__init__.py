"""The edge's service: a signed artifact behind gRPC, with what numpy, onnxruntime, cryptography and grpcio give. No torch, no pydantic.

``installed`` keeps the versions of an artifact on disk; ``model`` is one that serves; ``batching`` gathers rows and bounds the queue;
``records`` reads requests, ``service`` answers them; ``drift`` and ``metrics`` tell what was seen; ``server`` puts it together and
``command`` is its command line where typer is not installed. Nothing is imported here.
"""
