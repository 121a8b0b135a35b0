"""Configurations: what an option states decides the recipe, the command line and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from nlcli.cleaning.config import CleanDataset
from nlcli.data.config import BuildDigits, BuildFolders, BuildFood101N
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Evaluate, Table
from nlcli.stages.config import StageConfig, field_names
from nlcli.stages.options import Option, Output, read_groups, read_pairs
from nlcli.training.config import TrainHead

OUT = Path("out")
HEAD = {
    "method": "residual",
    "options": {"alpha": 0.2},
    "preset": None,
    "clean_fraction": 1.0,
    "seed": 0,
    "steps": None,
    "scale": 1.0,
    "batch_size": None,
    "learning_rate": None,
    "eval_every": None,
    "patience": 0,
    "order": "auto",
}
IMAGES = {
    "trunk": "frozen",
    "trunk_rate": None,
    "flip": "none",
    "crop": 1.0,
    "image_size": None,
    "decode": None,
    "mixed_precision": "none",
}
FOLDERS = {"verified": ["validation", "test"], "validation_share": 0.1, "test_share": 0.1, "seed": 0}


@pytest.mark.parametrize(
    ("config", "recipe"),
    [
        (BuildDigits(output=OUT), {"train_images": 4000, "val_images": 2600, "size": 96, "seed": 0}),
        (BuildDigits(output=OUT, size=96), {"train_images": 4000, "val_images": 2600, "size": 96, "seed": 0}),
        (
            BuildDigits(output=OUT, kind="single"),
            {"kind": "single", "train_images": 4000, "val_images": 2600, "size": 32, "seed": 0},
        ),
        (BuildFolders(images=Path("photos"), output=OUT), FOLDERS),
        (BuildFolders(images=Path("photos"), output=OUT, table=Path("t.csv"), limit=5), FOLDERS | {"limit": 5}),
        (BuildFood101N(root=Path("r"), food101=Path("f"), output=OUT, allow_missing=0.5), {}),
        (BuildFood101N(root=Path("r"), food101=Path("f"), output=OUT, train="food-101"), {"train": "food-101"}),
        (Table(rows={"A": (Path("a"),)}, output=OUT), {"published": None, "deviations": []}),
        (
            Table(rows={"A": (Path("a"),)}, output=OUT, by="split", published="p", deviations=("d",)),
            {"published": "p", "by": "split", "deviations": ["d"]},
        ),
        (
            TrainHead(
                dataset=Path("d"), features=Path("f"), output=OUT, method="residual", options={"alpha": 0.2}, memory=1.0
            ),
            HEAD,
        ),
        (
            TrainHead(
                dataset=Path("d"),
                from_images="resnet50",
                output=OUT,
                method="residual",
                options={"alpha": 0.2},
                flip="none",
                workers=3,
            ),
            HEAD | IMAGES,
        ),
        (
            Evaluate(model=Path("m"), batch_size=4),
            {"split": None, "score": None, "bootstrap": 1000, "examples": 12, "precision": "float32", "seed": 0},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_0_1_0_made_stays_up_to_date(config: StageConfig, recipe: dict[str, Any]) -> None:
    """These are the recipes that its directories hold: a change here makes every one of them a different result."""
    assert config.recipe() == recipe


def test_roles() -> None:
    assert field_names(BuildFolders, "input") == {"images", "table", "classes", "checked"}
    assert field_names(BuildFolders, "runtime") == {"output", "allow_missing", "check_contents"}
    assert field_names(Evaluate, "input", "runtime") == {
        "model",
        "features",
        "dataset",
        "output",
        "batch_size",
        "workers",
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [("weights", "none"), ("trunk", "trained"), ("trunk_rate", 0.1), ("flip", "none"), ("crop", 0.5), ("workers", 2)],
)
def test_an_option_that_means_nothing_here_is_refused(option: str, value: Any) -> None:
    with pytest.raises(NlcliError) as refused:
        TrainHead.parse({"dataset": "d", "features": "f", "output": "o", option: value}, "train-head")
    flag = "--" + option.replace("_", "-")
    assert str(refused.value) == (
        f"train-head: {flag} means something only with --from-images; pass --from-images, too, or leave it out"
    )
    TrainHead.parse({"dataset": "d", "from_images": "b", "output": "o", option: value})


def test_a_directory_is_taken_where_a_name_is_text() -> None:
    assert TrainHead.parse({"dataset": "d", "from_images": Path("b/c"), "output": "o"}).from_images == "b/c"


@pytest.mark.parametrize("name", ["from", "precision-of"])
def test_an_option_that_has_another_name_on_the_command_line(name: str) -> None:
    told = {
        "from": "clean-labels: unknown option 'from'; what is --from on the command line is 'source' here",
        "precision-of": "clean-labels: unknown option 'precision-of'; did you mean 'precision'?",
    }
    with pytest.raises(NlcliError) as refused:
        CleanDataset.parse({"dataset": "d", name: "r", "output": "o"}, "clean-labels")
    assert str(refused.value) == told[name]


def test_a_field_says_what_it_is() -> None:
    with pytest.raises(TypeError, match=r"Silent\.size: the field has no Option"):

        class Silent(StageConfig):
            output: Output
            size: int = 3

    with pytest.raises(TypeError, match=r"Alone\.size: unknown option 'rows'"):

        class Alone(StageConfig):
            output: Output
            size: Annotated[int, Option("Size.", only_with="rows")] = 3

    with pytest.raises(TypeError, match=r"Strange\.sizes: no option can have the type"):

        class Strange(StageConfig):
            output: Output
            sizes: Annotated[set[int], Option("Sizes.")]


def test_pairs() -> None:
    assert read_pairs("--set", ["alpha=0.2", "name=a=b", "many=[1, 2]"]) == {
        "alpha": 0.2,
        "name": "a=b",
        "many": [1, 2],
    }
    assert read_groups("--row", ["A=a", "B = x=b", "A=c"]) == {"A": ["a", "c"], "B = x": ["b"]}
    for mistaken in ("alpha", "=3", "alpha=[", "day=2001-13-41"):
        with pytest.raises(NlcliError, match=r"--set .*(expected NAME=VALUE|not valid YAML)"):
            read_pairs("--set", [mistaken])
    for mistaken in ("A", "=a", "A="):
        with pytest.raises(NlcliError, match=r"--row .*expected NAME=VALUE, such as --row"):
            read_groups("--row", [mistaken])


def test_the_home_folder_is_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    config = BuildFolders.parse({"images": Path("~/photos"), "output": "~/out"})
    assert (config.images, config.output) == (tmp_path / "photos", tmp_path / "out")
    assert BuildFolders.parse({"images": "~photos", "output": "a~/b"}).output == Path("a~/b")
    (tmp_path / "~" / "photos").mkdir(parents=True)  # a folder of that name is meant
    assert BuildFolders.parse({"images": "~/photos", "output": "b"}).images == Path("~/photos")
