"""Predictions for files and folders that belong to no data set."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nlcli.errors import NlcliError
from nlcli.evaluation.config import Evaluate, Predict
from nlcli.evaluation.evaluate import evaluate
from nlcli.evaluation.predict import predict
from nlcli.evaluation.score_files import read_scores
from nlcli.evaluation.scored_images import Dense
from nlcli.stages.files import read_json, write_json
from worlds.scored_chain import CLASSES, Chain, draw, published_backbone, shared_chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images in two folders, one of them broken, and a file that is no image."""
    folder = tmp_path / "photos"
    (folder / "in,side").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, present in (("a.jpg", [0]), ("b.JPG", [1]), ("c.png", [0, 2]), ("in,side/d.jpg", [2])):
        target = folder / name
        draw(target, present, rng)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    (folder / "notes.txt").write_text("not an image")
    return folder


NAMES = ["a.jpg", "b.JPG", "broken.jpg", "c.png", "in,side/d.jpg"]


def scores_of(chain: Chain, folder: Path) -> dict[str, dict[str, float]]:
    """Every class's probability by the backbone itself, one image at a time."""
    from nlcli.networks.images import load_image
    from nlcli.networks.weights import load_backbone

    backbone = load_backbone(chain.backbone)
    infer = backbone.inference("float32", output="probabilities")
    return {
        name: dict(
            zip(CLASSES, np.asarray(infer(load_image(folder / name, backbone.preprocessing)[None]))[0], strict=True)
        )
        for name in NAMES
        if name != "broken.jpg"
    }


def test_json_lines_hold_every_image_in_order(chain: Chain, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    config = Predict(images=photos, run=chain.backbone, format="jsonl", output=output, top=2, batch_size=2)
    assert predict(config) == {"images": 4, "errors": 1}
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [line["image"] for line in lines] == NAMES
    expected = scores_of(chain, photos)
    for line in lines:
        if line["image"] == "broken.jpg":
            assert "predictions" not in line
            assert line["error"]
            continue
        best = sorted(expected[line["image"]].items(), key=lambda pair: -pair[1])[:2]
        assert [p["class"] for p in line["predictions"]] == [name for name, _ in best]
        assert [p["score"] for p in line["predictions"]] == pytest.approx([s for _, s in best], abs=1e-5)


def test_csv_quotes_names_and_keeps_broken_images(chain: Chain, photos: Path, capsys: pytest.CaptureFixture) -> None:
    predict(Predict(images=photos, run=chain.backbone, format="csv", top=3))
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert [row["image"] for row in rows if row["rank"] in ("1", "")] == NAMES
    assert len(rows) == 4 * 3 + 1
    broken = next(row for row in rows if row["image"] == "broken.jpg")
    assert broken["error"]
    assert broken["class"] == ""
    assert "1 of 5 images could not be read" in captured.err


def test_table_and_threshold(chain: Chain, photos: Path, capsys: pytest.CaptureFixture) -> None:
    expected = scores_of(chain, photos)
    threshold = float(np.median([s for scores in expected.values() for s in scores.values()]))
    predict(Predict(images=photos, run=chain.backbone, threshold=threshold))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    for line in lines:
        name = next(n for n in NAMES if line.startswith(n))
        if name == "broken.jpg":
            assert "error: " in line
            continue
        over = {c for c, s in expected[name].items() if s >= threshold}
        assert {c for c in CLASSES if f"{c} 0." in line} == over


def test_no_class_over_the_threshold_still_has_a_row(chain: Chain, photos: Path, capsys: pytest.CaptureFixture) -> None:
    predict(Predict(images=photos / "a.jpg", run=chain.backbone, format="csv", threshold=1.0))
    assert capsys.readouterr().out.splitlines()[1] == f"{photos / 'a.jpg'},,,,"


def test_a_run_predicts_what_its_evaluation_scored(chain: Chain, tmp_path: Path) -> None:
    run = chain.run()
    scored = read_scores(
        evaluate(Evaluate(model=run, output=tmp_path / "scored", bootstrap=0, examples=0)) / "scores.parquet"
    )
    assert isinstance(scored.verified, Dense)
    output = tmp_path / "all.jsonl"
    predict(Predict(images=chain.root / "squares", run=run, format="jsonl", output=output, top=3, batch_size=7))
    scores_by_image = {}
    for line in output.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["image"] == "060.jpg":
            assert "error" in row
            continue
        scores_by_image[row["image"]] = {p["class"]: p["score"] for p in row["predictions"]}
    assert len(scores_by_image) == 79
    for key, expected in zip(scored.keys, scored.verified.scores, strict=True):
        scores = scores_by_image[key.removeprefix("squares/")]
        assert [scores[c] for c in CLASSES] == pytest.approx(expected.tolist(), abs=2e-5)


def test_moved_features_and_backbones(chain: Chain, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "far" / "away" / "run"
    shutil.copytree(chain.run(), run)
    record = read_json(run / "stage.json")
    record["inputs"]["features"] |= {"path": str(tmp_path / "gone"), "relative": "../gone"}
    write_json(run / "stage.json", record)
    with pytest.raises(NlcliError, match="pass --backbone"):
        predict(Predict(images=photos, run=run))
    moved = tmp_path / "moved"
    shutil.copytree(chain.backbone, moved)
    assert predict(Predict(images=photos, run=run, backbone=moved)) == {"images": 4, "errors": 1}
    other = published_backbone(tmp_path / "other", seed=5)
    with pytest.raises(NlcliError, match="is not the one whose features"):
        predict(Predict(images=photos, run=run, backbone=other))
    with pytest.raises(NlcliError, match="is a backbone itself"):
        predict(Predict(images=photos, run=chain.backbone, backbone=moved))


def test_nothing_to_predict(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="does not exist"):
        predict(Predict(images=tmp_path / "none", run=chain.backbone))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NlcliError, match="no image in"):
        predict(Predict(images=tmp_path / "empty", run=chain.backbone))
    with pytest.raises(NlcliError, match="expected a run or backbone"):
        predict(Predict(images=chain.root / "squares", run=chain.dataset))


def test_output_appears_whole_or_not_at_all(
    chain: Chain, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NlcliError, match="cannot write"):
        predict(Predict(images=photos, run=chain.backbone, output=tmp_path / "no" / "such" / "folder.csv"))
    output = tmp_path / "scores.csv"
    output.write_text("from before")
    import nlcli.networks.images

    whole = nlcli.networks.images.iterate_images

    def fails_in_the_middle(*args, **options):
        yield next(whole(*args, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(nlcli.networks.images, "iterate_images", fails_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        predict(Predict(images=photos, run=chain.backbone, format="csv", output=output, batch_size=1))
    assert output.read_text() == "from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "scores.csv"]
