"""Options of the whole way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from nlcli.cleaning.config import Policy
from nlcli.data.class_names import Spelling
from nlcli.data.exports import Format
from nlcli.stages.config import StageConfig
from nlcli.stages.options import Option


class CleanPile(StageConfig):
    """From a pile of pictures with bad labels to cleaned labels, a classifier, and a page that tells of both."""

    photos: Annotated[
        Path,
        Option(
            "Folder of the pictures; without --labels, its folders are the labels. With --answers, what nlcli clean made "
            "of them before.",
            panel="Data",
            role="input",
            place="argument",
        ),
    ]
    output: Annotated[Path, Option("Directory for all that is made.", panel="Output", short="-o")]
    labels: Annotated[
        Path | None,
        Option(
            "Table of the labels: path and label (a row a label), or path and noisy (a row an image, tags with | "
            "between).",
            panel="Data",
            role="input",
        ),
    ] = None
    checked: Annotated[
        Path | None,
        Option(
            "Table of the images that people checked: path and label, or path and present.", panel="Data", role="input"
        ),
    ] = None
    answers: Annotated[
        tuple[Path, ...],
        Option(
            "Answers to what the clean before asked, such as its to-check/answers.csv filled in: clean again with them.",
            panel="Data",
            role="input",
        ),
    ] = ()
    task: Annotated[
        Literal["auto", "single-label", "multi-label"],
        Option("Whether an image has one label or several; auto tells by the table.", panel="Labels"),
    ] = "auto"
    verified_means: Annotated[
        Literal["full", "listed"] | None,
        Option(
            "Of several labels: what is known of a tag that is not listed on a checked image. It is wrong (full), or "
            "nothing (listed).",
            panel="Labels",
        ),
    ] = None
    class_names: Annotated[
        Spelling,
        Option(
            "Names that read alike, such as Dress and dress: refused, taken as they are, or made one.", panel="Labels"
        ),
    ] = "ask"
    features: Annotated[
        Path | None,
        Option(
            "Vectors of the images that exist already, instead of a network's: whatever import-features takes.",
            panel="Data",
            role="input",
        ),
    ] = None
    keys: Annotated[
        Path | None,
        Option(
            "Paths of the images that the rows of these vectors are of, one a line, where they do not say it.",
            panel="Data",
            role="input",
            only_with="features",
        ),
    ] = None
    backbone: Annotated[
        str,
        Option(
            "What makes features: registered network, saved backbone, hub:PRESET, timm:NAME or timm:NAME@FILE.",
            panel="Images",
        ),
    ] = "mobilenet_v2"
    weights: Annotated[
        str,
        Option(
            "For a registered network: 'imagenet', a weights file, or 'none' to train it on the noisy labels first.",
            panel="Images",
            role="input",
        ),
    ] = "imagenet"
    image_size: Annotated[
        int | None,
        Option("Side of the input of a network trained here (default: its own).", panel="Images", ge=32, le=2048),
    ] = None
    pretrain_steps: Annotated[int, Option("Steps of a network trained here.", panel="Images", ge=1)] = 2000
    duplicates: Annotated[
        Literal["leave-out", "keep"],
        Option("Near-duplicates of other pictures: left out of training, or kept.", panel="Images"),
    ] = "leave-out"
    detector: Annotated[str, Option("How wrong labels are told; 'nlcli detectors' lists them.", panel="Method")] = (
        "auto"
    )
    method: Annotated[str, Option("How the classifier is trained; 'nlcli methods' lists them.", panel="Method")] = (
        "auto"
    )
    policy: Annotated[
        Policy,
        Option(
            "Only list proposals (suggest), correct labels (fix), or only take wrong ones away (drop).", panel="Labels"
        ),
    ] = "fix"
    precision: Annotated[float, Option("Share of the changes that shall be right.", panel="Labels", ge=0, lt=1)] = 0.8
    max_changes: Annotated[
        float, Option("Most labels of a class that may change, as a share of them.", panel="Labels", ge=0, le=1)
    ] = 0.8
    check_next: Annotated[int, Option("Images that are chosen to be checked next.", panel="Labels", ge=1)] = 200
    export: Annotated[
        tuple[Format, ...], Option("Also write the cleaned labels for other programs.", panel="Output")
    ] = ()
    thumbnails: Annotated[int, Option("Most pictures on the page.", panel="Output", ge=12, le=300)] = 60
    seed: Annotated[int, Option("Seed of everything random.", panel="Method", ge=0)] = 0
    jobs: Annotated[
        int,
        Option(
            "Processes for stages that do not need each other (0: by the machine).",
            panel="Machine",
            role="runtime",
            ge=0,
        ),
    ] = 0
    plan_only: Annotated[
        bool, Option("Write the pipeline and run nothing.", panel="Output", role="runtime", flag="--dry-run")
    ] = False
    force: Annotated[bool, Option("Replace what was made with other settings.", panel="Output", role="runtime")] = False
