"""nlcli's own heads and detectors, through the stages that a user runs."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._features import write_features
from benchmarks.accuracy.cases import Answer, Case
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import FULL, NONE, SPLITS, LabelTable, one_label
from nlcli.stages.config import StageConfig
from nlcli.stages.options import Output
from nlcli.stages.stage import open_stage

VALIDATION = 1 / 3
"""Of the verified images, those that methods with steps get as the validation split; solved ones need none."""
NOT_HERE = ("finetune-whole", "ground-truth", "cleannet", "veit", "teacher-student")
"""Heads that need images, a detection, or what these rows do not have."""


class _DatasetConfig(StageConfig):
    """Where a case goes."""

    output: Output


def stage_inputs(case: Case, folder: Path, validation: float) -> tuple[Path, Path]:
    """The case as a data set and a features directory."""
    from scipy.sparse import csr_array

    count = len(case.noisy)
    keys = [f"{i:06d}" for i in range(count)]
    verification = np.full(count, NONE, np.uint8)
    verification[case.verified] = FULL
    split = np.zeros(count, np.int8)
    split[case.verified[: round(len(case.verified) * validation)]] = SPLITS.index("validation")
    if case.several:
        present = np.zeros(case.noisy.shape, np.uint8)
        present[case.verified] = case.known
        noisy, shown = csr_array(case.noisy.astype(np.float32)), csr_array(present)
    else:
        known = np.full(count, -1)
        known[case.verified] = case.known
        noisy, shown = one_label(case.noisy, case.classes, np.float32), one_label(known, case.classes)
    table = LabelTable(
        task="multi-label" if case.several else "single-label",
        classes=tuple(f"c{c:03d}" for c in range(case.classes)),
        keys=np.array(keys, object),
        paths=np.array(keys, object),
        image_root=Path("/nowhere"),
        split=split,
        noisy=noisy,
        present=shown,
        absent=csr_array(case.noisy.shape if case.several else (count, case.classes), dtype=np.uint8),
        verification=verification,
    )
    with open_stage("dataset", _DatasetConfig(output=folder / "dataset"), {}, seed=case.seed) as stage:
        write_dataset(stage.work, table, {"name": case.name, "source": "benchmark"}, derived=True)
        stage.finish({})
    from nlcli.data.label_files import read_dataset

    fingerprint = read_dataset(folder / "dataset").fingerprint
    return folder / "dataset", write_features(folder / "features", keys, case.features, fingerprint)


class Stages:
    """The stages on one case at a time, its directories made once."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._name = ""

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *_: Any) -> None:
        self._remove()

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)
        self._folder, self._name = None, ""

    def _inputs(self, case: Case, validation: float) -> tuple[Path, Path]:
        name = f"{case.name}-{validation}"
        if self._name != name or self._folder is None:
            self._remove()
            self._folder, self._name = Path(tempfile.mkdtemp(prefix="accuracy-")), name
            return stage_inputs(case, self._folder, validation)
        return self._folder / "dataset", self._folder / "features"

    def head(self, case: Case, name: str, options: dict[str, Any]) -> Answer:
        """``train-head --method NAME``."""
        from nlcli.methods import get_method
        from nlcli.training.config import TrainHead
        from nlcli.training.saved_head import load_head
        from nlcli.training.train_head import train_head

        solved = get_method(name).solvable and options.get("solver") != "steps"
        dataset, features = self._inputs(case, 0.0 if solved else VALIDATION)
        output = Path(tempfile.mkdtemp(prefix="head-", dir=dataset.parent)) / "run"
        config = TrainHead(
            dataset=dataset, features=features, output=output, method=name, seed=case.seed, options=options
        )
        head = load_head(train_head(config))
        answer = Answer(head.score(case.test_features), note=_winner(output))
        shutil.rmtree(output.parent)
        return answer

    def detector(self, case: Case, name: str, options: dict[str, Any]) -> Answer:
        """``detect-noise --method NAME``."""
        from nlcli.data.detection_files import read_detection
        from nlcli.detection.config import DetectNoise
        from nlcli.detection.detect_noise import detect_noise

        dataset, features = self._inputs(case, VALIDATION)
        output = Path(tempfile.mkdtemp(prefix="noise-", dir=dataset.parent)) / "detection"
        more = {"floor": 0.0, "others": case.classes} if case.several else {}  # a row for every entry
        config = DetectNoise(
            dataset=dataset, features=features, output=output, method=name, seed=case.seed, options=options, suspects=0,
            **more,
        )  # fmt: skip
        made = detect_noise(config)
        if case.several:
            answer = _entries(made, case)
            shutil.rmtree(output.parent)
            return answer
        detection = read_detection(made)
        right = np.full(len(case.noisy), -np.inf)
        right[detection.keys.astype(np.int64)] = detection.score
        shutil.rmtree(output.parent)
        return Answer(None, right, detection.threshold)


def _entries(made: Path, case: Case) -> Answer:
    """Probabilities and verdicts of all entries, and which candidates were kept."""
    from nlcli.data.tag_detection_files import read_tag_detection

    detection = read_tag_detection(made)
    entries = detection.entries()
    at = entries.keys.astype(np.int64), entries.classes
    right = np.full(case.noisy.shape, -np.inf)
    right[at] = entries.score
    present = case.noisy > 0
    present[at] = entries.given == entries.right
    kept = [detection.info.notes.get(f"{kind}_by", ()) for kind in ("given", "missing")]
    return Answer(None, right, present=present, note=" / ".join("+".join(names) for names in kept if names))


def our_names(case: Case) -> list[str]:
    """``head:NAME`` and ``detector:NAME`` of everything that applies to ``case``."""
    from nlcli.detection import DETECTORS
    from nlcli.detection.tags import TAG_DETECTORS
    from nlcli.methods import METHODS

    task = "multi-label" if case.several else "single-label"
    heads = [name for name, cls in METHODS.items() if task in cls.tasks and name not in NOT_HERE]
    of_tags = [name for name, cls in TAG_DETECTORS.items() if not (cls.takes_run or cls.believes)]
    detectors = of_tags if case.several else DETECTORS.names()
    return [f"head:{name}" for name in heads] + [f"detector:{name}" for name in detectors]


def _winner(run: Path) -> str:
    """Which candidate a run of ``auto`` kept."""
    told = json.loads((run / "result.json").read_text(encoding="utf-8")).get("solved", {})
    return str(told.get("details", {}).get("winner", ""))
