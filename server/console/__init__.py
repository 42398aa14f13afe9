"""The operator's console: a web page over the coordinator's store and folder, which changes nothing of either.

It is a process of its own on loopback (``python -m server.console``). Who comes from outside comes through the door and the gateway
(``server/gateway.py``), which hands on ``/console`` and below. Without a session every path is the same 403, but for the page on which
one signs in. ``access.py`` is who may see it; ``federation.py``, ``runs.py``, ``one_run.py`` and ``audit.py`` gather what is shown as
frozen values, which a page shows and which are its JSON; ``app.py`` is the wire.
"""
