"""The pipeline that cleans a pile: its stages and their options, and the file that they are written to.

What it does is in the file alone: whoever wants another detector changes a line and runs ``nlcli run`` on it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from nlcli.data.labels import Task
from nlcli.data.sources.base import TEST, VALIDATION
from nlcli.data.sources.image_table import SPLIT_NAMES
from nlcli.errors import NlcliError
from nlcli.networks.foreign.source import located
from nlcli.pile.before import Before
from nlcli.pile.config import CleanPile
from nlcli.pile.places import PAGE, PIPELINE, absolute
from nlcli.stages.files import atomic_path

CHECKED_SHARES = {"validation_share": 0.2, "test_share": 0.3}
"""Parts of the checked images that choose and that measure; the others are fitted on."""
_MARK = "# Written by nlcli clean; what follows had the SHA-256 "

Stage = dict[str, Any]


def stages_of(config: CleanPile, task: Task) -> list[Stage]:
    """The stages for a pile whose labels are of the kind ``task``, in order."""
    stages = [_dataset(config, task)]
    if config.duplicates == "leave-out":
        stages.append(_stage("dataset", "deduplicate", dataset="${all}"))
    return [*stages, *_features(config), *_from_features(config, "${features}", is_measured(config))]


def stages_again(config: CleanPile, before: Before) -> list[Stage]:
    """The stages for a pile that was cleaned before, with the answers to what was asked then; no picture is read."""
    answers = [str(absolute(path)) for path in config.answers]
    queue = str(before.queue)
    dataset = str(before.dataset)
    stages = [_stage("dataset", "import-verification", dataset=dataset, suggestion=queue, answers=answers)]
    return [*stages, *_from_features(config, str(before.features), True)]


def _from_features(config: CleanPile, features: str, measured: bool) -> list[Stage]:
    """All that follows once there are a data set and its features."""
    stages: list[Stage] = []
    both = {"dataset": "${dataset}", "features": features}
    stages.append(_stage("wrong-labels", "detect-noise", **both, method=config.detector, seed=config.seed))
    stages.append(
        _stage(
            "cleaned",
            "clean-labels",
            dataset="${dataset}",
            source="${wrong-labels}",
            policy=config.policy if measured else "suggest",
            precision=config.precision if measured else 0.0,
            max_changes=config.max_changes,
            when_refused="suggest",
            export=list(config.export) or None,
        )
    )
    stages.append(
        _stage(
            "to-check",
            "suggest",
            dataset="${dataset}",
            source="${wrong-labels}",
            count=config.check_next,
            seed=config.seed,
        )
    )
    shown = ["${dataset}", "${wrong-labels}", "${cleaned}", "${to-check}"]
    stages.append(_stage("classifier-before", "train-head", **both, method="noisy", seed=config.seed))
    stages.append(_stage("classifier", "train-head", **both, method=config.method, seed=config.seed))
    if measured:
        stages.append(_stage("tested-before", "eval", model="${classifier-before}", split="test"))
        stages.append(_stage("tested", "eval", model="${classifier}", split="test"))
        shown += ["${tested-before}", "${tested}"]
    else:
        shown += ["${classifier}"]
    page = {"directories": shown, "output": str(absolute(config.output) / PAGE), "thumbnails": config.thumbnails}
    return [*stages, {"name": "page", "run": "report", "with": page}]


def is_measured(config: CleanPile) -> bool:
    """Whether there are checked images: a list of them, or folders validation and test, whose classes are true."""
    if config.checked is not None:
        return True
    if config.labels is not None or not config.photos.is_dir():
        return False
    names = {SPLIT_NAMES.get(name.lower()) for name in os.listdir(config.photos)}
    return {VALIDATION, TEST} <= names


def _dataset(config: CleanPile, task: Task) -> Stage:
    name = "all" if config.duplicates == "leave-out" else "dataset"
    given: dict[str, Any] = {"class_names": config.class_names, "seed": config.seed}
    if config.checked is not None:
        given |= {"checked": str(absolute(config.checked)), **CHECKED_SHARES}
    photos = str(absolute(config.photos))
    table = None if config.labels is None else str(absolute(config.labels))
    if task == "single-label":
        # Where checked images are listed, no folder's name is more than a noisy label.
        verified: list[str] | None = None if config.checked is None else []
        return _stage(name, "build-folders", images=photos, table=table, verified=verified, **given)
    return _stage(name, "build-tags", table=table, images=photos, verified_means=config.verified_means, **given)


def _features(config: CleanPile) -> list[Stage]:
    dataset = "${dataset}"
    if config.features is not None:
        keys = None if config.keys is None else str(absolute(config.keys))
        return [
            _stage("features", "import-features", dataset=dataset, source=str(absolute(config.features)), keys=keys)
        ]
    if config.weights != "none":
        network = located(config.backbone)
        weights = absolute(Path(config.weights)) if Path(config.weights).exists() else config.weights
        return [_stage("features", "extract-features", dataset=dataset, backbone=network, weights=str(weights))]
    return [
        _stage(
            "network",
            "pretrain-backbone",
            dataset=dataset,
            backbone=config.backbone,
            weights="none",
            image_size=config.image_size,
            steps=config.pretrain_steps,
            eval_every=max(1, config.pretrain_steps // 8),
            optimizer="adam",
            learning_rate=0.001,
            flip="none",
            seed=config.seed,
        ),
        _stage("features", "extract-features", dataset=dataset, backbone="${network}"),
    ]


def _stage(name: str, run: str, **given: Any) -> Stage:
    """A stage without the options that are not given."""
    return {"name": name, "run": run, "with": {key: value for key, value in given.items() if value is not None}}


# --- the file --------------------------------------------------------------------------------


def write_pipeline(config: CleanPile, stages: list[Stage]) -> Path:
    """Write ``stages`` as the pipeline in the output of ``config``; a file that somebody changed is left as it is.

    Raises:
        NlcliError: the file there was changed by hand, and ``force`` is not given.
    """
    import yaml

    where = config.output / PIPELINE
    content = {
        "name": config.output.name,
        "about": f"from {config.photos} to cleaned labels",
        "workdir": str(absolute(config.output)),
        "stages": stages,
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    whole = f"{_MARK}{_digest(text)}\n# Change what you like and run it again: nlcli run {where}\n{text}"
    if where.is_file() and not config.force and _changed_by_hand(where):
        raise NlcliError(
            f"{where} was changed by hand; run it with 'nlcli run {where}', or pass --force to write it anew"
        )
    where.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(where) as temporary:
        temporary.write_text(whole, "utf-8")
    return where


def _changed_by_hand(path: Path) -> bool:
    try:
        first, _, text = path.read_text("utf-8").split("\n", 2)
    except (ValueError, UnicodeDecodeError):
        return True
    return first != f"{_MARK}{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
