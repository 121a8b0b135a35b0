"""What stages make with several workers is what they make alone, byte for byte."""

from __future__ import annotations

import csv
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nlcli.data.annotate import annotate
from nlcli.data.config import Annotate, Deduplicate, ExtractFeatures, HashImages
from nlcli.data.derived import image_hashes
from nlcli.data.derived.deduplicate import deduplicate
from nlcli.data.features.extract import extract_features
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Predict
from nlcli.evaluation.predict import predict
from nlcli.stages.config import StageConfig
from worlds.scored_chain import Chain, shared_chain, table_of_squares
from worlds.stage_builders import published

annotating = importlib.import_module("nlcli.data.annotate")  # ``nlcli.annotate`` is the stage's function
predicting = importlib.import_module("nlcli.evaluation.predict")

ENGINES: tuple[dict[str, Any], ...] = ({"devices": 2}, {"engine": "ray", "devices": 2})


def contents(directory: Path, pattern: str) -> dict[str, bytes]:
    """The files of a directory."""
    found = {file.relative_to(directory).as_posix(): file.read_bytes() for file in directory.rglob(pattern)}
    assert len(found) > 1
    return found


def test_hashes_by_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is opened for them, so they are the stage that always shows it."""
    monkeypatch.setattr(image_hashes, "PART", 30)
    dataset = published(table_of_squares(tmp_path / "squares"), tmp_path / "dataset")
    (tmp_path / "squares/003.jpg").unlink()
    made = [
        deduplicate(Deduplicate(dataset=dataset, output=tmp_path / name, **engine))
        for name, engine in (("here", {}), ("there", ENGINES[0]))
    ]
    hashes = [contents(output.with_name(f"{output.name}-hashes"), "hashes-*.parquet") for output in made]
    assert len(hashes[0]) == 3
    assert hashes[1] == hashes[0]


@pytest.mark.parametrize("kind", [Annotate, Deduplicate, ExtractFeatures, HashImages, Predict])
def test_who_does_it_is_no_part_of_the_recipe(kind: type[StageConfig]) -> None:
    """What one engine began, another one goes on with."""
    given = {"images": ("i",) if kind is Annotate else "i", "dataset": "d", "backbone": "b", "run": "r", "output": "o"}
    given = {name: value for name, value in given.items() if name in kind.model_fields}
    other = {"engine": "ray", "address": "auto", "devices": 3}
    assert kind.parse(given | other).recipe() == kind.parse(given).recipe()


def test_a_table_for_the_terminal_has_one_writer(tmp_path: Path) -> None:
    with pytest.raises(NlcliError, match="several workers write a file together; pass --output"):
        predict(Predict(images=tmp_path, run=tmp_path, devices=2))


# --- with networks ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return shared_chain(tmp_path_factory)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One that this process is in already: every stage takes it, and leaves it as it was."""
    ray = pytest.importorskip("ray")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=128 << 20)
    yield
    assert ray.is_initialized()
    ray.shutdown()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES, ids=("processes", "ray"))
def test_features(engine: dict[str, Any], chain: Chain, cluster: None, tmp_path: Path) -> None:
    made = [
        extract_features(
            ExtractFeatures(
                dataset=chain.dataset, backbone=str(chain.backbone), output=tmp_path / name, shard_rows=24, **how
            )
        )
        for name, how in (("here", {}), ("there", engine))
    ]
    assert contents(made[1], "*.h5") == contents(made[0], "*.h5")
    assert (made[1] / "index.parquet").read_bytes() == (made[0] / "index.parquet").read_bytes()


@pytest.mark.slow
def test_hashes_by_ray(cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the pictures, and what comes of them: which images went, and what is left; one cannot be read, three are alike."""
    monkeypatch.setattr(image_hashes, "PART", 30)
    dataset = published(table_of_squares(tmp_path / "squares"), tmp_path / "dataset")
    squares = tmp_path / "squares"
    (squares / "003.jpg").unlink()
    for copy in ("010.jpg", "050.jpg"):  # in shards of different workers
        (squares / copy).write_bytes((squares / "000.jpg").read_bytes())
    made = [
        deduplicate(Deduplicate(dataset=dataset, output=tmp_path / name, **engine))
        for name, engine in (("here", {}), ("there", ENGINES[1]))
    ]
    hashes = [contents(output.with_name(f"{output.name}-hashes"), "hashes-*.parquet") for output in made]
    assert len(hashes[0]) == 3
    assert hashes[1] == hashes[0]
    for pattern in ("*.csv", "*.parquet"):
        assert contents(made[1], pattern) == contents(made[0], pattern)
    with open(made[0] / "removed.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES, ids=("processes", "ray"))
def test_predictions(
    engine: dict[str, Any], chain: Chain, cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "PART", 24)
    texts = []
    for name, how in (("here", {}), ("there", engine)):
        output = tmp_path / f"{name}.csv"
        config = Predict(images=chain.root / "squares", run=chain.run(), format="csv", output=output, **how)
        assert predict(config) == {"images": 79, "errors": 1}
        texts.append(output.read_bytes())
    assert texts[1] == texts[0]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES, ids=("processes", "ray"))
def test_annotations(
    engine: dict[str, Any], chain: Chain, cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotating, "PART_IMAGES", 24)
    made = [
        annotate(
            Annotate(
                images=(chain.root / "squares",), classifier=str(chain.backbone), output=tmp_path / name, keep=2, **how
            )
        )
        for name, how in (("here", {}), ("there", engine))
    ]
    assert contents(made[1], "part-*.parquet") == contents(made[0], "part-*.parquet")
