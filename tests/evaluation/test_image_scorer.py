"""Runs and backbones score the images that belong to them, from files or from features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nlcli.data.config import ExtractFeatures
from nlcli.data.labels import LabelTable
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Predict
from nlcli.evaluation.image_scorer import ImageNetwork, ImageScorer, open_scorer, probabilities
from nlcli.evaluation.predict import score_images
from nlcli.evaluation.score_files import read_scores
from nlcli.evaluation.scored_images import Dense
from nlcli.networks.images import Preprocessing
from nlcli.stages.stage import read_stage
from nlcli.training.config import TrainHead
from worlds.evaluated import evaluated, metrics_of
from worlds.scored_chain import Chain, published_backbone, shared_chain, table_of_squares
from worlds.stage_builders import published


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Multi-label; test image 060 is broken."""
    return shared_chain(tmp_path_factory)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory, single=True)


def test_a_backbone_is_scored_from_images_and_from_features_alike(chain: Chain) -> None:
    images = evaluated(chain.backbone, dataset=chain.dataset, output=chain.root / "from-images")
    features = evaluated(chain.backbone, features=chain.features, output=chain.root / "from-features")
    a, b = (read_scores(path / "scores.parquet") for path in (images, features))
    assert a.keys.tolist() == b.keys.tolist()
    assert isinstance(a.verified, Dense)
    assert isinstance(b.verified, Dense)
    np.testing.assert_allclose(a.verified.scores, b.verified.scores, atol=1e-5)
    assert metrics_of(images).images_left_out.count == 1


def test_classes_in_another_order_are_found_by_name(chain: Chain, tmp_path: Path) -> None:
    from nlcli.networks.weights import load_backbone, save_backbone

    last = load_backbone(chain.backbone).last_layer
    assert last is not None
    shuffled = published_backbone(tmp_path / "shuffled", ("blue", "red", "green"))
    backbone = load_backbone(shuffled)
    backbone.model.get_layer("logits").set_weights([last.kernel[:, [2, 0, 1]], last.bias[[2, 0, 1]]])
    save_backbone(shuffled, backbone)
    a = read_scores(evaluated(chain.backbone, dataset=chain.dataset, output=tmp_path / "a") / "scores.parquet")
    b = read_scores(evaluated(shuffled, dataset=chain.dataset, output=tmp_path / "b") / "scores.parquet")
    assert isinstance(a.verified, Dense)
    assert isinstance(b.verified, Dense)
    np.testing.assert_allclose(a.verified.scores, b.verified.scores, atol=1e-5)


def test_features_of_another_backbone_and_of_another_data_set(chain: Chain, single: Chain, tmp_path: Path) -> None:
    from nlcli.data.config import ExtractFeatures
    from nlcli.data.features.extract import extract_features

    other = published_backbone(tmp_path / "other", seed=3)
    features = extract_features(ExtractFeatures(dataset=chain.dataset, backbone=str(other), output=tmp_path / "f"))
    with pytest.raises(NlcliError, match="features of another backbone"):
        evaluated(chain.run(), features=features, output=tmp_path / "e")
    with pytest.raises(NlcliError, match="features of another backbone"):
        evaluated(chain.backbone, features=features, output=tmp_path / "e")
    with pytest.raises(NlcliError, match="features of another data set"):
        evaluated(chain.run(), dataset=single.dataset, output=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_unknown_score_and_score_of_a_backbone(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="unknown score 'nonsense'"):
        evaluated(chain.run(), score="nonsense", output=tmp_path / "e")
    with pytest.raises(NlcliError, match="leave out --score"):
        evaluated(chain.backbone, score="x", dataset=chain.dataset, output=tmp_path / "e")


def test_other_classes_are_refused(chain: Chain, tmp_path: Path) -> None:
    other = published_backbone(tmp_path / "other", ("red", "green"))
    with pytest.raises(NlcliError, match="it has no 'blue'"):
        evaluated(other, dataset=chain.dataset, output=tmp_path / "e")


def test_probabilities_do_not_overflow() -> None:
    logits = np.array([[1000.0, -1000.0, 0.0]], np.float32)
    np.testing.assert_allclose(probabilities(logits, "sigmoid"), [[1, 0, 0.5]])
    np.testing.assert_allclose(probabilities(logits, "softmax"), [[1, 0, 0]])
    assert probabilities(logits, "sigmoid").dtype == np.float32


# --- eval and predict ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LabelTable]:
    """A data set of JPEG files so large that the two ways of decoding them differ."""
    root = tmp_path_factory.mktemp("large")
    table = table_of_squares(root / "squares")
    for name in table.paths:
        with Image.open(root / "squares" / name) as image:
            noisy = np.random.default_rng(0).integers(-40, 40, (900, 900, 3)) + np.asarray(image.resize((900, 900)))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(root / "squares" / name, quality=90)
    return published(table, root / "dataset"), table


def predicted_and_scored(model: Path, dataset: Path, table: LabelTable, work: Path, **options: Any) -> None:
    """What ``predict`` says of the files of a data set is what ``eval`` scored its images; and was decoded as asked."""
    scored = read_scores(evaluated(model, bootstrap=0, dataset=dataset, output=work / "scored") / "scores.parquet")
    assert isinstance(scored.verified, Dense)
    scorer = open_scorer(read_stage(model))
    assert isinstance(scorer.source, ImageNetwork)
    assert scorer.source.preparation.decode == options["decode"]
    images = {str(table.keys[row]): table.image_path(int(row)) for row in table.rows("test")}
    of_files = list(
        score_images(
            scorer, list(images), [str(path) for path in images.values()], Predict(images=dataset, run=model, workers=2)
        )
    )
    assert [image.image for image in of_files] == scored.keys.tolist()
    scores = np.stack([image.scores for image in of_files if image.scores is not None])
    np.testing.assert_allclose(scores, scored.verified.scores, atol=2e-6)
    # Decoded the other way the scores would be others.
    way = {"exact": "fast", "fast": "exact"}[options["decode"]]
    turned = scorer.source.preparation.model_copy(update={"decode": way})
    other = replace(scorer, source=replace(scorer.source, preparation=turned))
    others = [
        image.scores
        for image in score_images(
            other, list(images), [str(path) for path in images.values()], Predict(images=dataset, run=model)
        )
    ]
    assert np.abs(scores - np.stack([part for part in others if part is not None])).max() > 1e-5


@pytest.mark.parametrize(("decode", "dtype"), [("exact", "float32"), ("fast", "float16")])
def test_a_run_on_features_scores_alike(
    large: tuple[Path, LabelTable], chain: Chain, tmp_path: Path, decode: Any, dtype: Any
) -> None:
    from nlcli.data.features.extract import extract_features
    from nlcli.training.train_head import train_head

    dataset, table = large
    features = extract_features(
        ExtractFeatures(
            dataset=dataset,
            backbone=str(chain.backbone),
            output=tmp_path / "features",
            decode=decode,
            dtype=dtype,
            workers=2,
        )
    )
    config = TrainHead(dataset=dataset, features=features, output=tmp_path / "run", method="noisy", steps=20)
    predicted_and_scored(train_head(config), dataset, table, tmp_path, decode=decode)


@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_a_run_from_images_scores_alike(
    large: tuple[Path, LabelTable], chain: Chain, tmp_path: Path, decode: Any
) -> None:
    from nlcli.training.train_head import train_head

    dataset, table = large
    config = TrainHead(
        dataset=dataset,
        from_images=str(chain.backbone),
        output=tmp_path / "run",
        method="noisy",
        steps=4,
        eval_every=4,
        decode=decode,
        workers=2,
    )
    predicted_and_scored(train_head(config), dataset, table, tmp_path, decode=decode)


@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_a_backbone_scores_alike(large: tuple[Path, LabelTable], tmp_path: Path, decode: Any) -> None:
    from nlcli.networks.weights import load_backbone, save_backbone

    dataset, table = large
    backbone = published_backbone(tmp_path / "backbone")
    save_backbone(backbone, load_backbone(backbone).with_decode(decode))
    predicted_and_scored(backbone, dataset, table, tmp_path, decode=decode)


@pytest.mark.parametrize("with_head", [False, True])
def test_images_for_which_the_network_gives_no_numbers_are_errors(with_head: bool, tmp_path: Path) -> None:
    """Of five pictures the second is none, the third gives NaN and the fifth infinity."""
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        Image.new("L", (4, 4), 10 * int(path.stem)).save(path)
    paths[1].write_bytes(b"none")
    values = {0: (0.25, 0.75), 20: (np.nan, 0.5), 30: (1.0, 0.0), 40: (0.5, np.inf)}

    def infer(images: np.ndarray) -> np.ndarray:
        return np.array([values[int(image[0, 0, 0])] for image in images], np.float32)

    source = ImageNetwork(Preprocessing(size=32, scaling="unit"), infer)
    head = (lambda features: features[:, ::-1]) if with_head else None
    scorer = ImageScorer(tmp_path, "made", ("a", "b"), "made", source, head)
    batches = list(scorer.score_files(paths, batch_size=5))
    assert [batch.positions.tolist() for batch in batches] == [[0, 3]]
    expected = np.array([[0.25, 0.75], [1, 0]], np.float32)
    np.testing.assert_array_equal(batches[0].scores, expected[:, ::-1] if with_head else expected)
    if with_head:
        np.testing.assert_array_equal(batches[0].features, expected)
    reasons = dict(batches[0].errors)
    assert sorted(reasons) == [1, 2, 4]
    assert reasons[2] == reasons[4] == "the network gives NaN or infinity for it"


def test_stored_features_are_no_image_files(chain: Chain) -> None:
    from nlcli.data.features.store import FeatureStore

    scorer = open_scorer(read_stage(chain.backbone), FeatureStore(chain.features))
    with pytest.raises(TypeError, match="scores stored features"):
        next(scorer.score_files([chain.root / "squares" / "001.jpg"]))
