"""``card.md``: the artifact in plain words, every figure taken from the manifest."""

from __future__ import annotations

from shared.compress.archive import TOKENIZER
from shared.compress.devices import DEVICES
from shared.compress.manifest import Manifest
from shared.task import ImageTask, TextTask

_KINDS = {"tabular": "a row of a table", "image": "an image", "text": "a text"}


def render(manifest: Manifest, model_size: int) -> str:
    """The card's Markdown. Equal manifests give equal text."""
    sections = (_head(manifest), _input(manifest), _figures(manifest, model_size), _origin(manifest), _privacy(manifest), _limits(manifest))
    return "\n\n".join(section.rstrip() for section in sections) + "\n"


def _head(manifest: Manifest) -> str:
    labels = ", ".join(f"`{label}`" for label in manifest.task.labels)
    kind = _KINDS[manifest.task.family]
    what = "Predicts a label" if isinstance(manifest.task, ImageTask) else f"Predicts **{manifest.task.label}**"
    title = f"# {manifest.provenance.federation}: INT8 student\n\n{what} from {kind}"
    if not manifest.task.heads:
        return f"{title}: one of {labels}."
    heads = [f"- {_plain(head.name)}: {', '.join(f'`{label}`' for label in head.labels)}" for head in manifest.task.heads]
    return "\n".join([f"{title}, within one of its heads:", "", *heads, "", "Figures are within the head of each record."])


def _input(manifest: Manifest) -> str:
    if isinstance(manifest.task, ImageTask):
        side, channels = manifest.task.size, manifest.task.channels
        return f"## Input\n\nAn image of {side} × {side} pixels and {channels} channel(s), bytes 0 to 255. Scaling is inside the graph."
    if isinstance(manifest.task, TextTask):
        most, note = manifest.task.max_tokens, "Longer texts are cut off."
        return f"## Input\n\nA text, split by `{TOKENIZER}` of this artifact into at most {most} tokens. {note}"
    lines = ["| column | kind | categories |", "| --- | --- | --- |"]
    for column in manifest.task.columns:
        categories = ", ".join(column.categories[:12]) if column.kind == "categorical" else ""
        more = f", … ({len(column.categories)})" if column.kind == "categorical" and len(column.categories) > 12 else ""
        lines.append(f"| {_plain(column.name)} | {column.kind} | {_plain(categories + more)} |")
    note = "A category is given as its index, a missing value as NaN. Scaling and missing values are handled inside the graph."
    return "\n".join(["## Input", "", note, "", *lines])


def _figures(manifest: Manifest, model_size: int) -> str:
    gate = manifest.gate
    won = gate.won
    lines = [
        "## Measured",
        "",
        f"On {gate.records} held-out records{' of the institutions, counted there and added up masked' if gate.masked else ''}:",
        "",
        "| | accuracy | same answer as float | bytes | ms |",
        "| --- | --- | --- | --- | --- |",
        f"| float student | {gate.float_right / gate.records:.4f} | 1.0000 | {gate.float_size or ''} | {_ms(gate.float_seconds)} |",
    ]
    for entry in gate.candidates:
        mark = " (this file)" if entry.name == won.name else ""
        shares = f"{entry.right / gate.records:.4f} | {entry.agree / gate.records:.4f}"
        lines.append(f"| INT8 {entry.name}{mark} | {shares} | {entry.size} | {_ms(entry.seconds)} |")
    integer = ", ".join(f"{count} {name}" for name, count in manifest.operators.int8.items()) or "no operator"
    stored = f", and the weights of {manifest.operators.weights} operators that compute in float" if manifest.operators.weights else ""
    if gate.float_seconds is not None:
        lines += ["", f"Milliseconds are the cost model's of `{manifest.device}` for one record, not a measurement."]
    if won.ratios:
        speeds = ", ".join(f"{1 / ratio:.2f} on `{name}`" for name, ratio in won.ratios.items())
        lines += ["", f"Times as fast as the float student, by the models of the devices that it is for: {speeds}."]
        least = ", ".join(f"{entry.name} {1 / max(entry.ratios.values()):.2f}" for entry in gate.candidates if entry.ratios)
        lines += ["", f"The least of these for each file, which must not be below 1 by more than models can tell: {least}."]
    lines += ["", f"The file has {model_size} bytes. In INT8: {integer}{stored}. Allowed loss of accuracy: {gate.max_drop}."]
    return "\n".join(lines)


def _origin(manifest: Manifest) -> str:
    came = manifest.provenance
    sizes = f"{min(came.cohort_sizes)} to {max(came.cohort_sizes)}" if came.cohort_sizes else "not recorded"
    held = f"- institutions in a round: {sizes}; roster `{came.roster_digest}`" if came.roster_digest else "- made without a federation"
    lines = [
        "## Where it comes from",
        "",
        f"- federation `{came.federation}`, run `{came.run}`: {came.rounds} rounds, {came.void_rounds} void",
        held,
        f"- student: {came.student_parameters:,} parameters",
        *(f"- changed afterwards: {change}" for change in came.changes),
    ]
    if came.teacher_parameters is not None:
        lines.append(f"- teachers: {came.teacher_parameters:,} parameters each at most; they never left their institutions")
    if came.initial_digest is not None:
        lines.append(f"- started from public weights with the SHA-256 `{came.initial_digest}`: their licence and their limits apply too")
    if came.proxy_digest is not None:
        lines.append(f"- institutions exchanged answers, no weights, on proxy records with the SHA-256 `{came.proxy_digest}`")
    if came.graph_digest is not None:
        lines.append(f"- taught by the public knowledge graph with the SHA-256 `{came.graph_digest}` beside the records")
    if came.tables:
        kept = ", ".join(f"`{_plain(column)}` ({size:,})" for column, size in came.tables.items())
        lines.append(f"- keeps a part of that graph, bytes of 8-bit embeddings by column: {kept}; its licence applies to this file too")
    if came.train_records is not None:
        lines.append(f"- learnt from {came.train_records:,} records")
    return "\n".join(lines)


def _privacy(manifest: Manifest) -> str:
    epsilon = manifest.provenance.epsilon
    budget = (
        "No differential privacy was used: what the sums and this model themselves reveal about single records is not bounded."
        if epsilon is None
        else f"Differential privacy of one institution's whole contribution to the updates: ε = {epsilon:.4g} at "
        f"δ = {manifest.provenance.delta:g} was spent in all. Statistics, evaluation, calibration and gate are exact sums and not covered."
    )
    if manifest.provenance.roster_digest is None:
        return "## Privacy\n\nNo federation was held: whoever made it had the records. What it reveals about them is not bounded."
    seen = "The coordinator saw only sums over whole cohorts: of updates, of activation counts, of right answers."
    return f"## Privacy\n\n{seen} {budget}"


def _limits(manifest: Manifest) -> str:
    device = DEVICES.get(manifest.device)
    reason = f" ({device.reason})" if device is not None else ""
    return (
        "## Limits\n\n"
        f"Made for devices of the profile `{manifest.device}`{reason}, grid `{manifest.grid}`. "
        "The figures hold for records like those of the institutions that took part; elsewhere measure before use. "
        "It answers with one of its labels whatever it is given: it does not know what it has never seen."
    )


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.3f}"
