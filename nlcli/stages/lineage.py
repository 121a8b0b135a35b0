"""What a directory is, what made it, and from what: the chain of stages behind a result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlcli.console import duration, print_pairs, say, tell
from nlcli.errors import NlcliError
from nlcli.stages.files import fingerprint_json, read_json
from nlcli.stages.publishing import RECIPE, RECORD, WORK, work_path
from nlcli.stages.stage import StageRecord, read_stage

_NOTHING = fingerprint_json([])
_WHAT = {
    "digits": "scenes of handwritten digits with COCO annotations and an annotating classifier",
    "predictions": "a classifier's top predictions for every image",
    "dataset": "images with noisy and verified labels",
    "backbone": "a trained network with its preprocessing",
    "features": "pooled features of a data set's images",
    "run": "a trained head",
    "model": "a trained head and its network, for other programs",
    "tuning": "options of a method, searched for by validation",
    "detection": "scores and verdicts of a data set's noisy labels",
    "suggestion": "images that a person should check next",
    "evaluation": "scores and metrics of a run or a backbone on a split, or errors of a detection",
    "report": "evaluations set side by side",
    "analysis": "evaluations by category, class frequency and annotation quality",
    "table": "evaluations beside a paper's published table",
    "hashes": "hashes of images, to find near-duplicates",
    "page": "results of stages on one page, to read and to send",
}


def what_of(kind: str) -> str:
    """What a directory of this kind is, in words."""
    return _WHAT.get(kind, kind)


def finished_stages(path: Path) -> Iterator[StageRecord]:
    """The finished stage at ``path``, or those that lie in the folder there; what is damaged is told and left out.

    Raises:
        NlcliError: neither is there.
    """
    if not path.is_dir() or (path / RECORD).is_file():
        yield read_stage(path)
        return
    inside = [path / entry for entry in sorted(os.listdir(path)) if (path / entry / RECORD).is_file()]
    finished = [entry for entry in inside if not entry.name.endswith(WORK)]
    if not finished:
        raise NlcliError(f"{path} was not made by nlcli, and no folder in it was; name directories made by nlcli")
    for entry in finished:
        try:
            yield read_stage(entry)
        except NlcliError as error:
            say(f"left out: {error}")


def describe_path(path: Path) -> dict[str, Any]:
    """JSON description of the directory at ``path`` and of everything it was made from.

    Of a folder of such directories, such as the work directory of a pipeline, it names what lies in it.

    Raises:
        NlcliError: ``path`` was not made by nlcli, and nothing in it was.
    """
    partial = path if path.name.endswith(WORK) else work_path(path)
    if partial.is_dir() and not (path / RECORD).is_file():
        recipe = read_json(partial / RECIPE) if (partial / RECIPE).is_file() else {}
        if not isinstance(recipe, dict):
            raise NlcliError(f"{partial / RECIPE} is not nlcli's; begin again with --force")
        config = recipe.get("config")
        return {
            "path": str(partial),
            "stage": recipe.get("stage", "unknown"),
            "complete": False,
            "config": config if isinstance(config, dict) else {},
            "inputs": {},
        }
    if path.is_dir() and not (path / RECORD).is_file():
        inside = [{"path": str(r.path), "stage": r.kind, "what": what_of(r.kind)} for r in finished_stages(path)]
        return {"path": str(path), "holds": inside}
    return _described(read_stage(path), set())


def _described(record: StageRecord, seen: set[str]) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for name, entry in record.inputs.items():
        inputs[name] = {"path": entry.path, "fingerprint": entry.fingerprint, "state": "not a directory"}
        where = record.input_path(name)
        if entry.stage is None or where is None:
            continue
        try:
            parent = read_stage(where)
        except NlcliError:
            inputs[name] |= {"stage": entry.stage, "state": "missing"}
            continue
        inputs[name] |= {"stage": entry.stage, "path": str(where)}
        inputs[name]["state"] = "unchanged" if parent.fingerprint == entry.fingerprint else "changed since"
        if parent.fingerprint not in seen:
            seen.add(parent.fingerprint)
            inputs[name]["made_from"] = _described(parent, seen)
    return {
        "path": str(record.path),
        "stage": record.kind,
        "complete": True,
        "what": what_of(record.kind),
        "summary": record.summary,
        "config": record.config,
        "seed": record.seed,
        "fingerprint": record.fingerprint,
        "versions": record.versions,
        "seconds": record.seconds,
        "inputs": inputs,
    }


def print_lineage(described: dict[str, Any]) -> None:
    """Print ``describe_path``'s result for people."""
    if "holds" in described:
        tell(f"{described['path']}: {len(described['holds'])} directories made by nlcli; nlcli info tells more of each")
        print_pairs({Path(one["path"]).name: f"{one['stage']}, {one['what']}" for one in described["holds"]})
        return
    if not described["complete"]:
        tell(f"{described['path']}: unfinished {described['stage']}; the command that began it continues it")
        print_pairs(described["config"] or {"config": "unknown"})
        return
    tell(f"{described['path']}: {described['stage']}, {described['what']}")
    tell(
        f"made in {duration(described['seconds'])} with "
        + ", ".join(f"{k} {v}" for k, v in described["versions"].items())
    )
    tell("\nresult")
    print_pairs(described["summary"] or {"summary": "-"})
    tell("\nsettings")
    print_pairs(described["config"])
    tell("\nmade from")
    _print_tree(described, 0)


def _print_tree(described: dict[str, Any], depth: int) -> None:
    if not described["inputs"] and depth == 0:
        tell("nothing but its settings")
    for name, entry in described["inputs"].items():
        if entry["fingerprint"] == _NOTHING:  # such as of images that are missing
            continue
        kind = f"{entry['stage']} " if entry.get("stage") else ""
        state = "" if entry["state"] in ("unchanged", "not a directory") else f" ({entry['state']})"
        tell(f"{'  ' * depth}{name}: {kind}{entry['path'] or entry['fingerprint'][:19]}{state}")
        if "made_from" in entry:
            _print_tree(entry["made_from"], depth + 1)
