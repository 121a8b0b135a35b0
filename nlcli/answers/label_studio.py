"""Answers in Label Studio's export in JSON: the annotations of tasks.

What was skipped says nothing, nor do drafts and predictions, which nobody submitted, nor annotations that were made of
predictions without anybody opening them (they have a ``parent_prediction`` and took no time).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlcli.answers.answer import Answer, State
from nlcli.answers.json_objects import json_objects
from nlcli.console import say
from nlcli.data.lists import shown
from nlcli.data.sources.label_studio import picture_of
from nlcli.errors import NlcliError

_ABSENT = "absent"


def read_answers(path: Path) -> Iterator[Answer]:
    """The answers of an export; a task that nobody annotated gives one that says so.

    Raises:
        NlcliError: with the task, for what does not fit.
    """
    others: Counter[str] = Counter()
    choices = 0
    for number, task in enumerate(json_objects(path), start=1):
        where = f"{path}, task {number}"
        data = task.get("data")
        if not isinstance(data, dict):
            raise NlcliError(f"{where} has no 'data'; export from Label Studio as JSON (not as JSON-MIN)")
        facts = _facts(path, where, data)
        annotations = _list(task.get("annotations"), where, "annotations")
        for entry in annotations:
            present: list[str] = []
            absent: list[str] = []
            for name, control in _choices(entry, where, others):
                (absent if control == _ABSENT else present).append(name)
                choices += 1
            yield Answer(
                **facts,
                who=_who(entry),
                when=_text(entry.get("updated_at") or entry.get("created_at")),
                state=_state(entry),
                present=tuple(present),
                absent=tuple(absent),
                final=bool(entry.get("ground_truth")),
            )
        if not annotations:
            yield Answer(**facts, state="not looked at")
    if others:
        told = ", ".join(f"{count:,} {shown(kind)}" for kind, count in sorted(others.items())[:5])
        if not choices:
            raise NlcliError(f"{path} has results of other kinds ({told}) and no choices, which are the answers")
        say(f"note: {path} has results of other kinds than choices ({told}); they are passed over")


def _facts(path: Path, where: str, data: dict[str, Any]) -> dict[str, Any]:
    """What is known of a task's image."""
    own = _text(data.get("path"))
    return {
        "where": where,
        "file": path.name,
        "key": _text(data.get("key")),
        "path": own or picture_of(data, where),
        "asked": _names(data, "asked", where),
        "given": _names(data, "given", where),
        "dataset": _text(data.get("dataset")),
    }


def _names(data: dict[str, Any], name: str, where: str) -> tuple[str, ...] | None:
    names = data.get(name)
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise NlcliError(f"{where}: '{name}' in 'data' is not a list of names")
    return tuple(names)


def _state(entry: dict[str, Any]) -> State:
    if entry.get("was_cancelled"):
        return "skipped"
    if entry.get("parent_prediction") is not None and not entry.get("lead_time"):
        return "not looked at"
    return "answered"


def _who(entry: dict[str, Any]) -> str:
    """Label Studio writes a number, or what it knows of the person."""
    person = entry.get("completed_by")
    if isinstance(person, dict):
        person = person.get("email") or person.get("username") or person.get("id")
    return "" if isinstance(person, bool) else str(person) if isinstance(person, int) else _text(person)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _list(value: Any, where: str, name: str) -> list[dict[str, Any]]:
    value = value or []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise NlcliError(f"{where}: '{name}' is not a list of objects; export from Label Studio as JSON")
    return value


def _choices(entry: dict[str, Any], where: str, others: Counter[str]) -> Iterator[tuple[str, str]]:
    """Every choice with its control; results of other kinds are counted in ``others``."""
    for result in _list(entry.get("result"), where, "result"):
        value = result.get("value")
        names = value.get("choices") if isinstance(value, dict) else None
        if result.get("type") != "choices" or not isinstance(names, list):
            others[_text(result.get("type")) or "unknown"] += 1
            continue
        for name in names:
            if not isinstance(name, str):
                raise NlcliError(f"{where}: a choice is not text; export from Label Studio as JSON")
            yield name, _text(result.get("from_name")).lower()
