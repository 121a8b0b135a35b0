"""The loop of checking, with an annotator who errs: pile, suggest, answers, import, train, suggest again.

The embedded digits of scikit-learn, a third of whose labels are planted to be others.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

import nlcli
from nlcli.data.label_files import read_dataset
from nlcli.data.labels import NONE, LabelTable, noisy_classes, single_label_table
from worlds.annotators import label_studio_export
from worlds.made_detections import made_dataset

MISTAKES = 0.03
ROUNDS, COUNT = 2, 200
NAMES = tuple(f"digit {i}" for i in range(10))


def labels_of(table: LabelTable) -> np.ndarray:
    """Noisy labels, with what is known put in."""
    labels = noisy_classes(table)
    known = table.present.sum(axis=1) > 0
    labels[known] = table.present[known].indices
    return labels


@pytest.mark.slow
def test_checking_in_rounds(tmp_path: Path) -> None:
    pixels, true = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    count = len(true)
    noisy = np.where(rng.random(count) < 1 / 3, (true + rng.integers(1, 4, count)) % 10, true)
    split = np.zeros(count, int)
    split[:60], split[60:460] = 1, 2
    known = np.where((np.arange(count) < 500), true, -1)  # validation, test, and 40 of train
    keys = [f"digit-{i:04d}.png" for i in range(count)]
    table = single_label_table(NAMES, keys, keys, Path("/images"), split, noisy, known)
    dataset = made_dataset(tmp_path / "pile", table, true.tolist())
    np.save(tmp_path / "pixels.npy", pixels.astype(np.float32) / 16)
    (tmp_path / "keys.txt").write_text("\n".join(keys))
    features = nlcli.import_features(
        dataset=dataset, source=tmp_path / "pixels.npy", keys=tmp_path / "keys.txt", output=tmp_path / "features"
    )
    train = split == 0
    asked: set[str] = set()
    answered = {}

    def seen(key: str) -> list[str]:
        """What the annotator sees: one image in 33 for another digit."""
        answered[key] = NAMES[int(rng.integers(10)) if rng.random() < MISTAKES else true[int(key[6:10])]]
        return [answered[key]]

    before, shares, top_1 = read_dataset(dataset), [], []
    for number in range(ROUNDS + 1):
        if number in (0, ROUNDS):
            run = nlcli.train_head(
                dataset=dataset, features=features, output=tmp_path / f"run {number}", method="clean"
            )
            scores = nlcli.load_head(run).score(pixels[split == 2].astype(np.float32) / 16)
            top_1.append(float(np.mean(scores.argmax(axis=1) == true[split == 2])))
        shares.append(float(np.mean(labels_of(read_dataset(dataset))[train] != true[train])))
        if number == ROUNDS:
            break
        detection = nlcli.detect_noise(
            dataset=dataset, features=features, output=tmp_path / f"noise {number}", method="neighbours"
        )
        queue = nlcli.suggest(
            dataset=dataset, source=detection, output=tmp_path / f"queue {number}", count=COUNT, export=["labelstudio"]
        )
        rows = pq.read_table(queue / "queue.parquet").to_pylist()
        assert not asked & {row["key"] for row in rows}  # nobody is asked twice
        asked |= {row["key"] for row in rows}
        answers = label_studio_export(
            queue / "exports" / "labelstudio" / "tasks.json", tmp_path / f"{number}.json", seen, who="ann@example.org"
        )
        dataset = nlcli.import_verification(
            dataset=dataset, suggestion=queue, answers=[answers], output=tmp_path / f"checked {number}"
        )
    after = read_dataset(dataset)
    new = (after.verification > NONE) & (before.verification == NONE)
    assert set(after.keys[new].tolist()) == asked
    assert (noisy_classes(after) == noisy).all()
    assert {key: NAMES[c] for key, c in zip(after.keys[new], after.present[new].indices, strict=True)} == answered
    # Two rounds of 200 of 1,337 mend most of the third that was wrong, and a classifier of what is known gains.
    assert shares[0] > 0.3
    assert shares[2] < shares[0] - 0.2
    assert top_1[1] > top_1[0] + 0.05
    record = json.loads((dataset / "verification.json").read_text())
    rate = record["rates"][-1]
    may = (before.verification == NONE) & train
    assert (rate["rounds"], rate["drawn"]) == (2, 80)
    assert rate["interval"][0] < np.mean(noisy[may] != true[may]) < rate["interval"][1]
    found = {one["how"]: one for one in record["found"]}
    assert found["errors"]["wrong"] / found["errors"]["labels"] > 2 * rate["value"]
