"""Label Studio's export in JSON: a list of tasks with predictions and annotations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from nlcli.console import say
from nlcli.data.lists import shown
from nlcli.data.sources.collected_tags import Collected, word
from nlcli.data.sources.tagged_images import TaggedImages
from nlcli.errors import NlcliError

_FACTS = ("key", "split", "group", "verified", "verification")


def read_label_studio(path: Path, tasks: list[Any], *, checked: bool = False) -> TaggedImages:
    """The images of an export; what was skipped, and drafts, are no annotations.

    Raises:
        NlcliError: with the task, for what does not fit.
    """
    collected = Collected(path, checked=checked)
    others: Counter[str] = Counter()
    choices = of_one = 0
    for number, task in enumerate(tasks, start=1):
        where = f"{path}, task {number}"
        data = task.get("data") if isinstance(task, dict) else None
        if not isinstance(data, dict):
            raise NlcliError(f"{where} has no 'data'; export from Label Studio as JSON (not as JSON-MIN)")
        image = collected.image(picture_of(data, where), where, data)
        of_one += data.get("task") == "single-label"
        for kind in ("present", "absent"):
            for name in _names(data, kind, where):
                collected.tag(image, name, kind, where)
                choices += 1
        predictions = [] if checked else _list(task, "predictions", where)
        for prediction in predictions:
            for name, _, score in _choices(prediction, where, others):
                collected.tag(image, name, "noisy", where, score or prediction.get("score") or None)
                choices += 1
        given = [entry for entry in _list(task, "annotations", where) if not entry.get("was_cancelled")]
        marked = [entry for entry in given if entry.get("ground_truth")]
        answers = [[choice[:2] for choice in _choices(entry, where, others)] for entry in (marked or given)]
        if any(sorted(answer) != sorted(answers[0]) for answer in answers):
            raise NlcliError(
                f"{where}: {len(answers)} people saw different things; keep one annotation, or mark one as ground truth"
            )
        if answers:
            collected.saw(image)
            for name, control in answers[0]:
                collected.tag(image, name, "absent" if control == "absent" else "present", where)
                choices += 1
    if others:
        told = ", ".join(f"{count:,} {shown(kind)}" for kind, count in sorted(others.items())[:5])
        if not choices:
            raise NlcliError(
                f"{path} has results of other kinds ({told}) and no choices, which are the tags of an image"
            )
        say(f"note: {path} has results of other kinds than choices ({told}); they are passed over")
    return collected.finished(asks=True, one_label=of_one == len(tasks))


def _names(data: dict[str, Any], kind: str, where: str) -> list[Any]:
    names = data.get(kind) or []
    if not isinstance(names, list):
        raise NlcliError(f"{where}: '{kind}' in 'data' is not a list of names")
    return names


def _list(task: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    value = task.get(name) or []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise NlcliError(f"{where}: '{name}' is not a list of objects; export from Label Studio as JSON")
    return value


def picture_of(data: dict[str, Any], where: str) -> str:
    """The path of a task's picture."""
    named = data.get("image")
    if named is None:
        texts = [value for key, value in data.items() if isinstance(value, str) and key not in _FACTS]
        named = texts[0] if len(texts) == 1 else None
    if not isinstance(named, str):
        raise NlcliError(f"{where}: 'data' has no 'image' that names the picture")
    if "/data/local-files/" in named:
        return parse_qs(urlsplit(named).query).get("d", [""])[0]
    return named


def _choices(entry: dict[str, Any], where: str, others: Counter[str]) -> list[tuple[str, str, Any]]:
    """Name, control and score of every choice; results of other kinds are counted in ``others``."""
    results = entry.get("result") or []
    if not isinstance(results, list):
        raise NlcliError(f"{where}: 'result' is not a list; export from Label Studio as JSON")
    chosen = []
    for result in results:
        value = result.get("value") if isinstance(result, dict) else None
        names = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(result, dict) or result.get("type") != "choices" or not isinstance(names, list):
            others[word(result.get("type")) if isinstance(result, dict) else "unknown"] += 1
            continue
        for name in names:
            if not isinstance(name, str):
                raise NlcliError(f"{where}: a choice is not text; export from Label Studio as JSON")
            chosen.append((name, word(result.get("from_name")).lower(), result.get("score")))
    return chosen
