"""Asks a Prometheus whether it sees the whole demonstration: ``python observed.py URL DASHBOARD.json``; the standard library is enough.

Every service answers, no rule fails, and every query of the dashboard is one that Prometheus can answer. Queries of what this
federation does not have (:data:`MAY_BE_EMPTY`) may find nothing.
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

SERVICES = 6
PATIENCE_S = 90
MAY_BE_EMPTY = ("fedstill_epsilon", "fedstill_refusals_total", "fedstill_absences_total", 'status="void"')
"""Without differential privacy there is no epsilon, and without refusals, absences and void rounds no count of them."""


def main(url: str, dashboard: Path) -> int:
    """0 if everything is seen; says what is not."""
    wrong = _until_seen(url)
    for query in queries(json.loads(dashboard.read_text())):
        found = ask(url, "query", query=query.replace("$run", ".*"))
        if not found["result"] and not any(words in query for words in MAY_BE_EMPTY):
            wrong.append(f"nothing for {query}")
    groups = ask(url, "rules")["groups"]
    wrong += [f"rule {rule['name']}: {rule['lastError']}" for group in groups for rule in group["rules"] if rule.get("lastError")]
    sys.stdout.write(("\n".join(wrong) or f"{SERVICES} services are scraped, and every query of the dashboard is answered") + "\n")
    return 1 if wrong else 0


def queries(dashboard: dict[str, Any]) -> list[str]:
    """All queries of a dashboard, as they are written there."""
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]


def legends(dashboard: dict[str, Any]) -> list[tuple[str, frozenset[str]]]:
    """Each query with the labels that its legend names."""
    found = [(target["expr"], target["legendFormat"]) for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return [(query, frozenset(re.findall(r"{{(\w+)}}", legend))) for query, legend in found]


def ask(url: str, path: str, **words: str) -> Any:
    """What Prometheus answers; raises ``urllib.error.HTTPError`` where it cannot read the query."""
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(words)}", timeout=30) as answer:
        return json.load(answer)["data"]


def _until_seen(url: str) -> list[str]:
    # Rates need several scrapes.
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        targets = ask(url, "targets")["activeTargets"]
        down = [f"{one['labels']['instance']} is {one['health']}: {one['lastError']}" for one in targets if one["health"] != "up"]
        if not down and len(targets) == SERVICES and ask(url, "query", query='rate(fedstill_bytes_total{job="coordinator"}[5m])')["result"]:
            return []
        time.sleep(5)
    return down or [f"{len(targets)} services are scraped, not {SERVICES}, or there is no rate yet"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
