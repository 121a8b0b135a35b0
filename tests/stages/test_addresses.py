"""Addresses where paths are wanted are told what to do; what only looks like one is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.errors import NlcliError
from nlcli.stages.addresses import refuse_address
from nlcli.stages.commands import commands
from nlcli.stages.config import options_of
from nlcli.stages.options import shape_of
from nlcli.stages.pipeline import read_pipeline


@pytest.mark.parametrize(
    ("address", "written", "told"),
    [
        ("s3://bucket/photos", False, "or copy it first: aws s3 sync s3://bucket/photos photos"),
        ("s3://bucket/labels.csv", False, "or copy it first: aws s3 cp s3://bucket/labels.csv labels.csv"),
        ("s3://bucket/runs/mine", True, "then copy what it made: aws s3 sync mine s3://bucket/runs/mine"),
        ("s3://bucket/it's", True, """aws s3 sync 'it'"'"'s' 's3://bucket/it'"'"'s'"""),
        ("gs://bucket/photos", False, "gcloud storage cp --recursive gs://bucket/photos ."),
        ("gs://bucket/runs/mine", True, "gcloud storage cp --recursive mine gs://bucket/runs/"),
        ("gs://bucket", True, "gcloud storage cp --recursive bucket gs://bucket"),
        ("hdfs://node:9000/photos", False, "mount the store (rclone mount), or copy it first"),
        ("memory://x", True, "memory://x is an address, and nlcli writes on disks"),
        ("https://a.org/b.csv", False, "download it first, and give where it lies"),
        ("file:///data/my%20photos", False, "give the path /data/my photos"),
    ],
)
def test_each_kind_is_told_what_to_do(address: str, written: bool, told: str) -> None:
    for path, given in ((True, Path(address)), (False, address)):
        with pytest.raises(NlcliError) as failure:
            refuse_address(given, "--this", path=path, written=written)
        assert str(failure.value).startswith("--this ")
        assert told in str(failure.value)


def test_others_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("hub:hf://google/vit", "onnx:/models/a.onnx", "timm:resnet18", "imagenet", "a: b"):
        refuse_address(text, "--backbone", path=False)
    for path in (
        "onnx:/models/a.onnx",
        "hub:/models/vit",
        "timm:resnet18",
        "C:/photos",
        "photos/s3:/a",
        "/s3:/a",
        ".",
        None,
    ):
        refuse_address(None if path is None else Path(path), "--images", path=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos:" / "cat").mkdir(parents=True)
    refuse_address(Path("photos:/cat"), "--images", path=True)


_GIVEN = {"one": Path("there.html"), "several": (Path("there.html"),), "groups": {"A": (Path("there.html"),)}}
_ADDRESS = Path("s3://bucket/x.html")
_ADDRESSES = {"one": _ADDRESS, "several": (_ADDRESS,), "groups": {"A": (_ADDRESS,)}}


@pytest.mark.parametrize("command", commands())
def test_every_path_of_every_command_is_looked_at(command: str) -> None:
    model = commands()[command].config_class()
    fields = model.model_fields
    paths = [field for field in options_of(model) if shape_of(fields[field]).item is Path]
    others = {name: _GIVEN[shape_of(field).kind] for name, field in fields.items() if field.is_required()}
    for field in paths:
        given = {**others, field: _ADDRESSES[shape_of(fields[field]).kind]}
        given = {name: value if shape_of(fields[name]).item is Path else "mlflow" for name, value in given.items()}
        with pytest.raises(NlcliError, match="s3://bucket/x.html is an address"):
            model(**given)


def test_a_pipeline_file_says_whose_work_directory_it_is(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("workdir: s3://bucket/work\nstages: [{run: build-digits}]\n")
    with pytest.raises(NlcliError, match=r"p\.yaml: workdir s3://bucket/work is an address"):
        read_pipeline(file)
    with pytest.raises(NlcliError, match="--workdir gs://bucket/work is an address"):
        read_pipeline(file, Path("gs://bucket/work"))
