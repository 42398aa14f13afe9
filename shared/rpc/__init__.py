"""The wire: messages generated from ``proto/`` by ``scripts/generate_rpc.py``, and the codec to the typed ones."""
