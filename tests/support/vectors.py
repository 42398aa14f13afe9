"""Computes the published test vectors of secure aggregation. ``python -m tests.support.vectors`` writes them anew.

Another implementation can be checked against the files: all keys and random bytes are in them. Bytes are hexadecimal.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from shared.secagg.encoding import DTYPES, quantise
from shared.secagg.graph import Graph
from shared.secagg.keys import Ratchet, first_pair_keys, pair_seed, public_key, seal_key
from shared.secagg.masks import Mask, apply
from shared.secagg.messages import EpochKey, Layout
from shared.secagg.rotation import rotate
from shared.secagg.seals import commit_pair, commit_self
from shared.secagg.shamir import deal
from shared.secagg.signing import keys_digest, pack, plan_digest, round_context
from tests.support.secagg import NAMES, Federation, Stream, vector_of

FOLDER = Path(__file__).parents[1] / "shared" / "secagg" / "vectors"


def masks() -> dict[str, Any]:
    """Words that a mask adds to zeros: two counters, then nine update words."""
    seed = Stream("mask")(32)
    cases = {}
    for width, dtype in DTYPES.items():
        update, counters = np.zeros(9, dtype), np.zeros(2, np.uint64)
        apply(update, counters, [Mask(seed, True)])
        cases[str(width)] = {"counters": counters.tolist(), "update": update.tolist()}
    return {"seed": seed.hex(), "by_width": cases}


def keys() -> dict[str, Any]:
    """From two X25519 keys to the seeds and seal keys of round 3."""
    private = {name: Stream(name)(32) for name in ("ash", "birch")}
    ash, birch = (EpochKey(name, "trial", 7, bytes(range(32)), public_key(key), b"") for name, key in private.items())
    first, context = first_pair_keys(private["ash"], ash, [birch])["birch"], bytes(range(32, 64))
    third = Ratchet(0, {"birch": first}).at(3).keys["birch"]
    return {
        "run": "trial",
        "epoch": 7,
        "roster_digest": ash.roster_digest.hex(),
        "context": context.hex(),
        "private": {name: key.hex() for name, key in private.items()},
        "public": {key.institution: key.public_key.hex() for key in (ash, birch)},
        "pair_key_0": first.hex(),
        "pair_key_3": third.hex(),
        "mask_seed_3": pair_seed(third, context, "ash", "birch").hex(),
        "seal_key_3_ash_to_birch": seal_key(third, context, "ash", "birch").hex(),
        "commit_pair": commit_pair(context, "birch", "ash", bytes(32)).hex(),
        "commit_self": commit_self(context, "ash", bytes(32)).hex(),
        "packed": pack("label", "text", b"\0\1", 258, 1.5).hex(),
    }


def shares() -> dict[str, Any]:
    """A secret, the coefficients above it, and the shares of five holders with a threshold of three."""
    secret, coefficients = Stream("secret")(32), Stream("coefficients")(64)
    dealt = deal(np.frombuffer(secret, np.uint8).reshape(1, 32), 3, 5, lambda size: coefficients[:size])
    return {"secret": secret.hex(), "coefficients": coefficients.hex(), "threshold": 3, "shares": [row.tobytes().hex() for row in dealt]}


def encoding() -> dict[str, Any]:
    """An update, clipped, weighed and rounded with numpy's PCG64."""
    update = np.array([0.5, -0.25, 3.0, 0.0, -4.0, 1e-3], np.float32)
    plan = Federation().plan(layout=Layout(6, 0), clip_norm=2.0)
    words = quantise(update, 40, plan, np.random.Generator(np.random.PCG64(11)))
    return {
        "update": update.tolist(),
        "clip_norm": 2.0,
        "weight": 40,
        "weight_cap": 100,
        "members": 5,
        "pcg64": 11,
        "words": words.tolist(),
    }


def rotation() -> dict[str, Any]:
    """Eleven coordinates: blocks of eight, and a tail before and after them; in float64."""
    seed, values = Stream("rotation")(32), np.arange(1.0, 12.0)
    turned = values.copy()
    rotate(turned, seed)
    return {"seed": seed.hex(), "values": values.tolist(), "rotated": turned.tolist()}


def graph() -> dict[str, Any]:
    """Nine members of an epoch on a circle of degree four."""
    names = tuple(f"i{index}" for index in range(9))
    keys = [EpochKey(name, "trial", 7, bytes(range(32)), Stream(name)(32), b"") for name in names]
    drawn = Graph(keys, 4)
    return {
        "run": "trial",
        "epoch": 7,
        "roster_digest": bytes(range(32)).hex(),
        "degree": 4,
        "public": {key.institution: key.public_key.hex() for key in keys},
        "keys_digest": keys_digest(keys).hex(),
        "neighbourhoods": {name: drawn.neighbourhood(name) for name in names},
    }


def whole_round() -> dict[str, Any]:
    """A round of five institutions in which elm is lost, with the randomness of ``tests.support.secagg.Stream``."""
    federation = Federation()
    plan = federation.plan(1)
    answers = {name: federation.mask(plan, name) for name in NAMES[:4]}
    made = federation.coordinator(plan)
    for answer in answers.values():
        made.add(answer)
    made.close()
    federation.agree(made)
    federation.unmask(made)
    aggregate = made.finish()
    return {
        "plan": {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(plan).items()},
        "plan_digest": plan_digest(plan).hex(),
        "context": round_context(plan).hex(),
        "members": {name: key.hex() for name, key in federation.roster.members.items()},
        "coordinator": federation.roster.coordinator.hex(),
        "plain": {name: vector_of(plan, name).update.tolist() for name in answers},
        "masked": {
            name: {
                "update": answer.update.tolist(),
                "counters": answer.counters.tolist(),
                "agreement": answer.agreement.hex(),
                "signature": answer.signature.hex(),
            }
            for name, answer in answers.items()
        },
        "update": aggregate.update.tolist(),
        "counters": aggregate.counters.tolist(),
        "weight": aggregate.weight,
    }


ALL = {"rotation": rotation, "graph": graph, "masks": masks, "keys": keys, "shares": shares, "encoding": encoding, "round": whole_round}


def text(name: str) -> str:
    """The content of one file."""
    return json.dumps(ALL[name](), indent=1) + "\n"


if __name__ == "__main__":
    for made in ALL:
        (FOLDER / f"{made}.json").write_text(text(made))
