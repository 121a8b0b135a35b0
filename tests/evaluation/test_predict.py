"""Predictions for files and folders that belong to no data set."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from nlcli.cli import app
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
    import nlcli.networks.image_batches

    whole = nlcli.networks.image_batches.iterate_images

    def fails_in_the_middle(*args, **options):
        yield next(whole(*args, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(nlcli.networks.image_batches, "iterate_images", fails_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        predict(Predict(images=photos, run=chain.backbone, format="csv", output=output, batch_size=1))
    assert output.read_text() == "from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "scores.csv"]


# --- wide rows and decisions -----------------------------------------------------------------


def test_wide_rows_hold_every_class(chain: Chain, photos: Path, tmp_path: Path) -> None:
    expected = scores_of(chain, photos)
    output = tmp_path / "wide.csv"
    predict(Predict(images=photos, run=chain.backbone, format="csv", wide=True, output=output))
    rows = list(csv.DictReader(output.read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == ["image", *CLASSES, "error"]
    assert [row["image"] for row in rows] == NAMES
    for row in rows:
        if row["image"] == "broken.jpg":
            assert row["error"]
            assert {row[name] for name in CLASSES} == {""}
            continue
        assert [float(row[name]) for name in CLASSES] == pytest.approx(list(expected[row["image"]].values()), abs=1e-5)
    lines = tmp_path / "wide.jsonl"
    predict(Predict(images=photos / "a.jpg", run=chain.backbone, format="jsonl", wide=True, output=lines))
    assert json.loads(lines.read_text())["scores"] == pytest.approx(expected["a.jpg"], abs=1e-5)


def test_decisions_by_a_threshold_are_ones_and_zeros(chain: Chain, photos: Path, tmp_path: Path) -> None:
    expected = scores_of(chain, photos)
    threshold = float(np.median([s for scores in expected.values() for s in scores.values()]))
    output = tmp_path / "wide.csv"
    config = Predict(images=photos, run=chain.backbone, format="csv", wide=True, threshold=threshold, output=output)
    predict(config)
    for row in csv.DictReader(output.read_text(encoding="utf-8").splitlines()):
        if row["image"] != "broken.jpg":
            given = {name: int(row[name]) for name in CLASSES}
            assert given == {name: int(score >= threshold) for name, score in expected[row["image"]].items()}


def test_classes_are_decided_by_what_validation_chose(
    chain: Chain, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The threshold of the best F1 of all verified entries of validation, whose scores ``eval`` wrote."""
    from nlcli.evaluation.decision_thresholds import best_f1

    run = chain.run()
    scored = read_scores(
        evaluate(Evaluate(model=run, split="validation", output=tmp_path / "v", bootstrap=0, examples=0))
        / "scores.parquet"
    )
    threshold = best_f1(scored.verified.labels.ravel() == 1, scored.verified.scores.ravel())
    outputs = tmp_path / "decided.jsonl", tmp_path / "given.jsonl"
    predict(Predict(images=photos, run=run, format="jsonl", decide=True, output=outputs[0]))
    assert "thresholds: chosen on 16 verified validation images" in capsys.readouterr().err
    predict(Predict(images=photos, run=run, format="jsonl", threshold=threshold, output=outputs[1]))
    assert outputs[0].read_text() == outputs[1].read_text()
    assert '"class"' in outputs[0].read_text()


def test_of_one_label_the_best_class_is_the_decision(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    single = shared_chain(tmp_path_factory, single=True)
    outputs = [tmp_path_factory.mktemp("single-decided") / name for name in ("decided", "top")]
    predict(Predict(images=photos, run=single.run(), format="csv", decide=True, output=outputs[0]))
    predict(Predict(images=photos, run=single.run(), format="csv", top=1, output=outputs[1]))
    assert outputs[0].read_text() == outputs[1].read_text()
    assert len(outputs[0].read_text().splitlines()) == 1 + len(NAMES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wide": True}, "--wide has a column for each class; pass --format csv or jsonl"),
        ({"decide": True, "threshold": 0.5}, "--decide takes thresholds of its own; leave out --threshold"),
        ({"decide": True}, "does not tell of its data set, .*; pass --threshold, or leave out --decide"),
    ],
)
def test_what_decides_nothing_is_refused(chain: Chain, photos: Path, options: dict, message: str) -> None:
    with pytest.raises(NlcliError, match=message):
        predict(Predict(images=photos, run=chain.backbone, **options))


# --- in parts --------------------------------------------------------------------------------


def test_a_killed_command_goes_on(
    chain: Chain, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Two images a part: the first part survives, and is not scored again; another picture begins anew."""
    import importlib

    import nlcli.networks.image_batches

    module = importlib.import_module("nlcli.evaluation.predict")
    whole, seen, last = nlcli.networks.image_batches.iterate_images, [], [1]

    def counting(sources, *args):
        if len(seen) == last[0]:
            raise KeyboardInterrupt
        seen.append([path.name for path in sources])
        yield from whole(sources, *args)

    monkeypatch.setattr(module, "PART", 2)
    at_once, output = tmp_path / "at-once.csv", tmp_path / "scores.csv"
    predict(Predict(images=photos, run=chain.backbone, format="csv", output=at_once))
    monkeypatch.setattr(nlcli.networks.image_batches, "iterate_images", counting)
    config = Predict(images=photos, run=chain.backbone, format="csv", output=output)
    with pytest.raises(KeyboardInterrupt):
        predict(config)
    assert not output.exists()
    assert (tmp_path / "scores.csv.partial").is_dir()

    last[0] = 99
    assert predict(config) == {"images": 4, "errors": 1}
    assert seen == [["a.jpg", "b.JPG"], ["broken.jpg", "c.png"], ["d.jpg"]]
    said = capsys.readouterr().err
    assert "going on with what is finished" in said
    assert f"scores of 4 images: {output}" in " ".join(said.split())
    assert output.read_text() == at_once.read_text()
    assert not (tmp_path / "scores.csv.partial").exists()

    seen.clear()
    last[0] = 2
    with pytest.raises(KeyboardInterrupt):
        predict(config)
    shutil.copy(photos / "c.png", photos / "a.jpg")
    last[0] = 99
    predict(config)
    assert [len(part) for part in seen] == [2, 2, 2, 2, 1]
    assert "is of other images or options; it is begun again" in capsys.readouterr().err
    assert output.read_text() != at_once.read_text()


def test_auto_goes_on_with_the_engine_that_it_began_with(
    chain: Chain, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import importlib

    import nlcli.networks.image_batches
    from nlcli.networks import engine_choice

    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    module = importlib.import_module("nlcli.evaluation.predict")
    whole, left = nlcli.networks.image_batches.iterate_images, [1]

    def dying(sources, *args):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        yield from whole(sources, *args)

    monkeypatch.setattr(module, "PART", 2)
    monkeypatch.setattr(engine_choice, "choose_engine", lambda *_: "onnxruntime")
    monkeypatch.setattr(nlcli.networks.image_batches, "iterate_images", dying)
    config = Predict(
        images=photos, run=chain.backbone, format="jsonl", wide=True, output=tmp_path / "s.jsonl", engine_cpu="auto"
    )
    with pytest.raises(KeyboardInterrupt):
        predict(config)
    assert read_json(tmp_path / "s.jsonl.partial/recipe.json")["config"]["engine_cpu"] == "onnxruntime"

    left[0] = 99
    monkeypatch.setattr(engine_choice, "choose_engine", lambda *_: pytest.fail("chosen again"))
    assert predict(config) == {"images": 4, "errors": 1}
    assert "going on with what is finished" in capsys.readouterr().err
    expected = scores_of(chain, photos)
    for line in map(json.loads, config.output.read_text().splitlines()):
        if "error" not in line:
            assert line["scores"] == pytest.approx(expected[line["image"]], abs=1e-5)


def test_parts_of_somebody_else_are_left_alone(chain: Chain, photos: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "scores.csv.partial"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")
    with pytest.raises(NlcliError, match="holds files that nlcli did not make"):
        predict(Predict(images=photos, run=chain.backbone, output=tmp_path / "scores.csv"))
    assert (theirs / "thesis.txt").read_text() == "mine"
    (tmp_path / "folder").mkdir()
    with pytest.raises(NlcliError, match="it is a folder; choose another --output"):
        predict(Predict(images=photos, run=chain.backbone, output=tmp_path / "folder"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "linked").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "linked"):
        with pytest.raises(
            NlcliError, match="pipe: it is a pipe or a device; leave out --output, and scores are printed"
        ):
            predict(Predict(images=photos, run=chain.backbone, output=tmp_path / name))
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("named", ["in the folder", "itself", "without an ending"])
def test_a_picture_is_not_replaced_by_scores(named: str, chain: Chain, photos: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(photos, tmp_path / "copy")
    picture = next(path for path in sorted(folder.rglob("*")) if path.suffix == ".png" and path.stat().st_size > 100)
    if named == "without an ending":
        picture = picture.rename(picture.with_suffix(""))
    before, images = picture.read_bytes(), folder if named == "in the folder" else picture
    with pytest.raises(NlcliError, match="is a picture, and scores would take its place; choose another --output"):
        predict(Predict(images=images, run=chain.backbone, output=picture))
    assert picture.read_bytes() == before


def test_images_of_which_none_can_be_read_are_a_failure(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(NlcliError, match="none of the 1 images could be read; their rows tell why"):
        predict(Predict(images=tmp_path / "text.jpg", run=chain.backbone))
    assert "text.jpg  error: not an image in a known format" in capsys.readouterr().out


def test_a_terminal_is_told_no_escape_sequences(
    chain: Chain, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into a pipe names are as they are; a terminal would obey what they hold."""
    (photos / "a.jpg").rename(photos / "a\x1b[31m.jpg")
    config = Predict(images=photos, run=chain.backbone, format="csv", top=1)
    predict(config)
    assert "a\x1b[31m.jpg,1," in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    predict(config)
    printed = capsys.readouterr().out
    assert "a?[31m.jpg,1," in printed
    assert "\x1b" not in printed
    assert printed.count("\n") == 6


def test_counts_as_json(chain: Chain, photos: Path, tmp_path: Path) -> None:
    command = ["predict", str(photos), "--run", str(chain.backbone), "--json"]
    made = CliRunner().invoke(app, [*command, "--output", str(tmp_path / "scores.txt")])
    assert json.loads(made.stdout) == {"images": 4, "errors": 1}
    alone = CliRunner().invoke(app, command)
    assert "--json means something only with --output" in str(alone.exception)
