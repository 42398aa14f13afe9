"""A model in a message: what its signed manifest says of it, and what it has been given since it serves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from client.edge.drift import InputSeen
from client.edge.model import ServedModel
from shared.rpc import edge_pb2 as pb


def describe(model: ServedModel, refused: str) -> pb.ModelInfoReply:
    """The reply to ``ModelInfo``. ``refused``: why the installed version is not this one; empty if it is."""
    artifact, manifest = model.artifact, model.artifact.manifest
    task, came = manifest["task"], manifest["provenance"]
    return pb.ModelInfoReply(
        version=artifact.version,
        digest=artifact.digest,
        signer=artifact.signer.hex(),
        serving_since=model.since,
        family=task["family"],
        labels=task["labels"],
        heads=[pb.Head(name=head["name"], labels=head["labels"]) for head in task.get("heads", ())],
        inputs=_inputs(manifest),
        device=manifest["device"],
        grid=manifest["grid"],
        gate=_gate(manifest["gate"]),
        federation=came["federation"],
        run=came["run"],
        provenance_digest=provenance_digest(came),
        inputs_seen=[_seen(one) for one in model.drift.seen()],
        refused=refused,
    )


def provenance_digest(provenance: Mapping[str, Any]) -> str:
    """SHA-256 in hex of the manifest's provenance as canonical JSON: sorted keys, no spaces."""
    return hashlib.sha256(json.dumps(provenance, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def _inputs(manifest: Mapping[str, Any]) -> pb.InputSchema:
    schema = manifest["inputs"]
    columns = [
        pb.Column(name=column["name"], kind=column["kind"], categories=column.get("categories", ()))
        for column in manifest["task"].get("columns", ())
    ]
    return pb.InputSchema(dtype=schema["dtype"], shape=schema["shape"], preprocessing=schema["preprocessing"], columns=columns)


def _gate(gate: Mapping[str, Any]) -> pb.GateFigures:
    won = next(entry for entry in gate["candidates"] if entry["name"] == gate["winner"])
    records = gate["records"]
    return pb.GateFigures(
        records=records, accuracy=won["right"] / records, float_accuracy=gate["float_right"] / records, agreement=won["agree"] / records
    )


def _seen(one: InputSeen) -> pb.InputSeen:
    return pb.InputSeen(
        name=one.name,
        count=one.count,
        missing_share=one.missing_share,
        mean=one.mean,
        deviation=one.deviation,
        mean_difference=one.mean_difference,
        category_shares=one.category_shares,
    )
