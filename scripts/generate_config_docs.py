"""Writes docs/configuration.md from the configuration models, so that the page cannot disagree with the code.

Usage: python scripts/generate_config_docs.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from shared.config import FederationConfig, InstitutionConfig
from shared.frozen import Frozen

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
HEAD = """# Configuration

Two files: the coordinator's `federation.toml` and each institution's `institution.toml`. Unknown keys are errors, paths are
meant from the file's folder, and every default is the safe one. `fedstill init` writes a `federation.toml` for data of your
own, `fedstill check FILE` checks one. This page is generated from the code by `scripts/generate_config_docs.py`.
"""


def main() -> int:
    """Writes the page, or with ``--check`` says whether it is up to date."""
    page = HEAD + "".join(f"\n# {name}\n{_models(kind)}" for name, kind in KINDS.items())
    if "--check" in sys.argv:
        if PAGE.read_text() == page:
            return 0
        print(f"{PAGE.name} is not up to date: run python scripts/generate_config_docs.py", file=sys.stderr)
        return 1
    PAGE.write_text(page)
    return 0


KINDS: dict[str, type[Frozen]] = {"federation.toml": FederationConfig, "institution.toml": InstitutionConfig}


def _models(kind: type[Frozen]) -> str:
    schema = kind.model_json_schema()
    return _table("the file itself", schema) + "".join(_table(name, part) for name, part in schema.get("$defs", {}).items())


def _table(name: str, schema: dict[str, Any]) -> str:
    rows = [
        f"| `{key}` | {_type(value)} | {_default(value, key in schema.get('required', ()))} |"
        for key, value in schema.get("properties", {}).items()
    ]
    text = " ".join(schema.get("description", "").split()).replace("``", "`").replace(":class:", "")
    return f"\n## {name}\n\n{text}\n\n| key | value | default |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        return f"table, see {value['$ref'].split('/')[-1]}"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return "one of " + ", ".join(f"`{item}`" for item in value["enum"])
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(_type(item) for item in value[key] if item.get("type") != "null")
    if value.get("type") == "array" and isinstance(value.get("items"), dict):
        return f"list of {_type(value['items'])}"
    return f"{value.get('type', 'any')}{_bounds(value)}"


def _bounds(value: dict[str, Any]) -> str:
    names = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return "".join(f", {sign} {value[name]:g}" for name, sign in names.items() if name in value)


def _default(value: dict[str, Any], required: bool) -> str:
    if required:
        return "required"
    default = value.get("default")
    if isinstance(default, dict):
        return "the table's own defaults"
    return "none" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    raise SystemExit(main())
