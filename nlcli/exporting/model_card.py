"""The model card: what the model is, on what it was trained, how good it is, and where that ends."""

from __future__ import annotations

import re

from nlcli.console import markdown_table
from nlcli.errors import printable
from nlcli.evaluation.exported_model import EXPORT, ExportRecord, HowGood
from nlcli.evaluation.metrics_file import Estimate
from nlcli.exporting.gate import VECTORS
from nlcli.metrics.names import shown_metrics

CARD = "README.md"
_MOST_CLASSES = 50


def model_card(record: ExportRecord) -> str:
    """The card as Markdown; whatever comes from outside is text in it."""
    parts = [
        f"# {_text(record.source.directory)}\n\n{_what(record)}\n",
        f"## How it is run\n\n{_input(record)}\n",
        f"## How good it is\n\n{_how_good(record)}\n",
        f"## What it was trained on\n\n{_trained(record)}\n",
        f"## Limits\n\n{_limits(record)}\n",
        f"## Classes\n\n{_classes(record)}",
    ]
    return "\n".join(parts)


def _text(name: str) -> str:
    """``name`` as Markdown and HTML show it, and do not read it."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~-])", r"\\\1", printable(name, 200))


def _what(record: ExportRecord) -> str:
    source = record.source
    kind = "one of" if record.task == "single-label" else "any of"
    made = f"a head by method `{source.method}`" if source.method else "a network with its own last layer"
    behind = f" on the network {_text(source.network)}" if source.network and source.method else ""
    return (
        f"A classifier of images: {kind} {len(record.classes):,} classes. It is {made}{behind}, score "
        f"`{source.score}`, written as {record.format} (`{record.file}`) by nlcli."
    )


def _input(record: ExportRecord) -> str:
    given = record.given
    if given.preprocessing is None:
        told = (
            f"It takes `{given.name}`, float32 of shape (n, {given.shape[0]}): vectors of the network that the head "
            "was trained on, as they were imported. That network is not part of the model."
        )
    else:
        pre = given.preprocessing
        cut = {"stretch": "squeezed into the square", "crop": "its middle cut out as a square"}[pre.resize]
        margin = f" of {pre.size + pre.margin} pixels a side, whose middle is cut out" if pre.margin else ""
        told = (
            f"It takes `{given.name}`, uint8 RGB of shape (n, {pre.size}, {pre.size}, 3): the whole picture "
            f"{cut}{margin}, resized by an antialiased bilinear filter (`Image.resize` of Pillow). Pixels and features "
            "are scaled inside."
        )
    if record.task == "single-label":
        answer = "The class with the highest score is the answer."
    elif record.thresholds is None:
        answer = "From which score on a class is given is not chosen yet."
    else:
        answer = f"A class is given where its score reaches its threshold in `{EXPORT}`."
    return (
        f"{told}\n\nIt gives `{record.output}`, (n, {len(record.classes)}) in [0, 1], in the order of `classes` in "
        f"`{EXPORT}`. {answer} `{VECTORS}` holds {record.checked.made_up} inputs and their scores: whatever runs the "
        f"model should give these to {record.checked.tolerance:g}. Here it did to {record.checked.difference:.1e}."
    )


def _how_good(record: ExportRecord) -> str:
    parts = [_table(part) for part in record.measured]
    if record.unchosen is not None:
        parts.append(f"Nothing was measured on validation: {_text(record.unchosen)}.")
    if record.thresholds is not None:
        thresholds = record.thresholds
        parts.append(
            f"With the thresholds, which {thresholds.images:,} validation images chose, precision is "
            f"{_estimate(thresholds.precision)} and recall {_estimate(thresholds.recall)}, each image judged by "
            "thresholds chosen without it."
        )
    return "\n\n".join(parts) or "Nothing was measured."


def _table(part: HowGood) -> str:
    rows = []
    for name in shown_metrics(part.metrics):
        estimate = part.metrics[name]
        rows.append([name, _value(estimate), _interval(estimate), f"{estimate.rests_on:,} {estimate.counted}"])
    told = f"On {part.images:,} images of split `{part.split}`"
    if part.chose:
        told += ", which chose the weights, so that this is a little too good"
    return f"{told}:\n\n{markdown_table(['metric', 'value', '95 %', 'rests on'], rows)}".rstrip()


def _value(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{100 * estimate.value:.1f} %"


def _interval(estimate: Estimate) -> str:
    if estimate.interval is None:
        return f"none: {estimate.no_interval}" if estimate.no_interval else "none"
    return " to ".join("?" if end is None else f"{100 * end:.1f}" for end in estimate.interval)


def _estimate(estimate: Estimate) -> str:
    return f"{_value(estimate)} ({_interval(estimate)}; {estimate.rests_on:,} {estimate.counted})"


def _trained(record: ExportRecord) -> str:
    source = record.source
    named = "a data set that tells no name" if source.dataset is None else f"the data set {_text(source.dataset)}"
    images = ""
    if source.images:
        kinds = {"noisy": "with noisy labels", "clean": "that a person verified"}
        images = ", ".join(f"{count:,} images {kinds.get(kind, kind)}" for kind, count in sorted(source.images.items()))
        images = f": {images}"
    return f"On {named}{images}. Its fingerprint is `{source.fingerprint}`."


def _limits(record: ExportRecord) -> str:
    lines = [
        "It knows its classes alone, and gives scores for whatever picture it is shown.",
        "Scores are what the training made of them; as probabilities they are as good as the labels were.",
        "The figures above hold for images like those that they were measured on.",
    ]
    checked = record.checked
    if (checked.precision, checked.dtype) != ("float32", "float32"):
        lines.append(
            f"It computes in float32, where the features of the run were computed in {checked.precision} and stored as "
            f"{checked.dtype}: hence the tolerance."
        )
    if record.thresholds is not None:
        shared = sum(threshold.chosen_on != "class" for threshold in record.thresholds.by_class)
        if shared:
            told = f"{shared:,} of {len(record.classes):,} classes"
            lines.append(f"{told} had too few verified images for a threshold of their own.")
    return "\n".join(f"- {line}" for line in lines)


def _classes(record: ExportRecord) -> str:
    shown = record.classes[:_MOST_CLASSES]
    if record.thresholds is None:
        table = markdown_table(["", "class"], [[str(c), _cell(name)] for c, name in enumerate(shown)])
    else:
        rows = []
        for c, (name, chosen) in enumerate(zip(shown, record.thresholds.by_class, strict=False)):
            rows.append([str(c), _cell(name), f"{chosen.value:.3f}", chosen.chosen_on, f"{chosen.positives:,}"])
        table = markdown_table(["", "class", "threshold", "chosen on", "verified with it"], rows)
    more = len(record.classes) - len(shown)
    return table + (f"\n{more:,} more in `{EXPORT}`.\n" if more else "")


def _cell(name: str) -> str:
    return _text(name).replace("\\|", "|")  # markdown_table escapes bars itself
