"""Configurations: what an option states decides the recipe, the command line and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest

from nlcli.cleaning.config import CleanDataset
from nlcli.data.config import BuildDigits, BuildFolders, BuildFood101N
from nlcli.detection import DETECTORS
from nlcli.detection.config import DetectNoise
from nlcli.errors import NlcliError
from nlcli.evaluation.config import Evaluate, Table
from nlcli.methods import METHODS
from nlcli.stages.commands import commands
from nlcli.stages.config import StageConfig, field_names
from nlcli.stages.options import Option, Output, Shape, read_groups, read_pairs, shape_of
from nlcli.training.config import PretrainBackbone, TrainHead

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


@pytest.mark.parametrize(
    ("config", "values", "told"),
    [
        (PretrainBackbone, {"scale": "inf"}, "option 'scale': expected a finite number (given: inf)"),
        (PretrainBackbone, {"learning_rate": "1e400"}, "option 'learning_rate': expected a finite number (given: inf)"),
        (PretrainBackbone, {"memory": float("inf")}, "option 'memory': expected a finite number"),
        (DetectNoise, {"threshold": "nan"}, "option 'threshold': expected a finite number (given: nan)"),
        (TrainHead, {"seed": 10**23}, "option 'seed': expected a number up to 9,007,199,254,740,992 (given: 1000"),
        (PretrainBackbone, {"scale": 1e308}, "option 'scale': expected a number up to 9,007,199,254,740,992"),
        (PretrainBackbone, {"image_size": 10**9}, "option 'image_size': input should be less than or equal to 2048"),
        (PretrainBackbone, {"steps": True}, "option 'steps': expected a number (given: yes, on or true)"),
        (PretrainBackbone, {"seed": False}, "option 'seed': expected a number (given: no, off or false)"),
        (PretrainBackbone, {"flip": False}, "yes, no, on and off are true and false in YAML: put the word in quotes"),
        (PretrainBackbone, {1: 2, "no": 3}, "unknown option '1'"),
    ],
)
def test_numbers_that_nothing_can_be_counted_to_are_refused(
    config: type[StageConfig], values: dict[Any, Any], told: str
) -> None:
    features = {"features": "f"} if "features" in config.model_fields else {}
    with pytest.raises(NlcliError) as refused:
        config.parse({"dataset": "d", "output": "o", **features, **values})
    assert told in str(refused.value)


def test_options_of_methods_and_detectors_are_numbers_that_can_be_counted_to() -> None:
    for catalogue, name, option, value in (
        (METHODS, "noisy", "steps", True),
        (METHODS, "noisy", "weight_decay", float("inf")),
        (METHODS, "noisy", "steps", 10**20),
        (DETECTORS, "knn", "neighbours", True),
    ):
        with pytest.raises(NlcliError, match=f"{name}: option '{option}': expected a"):
            catalogue.configure(name, {option: value})


def _some(shape: Shape) -> Any:
    """A value of that shape."""
    one = get_args(shape.item)[0] if get_origin(shape.item) is Literal else "x.html"
    return {"one": one, "several": (one,), "pairs": {"x": one}, "groups": {"x": (one,)}}[shape.kind]


def test_every_number_of_every_command_is_finite() -> None:
    """Whatever its own limits: no command takes infinity, what is no number, or more than can be counted."""
    for command in commands().values():
        model = command.config_class()
        required = {name: _some(shape_of(f)) for name, f in model.model_fields.items() if f.is_required()}
        for name, field in model.model_fields.items():
            kind = shape_of(field).item
            for value in ("inf", "nan", "1e400") if kind is float else (10**40,) if kind is int else ():
                with pytest.raises(NlcliError, match=name.replace("_", "[_-]")):
                    model.parse({**required, name: value})


def test_fine_tuning_on_a_part_of_the_clean_set_does_not_decay() -> None:
    """FT-W never decays by the clean set's epochs, which at 5 % would end it after a twentieth of the steps."""
    whole = {"dataset": "d", "output": "o", "labels": "verified"}
    assert PretrainBackbone.parse({**whole, "clean_fraction": "0.05"}).recipe()["decay"] == 1.0
    assert PretrainBackbone.parse({**whole, "clean_fraction": 0.05, "decay": 0.9}).decay == 0.9
    assert PretrainBackbone.parse(whole).decay == 0.9  # GT, whose epochs are those of all images
    assert PretrainBackbone.parse({"dataset": "d", "output": "o"}).decay == 0.9
