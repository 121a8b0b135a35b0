"""Options of the stages that make data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from nlcli.data.class_names import Spelling
from nlcli.stages.config import Decode, EngineCpu, Precision, Split, StageConfig
from nlcli.stages.options import Address, Devices, EngineName, InferenceBatch, Option, Output, Workers

Scaling = Literal["raw", "unit", "tf", "caffe"]

# Options that several stages have.
AllowMissing = Annotated[
    float,
    Option(
        "Share of the listed images that may be missing on disk; they are left out.",
        panel="Data",
        role="runtime",
        ge=0,
        le=1,
    ),
]
Classifier = Annotated[str, Option("Registered network, saved backbone, or .keras file.", panel="Labels", role="input")]
ClassifierWeights = Annotated[
    str, Option("'imagenet', or a weights file for a registered network.", panel="Labels", role="input")
]
ClassifierClasses = Annotated[
    Path | None, Option("Class names of a .keras classifier, one a line.", panel="Labels", role="input")
]
ClassifierScaling = Annotated[
    Scaling | None,
    Option(
        "Pixels a .keras classifier takes: 0 to 255, [0, 1], [-1, 1], or BGR minus mean (default: found out).",
        panel="Labels",
    ),
]
CheckContents = Annotated[
    bool,
    Option(
        "Record and compare what every picture holds, not only its size and time.",
        panel="Data",
        role="runtime",
        since="0.2.0",
    ),
]
DrawFrom = Annotated[
    Literal["checked", "all"],
    Option(
        "Images that validation and test are drawn from where some are checked: these, or all (measured is only what is "
        "checked).",
        panel="Data",
        since="0.2.0",
    ),
]
Kept = Annotated[int, Option("Predictions kept for every image.", panel="Labels", ge=1, le=1000)]
ForwardPrecision = Annotated[Precision, Option("Arithmetic of the forward pass.", panel="Machine")]
_SIDES = {"scenes": 96, "single": 32, "pile": 32, "scene-pile": 96}


class BuildDigits(StageConfig):
    """Write the embedded data: scenes of digits with COCO annotations, single digits in folders, or piles of either."""

    output: Output
    kind: Annotated[
        Literal["scenes", "single", "pile", "scene-pile"],
        Option(
            "Several digits an image, for build-coco; one, for build-folders; or a pile of pictures with bad labels and a "
            "few checked ones, of one digit or of several each, for clean.",
            panel="Data",
            since="0.2.0",
        ),
    ] = "scenes"
    train_images: Annotated[int, Option("Training images to draw, or all of a pile.", panel="Data", ge=20)] = 4000
    val_images: Annotated[int, Option("Images to draw for validation and test together.", panel="Data", ge=20)] = 2600
    size: Annotated[
        int | None,
        Option(
            "Side of an image in pixels (default: 96 for scenes, 32 for single digits).", panel="Images", ge=32, le=512
        ),
    ] = Field(None, validate_default=True)
    checked: Annotated[
        float, Option("Share of a pile that a person looked at.", panel="Data", since="0.2.0", ge=0, le=1)
    ] = 0.05
    seed: Annotated[int, Option("Seed of everything random.", panel="Data", ge=0)] = 0

    @field_validator("size")
    @classmethod
    def _as_the_kind_has_it(cls, size: int | None, info: ValidationInfo) -> int | None:
        """The side is meant, given or not, so two ways of saying 96 are one recipe."""
        return size or _SIDES.get(info.data.get("kind", ""))

    @property
    def side(self) -> int:
        """Side of an image in pixels."""
        return self.size or _SIDES[self.kind]


class Annotate(StageConfig):
    """Predict the top classes of every image with a trained classifier."""

    images: Annotated[tuple[Path, ...], Option("Folders of images.", panel="Data", role="input")]
    output: Output
    classifier: Classifier = "inception_v3"
    weights: ClassifierWeights = "imagenet"
    classifier_classes: ClassifierClasses = None
    classifier_scaling: ClassifierScaling = Field(None, validate_default=True)
    keep: Kept = 20
    batch_size: InferenceBatch = 32
    precision: ForwardPrecision = "float32"
    engine_cpu: EngineCpu = "tensorflow"
    decode: Annotated[Decode, Option("JPEG decoding: full size, or reduced scale.", panel="Images")] = "exact"
    workers: Workers = 0
    engine: EngineName = "local"
    address: Address = None
    devices: Devices = 0

    @field_validator("classifier_scaling")
    @classmethod
    def _means_something_for_keras_files(cls, scaling: Scaling | None, info: ValidationInfo) -> Scaling | None:
        """Other classifiers bring their own, and the recipe of theirs stays what it always was."""
        return scaling or (None if str(info.data.get("classifier", "")).endswith(".keras") else "tf")


class BuildCoco(StageConfig):
    """Build the extended MS-COCO data set: verified labels from the annotations, noisy ones from a classifier."""

    train_images: Annotated[
        Path, Option("Folder of the training images (train2014 or train2017).", panel="Data", role="input")
    ]
    train_annotations: Annotated[Path, Option("instances_train*.json.", panel="Data", role="input")]
    val_images: Annotated[
        Path, Option("Folder of the images that become validation and test.", panel="Data", role="input")
    ]
    val_annotations: Annotated[Path, Option("instances_val*.json.", panel="Data", role="input")]
    output: Output
    class_map: Annotated[
        str, Option("Class map: a shipped one's name or a CSV file.", panel="Labels", role="input")
    ] = "imagenet-coco56"
    top_k: Annotated[int, Option("Predictions of each image that become noisy labels.", panel="Labels", ge=1)] = 8
    classifier: Classifier = "inception_v3"
    weights: ClassifierWeights = "imagenet"
    classifier_classes: ClassifierClasses = None
    classifier_scaling: ClassifierScaling = Field(None, validate_default=True)
    predictions: Annotated[
        Path | None, Option("Where predictions are kept (default: OUTPUT-predictions).", panel="Labels", role="input")
    ] = None
    keep: Kept = 20
    allow_missing: AllowMissing = 0.01
    limit: Annotated[
        int | None,
        Option("Use only so many images of either folder, drawn by the seed, for rehearsals.", panel="Data", ge=1),
    ] = None
    seed: Annotated[int, Option("Seed of the halving of val into validation and test.", panel="Data", ge=0)] = 0
    batch_size: InferenceBatch = 32
    precision: ForwardPrecision = "float32"
    engine_cpu: EngineCpu = "tensorflow"
    decode: Annotated[Decode, Option("JPEG decoding: full size, or reduced scale.", panel="Images")] = "exact"
    workers: Workers = 0

    @field_validator("classifier_scaling")
    @classmethod
    def _means_something_for_keras_files(cls, scaling: Scaling | None, info: ValidationInfo) -> Scaling | None:
        """Other classifiers bring their own, and the recipe of theirs stays what it always was."""
        return scaling or (None if str(info.data.get("classifier", "")).endswith(".keras") else "tf")


class ExtractFeatures(StageConfig):
    """Cache the pooled features of every image of a data set in HDF5."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    backbone: Annotated[
        str,
        Option(
            "Saved backbone directory, registered network, or one of another library: onnx:FILE, hub:PRESET (a name or a "
            "directory), timm:NAME or timm:NAME@FILE.",
            panel="Method",
            role="input",
        ),
    ]
    output: Output
    weights: Annotated[
        str, Option("For a registered network: 'imagenet' or a weights file.", panel="Method", role="input")
    ] = "imagenet"
    dtype: Annotated[Literal["float32", "float16"], Option("Type the features are stored in.", panel="Output")] = (
        "float32"
    )
    precision: ForwardPrecision = "float32"
    engine_cpu: EngineCpu = "tensorflow"
    image_size: Annotated[
        int | None,
        Option(
            "Side of the input (default: what the backbone was trained with, or states).",
            panel="Images",
            since="0.2.0",
            ge=16,
            le=2048,
        ),
    ] = None
    preprocessing: Annotated[
        Path | None,
        Option(
            "Of onnx: its preprocessor_config.json (default: the one beside it).",
            panel="Images",
            role="input",
            since="0.2.0",
        ),
    ] = None
    scaling: Annotated[
        Literal["raw", "unit", "tf", "caffe", "imagenet"] | None,
        Option(
            "Of onnx: without such a file: pixels 0 to 255, [0, 1], [-1, 1], BGR minus mean, or ImageNet's mean and "
            "deviation.",
            panel="Images",
            since="0.2.0",
        ),
    ] = None
    resize: Annotated[
        Literal["stretch", "crop"] | None,
        Option(
            "Of onnx: without such a file: squeeze the image into the square (default), or cut out its middle.",
            panel="Images",
            since="0.2.0",
        ),
    ] = None
    network_output: Annotated[
        str | None,
        Option("Of onnx: the output with the features, where there are several.", panel="Method", since="0.2.0"),
    ] = None
    pooling: Annotated[
        Literal["token", "average"] | None,
        Option(
            "Of onnx: and hub: that give several vectors an image: the first (hub: default), or their mean.",
            panel="Method",
            since="0.2.0",
        ),
    ] = None
    decode: Annotated[
        Decode | None, Option("JPEG decoding (default: as the backbone was trained).", panel="Images")
    ] = None
    shard_rows: Annotated[int, Option("Images in a shard.", panel="Output", ge=1)] = 8192
    batch_size: InferenceBatch = 32
    check_contents: CheckContents = False
    workers: Workers = 0
    engine: EngineName = "local"
    address: Address = None
    devices: Devices = 0


class ImportFeatures(StageConfig):
    """Make a features directory of vectors that exist already."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    source: Annotated[
        Path,
        Option(
            "The vectors: .npy, .npz, .parquet, .safetensors, .h5, or a data set directory of Hugging Face.",
            panel="Data",
            role="input",
        ),
    ]
    output: Output
    keys: Annotated[
        Path | None,
        Option(
            "Keys or paths of the rows' images where the vectors do not name them: one a line, or a table with the column "
            "key or path.",
            panel="Data",
            role="input",
        ),
    ] = None
    column: Annotated[
        str | None,
        Option(
            "The column or array of the vectors (default: the only one that fits; of Parquet also a column a number).",
            panel="Data",
        ),
    ] = None
    network: Annotated[
        str | None,
        Option("Name of what computed them: imports of the same name fit together.", panel="Method"),
    ] = None
    dtype: Annotated[Literal["float32", "float16"], Option("Type the features are stored in.", panel="Output")] = (
        "float32"
    )
    shard_rows: Annotated[int, Option("Images in a shard.", panel="Output", ge=1)] = 8192


class BuildFolders(StageConfig):
    """Build a single-label data set from folders of images, or from a table of them."""

    images: Annotated[
        Path,
        Option(
            "Folder with CLASS/ or SPLIT/CLASS/ folders; with --table, what its paths are relative to.",
            panel="Data",
            role="input",
        ),
    ]
    output: Output
    table: Annotated[
        Path | None,
        Option(
            "CSV or Parquet with path, noisy_label and, as needed, clean_label, verification, split; or an export of COCO, "
            "Label Studio or CVAT.",
            panel="Data",
            role="input",
        ),
    ] = None
    checked: Annotated[
        Path | None,
        Option(
            "Table of the images that people checked: path and label (the true class) or right (1 or 0).",
            panel="Data",
            role="input",
        ),
    ] = None
    classes: Annotated[
        Path | None,
        Option("Class names in order, one a line (default: those that occur, sorted).", panel="Data", role="input"),
    ] = None
    class_names: Annotated[
        Spelling,
        Option(
            "Names that read alike, such as Dress and dress: refused, taken as they are, or made one class.",
            panel="Labels",
            since="0.2.0",
        ),
    ] = "ask"
    verified: Annotated[
        tuple[Split, ...],
        Option("Splits whose folders name the true class; one that is drawn is as train.", panel="Labels"),
    ] = ("validation", "test")
    validation_share: Annotated[
        float, Option("Share of each class for validation, where there is none.", panel="Data", ge=0, lt=0.5)
    ] = 0.1
    test_share: Annotated[
        float, Option("Share of each class for test, where there are no splits.", panel="Data", ge=0, lt=0.5)
    ] = 0.1
    draw_from: DrawFrom = "checked"
    allow_missing: Annotated[
        float,
        Option(
            "Share of the table's images that may be missing on disk; they are left out.",
            panel="Data",
            role="runtime",
            only_with="table",
            ge=0,
            le=1,
        ),
    ] = 0.01
    limit: Annotated[
        int | None,
        Option(
            "Use only so many images of every split, drawn by the seed, for rehearsals.",
            panel="Data",
            since="0.2.0",
            ge=1,
        ),
    ] = None
    check_contents: CheckContents = False
    seed: Annotated[int, Option("Seed of the shares that are drawn.", panel="Data", ge=0)] = 0


class BuildTags(StageConfig):
    """Build a data set of images with any number of tags each, from a table or what annotation programs save."""

    table: Annotated[
        Path,
        Option(
            "CSV, Parquet or JSONL (a row an image or a tag), COCO or Label Studio JSON, CVAT XML, or a folder of images "
            "with metadata.csv, .jsonl or .parquet.",
            panel="Data",
            role="input",
        ),
    ]
    output: Output
    images: Annotated[
        Path | None,
        Option("Folder that the paths are relative to (default: that of the table).", panel="Data", role="input"),
    ] = None
    checked: Annotated[
        Path | None,
        Option(
            "What people saw on some of the images, in any of the forms of --table: present and absent, or label and right.",
            panel="Data",
            role="input",
        ),
    ] = None
    classes: Annotated[
        Path | None,
        Option("Class names in order, one a line (default: those that occur, sorted).", panel="Data", role="input"),
    ] = None
    class_names: Annotated[
        Spelling,
        Option(
            "Names that read alike, such as Dress and dress: refused, taken as they are, or made one.", panel="Labels"
        ),
    ] = "ask"
    verified_means: Annotated[
        Literal["full", "listed"] | None,
        Option(
            "What is known of a class that is not listed on a checked image: it is absent (full), or nothing (listed). "
            "Asked for where it matters.",
            panel="Labels",
        ),
    ] = None
    people: Annotated[
        Literal["noisy", "verified"] | None,
        Option(
            "What the tags of people in --table are: labels to be doubted like any other, or known to be right. Asked for "
            "where a file of Label Studio or CVAT has no others.",
            panel="Labels",
        ),
    ] = None
    validation_share: Annotated[
        float, Option("Share of the images for validation, where there is none.", panel="Data", ge=0, lt=0.5)
    ] = 0.1
    test_share: Annotated[
        float, Option("Share of the images for test, where there are no splits.", panel="Data", ge=0, lt=0.5)
    ] = 0.1
    draw_from: DrawFrom = "checked"
    allow_missing: AllowMissing = 0.01
    limit: Annotated[
        int | None,
        Option("Use only so many images of every split, drawn by the seed, for rehearsals.", panel="Data", ge=1),
    ] = None
    check_contents: CheckContents = False
    seed: Annotated[int, Option("Seed of the splits that are drawn.", panel="Data", ge=0)] = 0


class BuildClothing1M(StageConfig):
    """Build Clothing1M from its lists: a million noisy labels, 72,409 clean ones."""

    root: Annotated[
        Path,
        Option("Where it was unpacked: the lists (or annotations/ with them) and images/.", panel="Data", role="input"),
    ]
    output: Output
    allow_missing: AllowMissing = 0.01
    limit: Annotated[
        int | None,
        Option(
            "Use only so many images of every split, drawn always alike, for rehearsals.",
            panel="Data",
            since="0.2.0",
            ge=1,
        ),
    ] = None


class BuildFood101N(StageConfig):
    """Build Food-101N from its lists, tested on Food-101's test images."""

    root: Annotated[Path, Option("Food-101N_release: meta/ and images/.", panel="Data", role="input")]
    food101: Annotated[Path, Option("food-101: meta/test.txt and images/.", panel="Data", role="input")]
    output: Output
    train: Annotated[
        Literal["food-101n", "food-101"],
        Option(
            "Training images: the noisy ones, or Food-101's own clean ones, less a tenth for validation.",
            panel="Data",
            since="0.2.0",
        ),
    ] = "food-101n"
    allow_missing: AllowMissing = 0.01
    limit: Annotated[
        int | None,
        Option(
            "Use only so many images of every split, drawn always alike, for rehearsals.",
            panel="Data",
            since="0.2.0",
            ge=1,
        ),
    ] = None


class BuildWebVision(StageConfig):
    """Build WebVision 1 from its lists, or its second test set from ILSVRC 2012's validation images."""

    root: Annotated[
        Path, Option("Where it was unpacked: info/, google/, flickr/, val_images_256/.", panel="Data", role="input")
    ]
    output: Output
    sources: Annotated[
        tuple[Literal["google", "flickr"], ...], Option("Search engines whose images are train.", panel="Data")
    ] = ("google", "flickr")
    first_classes: Annotated[
        int | None, Option("Use only the first classes (50 is the usual mini-WebVision).", panel="Data", ge=2)
    ] = None
    predictions: Annotated[
        Path | None,
        Option(
            "Predictions of an ImageNet classifier for the training images (nlcli annotate), for pseudo-verification.",
            panel="Labels",
            role="input",
        ),
    ] = None
    condition: Annotated[
        str,
        Option(
            "Verified classes: none, every-image, all, dogs-118, random-N, semantic, or a file of WordNet ids.",
            panel="Labels",
        ),
    ] = "none"
    wordnet: Annotated[
        Path | None,
        Option(
            "For the condition semantic: WordNet 3.0's data.noun, or the folder that holds it.",
            panel="Labels",
            role="input",
            since="0.2.0",
        ),
    ] = None
    per_class: Annotated[int, Option("Pseudo-verified images of each verified class.", panel="Labels", ge=1)] = 250
    top_k: Annotated[
        int, Option("Predictions among which the noisy class must be to be called right.", panel="Labels", ge=1)
    ] = 5
    validation_share: Annotated[
        float, Option("Share of each class's training images held out for validation.", panel="Data", ge=0, lt=0.5)
    ] = 0.02
    ilsvrc_images: Annotated[
        Path | None,
        Option(
            "Folder of ILSVRC 2012's validation images: makes the second test set instead.", panel="Data", role="input"
        ),
    ] = None
    ilsvrc_list: Annotated[
        Path | None,
        Option(
            "ILSVRC 2012's validation list: PATH CLASS, 0-based, in the order of info/synsets.txt.",
            panel="Data",
            role="input",
        ),
    ] = None
    allow_missing: AllowMissing = 0.01
    limit: Annotated[
        int | None,
        Option(
            "Use only so many images of every split, drawn by the seed, for rehearsals.",
            panel="Data",
            since="0.2.0",
            ge=1,
        ),
    ] = None
    seed: Annotated[int, Option("Seed of what is held out and of what is verified.", panel="Data", ge=0)] = 0


class BuildOpenImages(StageConfig):
    """Build Open Images V1 from its CSV files: machine labels with confidences, human ones for a part."""

    root: Annotated[
        Path,
        Option(
            "Where it was unpacked: images_2016_08/, machine_ann_2016_08/, human_ann_2016_08/, dict.csv.",
            panel="Data",
            role="input",
        ),
    ]
    output: Output
    images: Annotated[
        Path | None,
        Option(
            "Folder with train/ and validation/ of ID.jpg (default: ROOT/images, not looked at).",
            panel="Data",
            role="input",
        ),
    ] = None
    classes: Annotated[
        Path | None,
        Option(
            "Class ids in order, one a line (default: ROOT/classes.txt, or the trainable ids of dict.csv).",
            panel="Data",
            role="input",
        ),
    ] = None
    groups: Annotated[
        Path | None,
        Option(
            "CSV of class and group, or a class hierarchy (JSON): high-level categories.", panel="Data", role="input"
        ),
    ] = None
    clean_share: Annotated[
        float, Option("Share of the validation images that becomes the clean set.", panel="Data", gt=0, lt=1)
    ] = 0.25
    validation_share: Annotated[
        float,
        Option("Share of the clean set held out for validation (0: none, as in the papers).", panel="Data", ge=0, lt=1),
    ] = 0.1
    allow_missing: AllowMissing = 0.01
    seed: Annotated[int, Option("Seed of the clean set.", panel="Data", ge=0)] = 0


class AddNoise(StageConfig):
    """Plant label noise into a data set whose true classes are known, and keep the truth."""

    dataset: Annotated[Path, Option("Data set with verified classes.", panel="Data", role="input")]
    output: Output
    kind: Annotated[
        Literal["symmetric", "pair", "matrix", "features", "co-occurrence"],
        Option(
            "Every class alike; the next class; by a matrix; by features. With several labels an image: symmetric, "
            "features, or co-occurrence (what other tags suggest).",
            panel="Method",
        ),
    ] = "symmetric"
    rate: Annotated[
        float | None,
        Option(
            "With one label an image: share of wrong labels (needed except for a matrix, which has its own).",
            panel="Method",
            ge=0,
            lt=1,
        ),
    ] = None
    drop: Annotated[
        float | None,
        Option(
            "With several labels an image: share of the true tags that go missing.",
            panel="Method",
            since="0.2.0",
            ge=0,
            le=1,
        ),
    ] = None
    add: Annotated[
        float | None,
        Option(
            "With several labels an image: wrong tags that are added for every true one.",
            panel="Method",
            since="0.2.0",
            ge=0,
            le=100,
        ),
    ] = None
    rates: Annotated[
        Path | None,
        Option(
            "With several labels an image: table of class, drop and add, for classes with rates of their own.",
            panel="Method",
            role="input",
            since="0.2.0",
        ),
    ] = None
    matrix: Annotated[
        Path | None,
        Option("CSV of true class (rows) by noisy class (columns): counts or shares.", panel="Method", role="input"),
    ] = None
    features: Annotated[
        Path | None,
        Option(
            "Features of the data set: harder images flip more, towards what they resemble.",
            panel="Method",
            role="input",
        ),
    ] = None
    sharpness: Annotated[
        float,
        Option(
            "How much more harder images flip, and how surely to the nearest class (features).",
            panel="Method",
            ge=0,
            le=20,
        ),
    ] = 3.0
    splits: Annotated[tuple[Split, ...], Option("Splits whose noisy labels are replaced.", panel="Data")] = (
        "train",
        "validation",
        "test",
    )
    verified: Annotated[
        float, Option("Part of the training images that stays verified.", panel="Labels", ge=0, le=1)
    ] = 0.1
    seed: Annotated[int, Option("Seed of the noise and of the verified part.", panel="Method", ge=0)] = 0


class HashImages(StageConfig):
    """Hashes of the images of a data set; made by the Deduplicate stage."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    output: Output
    workers: Annotated[
        int, Option("Threads that read images (0: one a core).", panel="Machine", role="runtime", ge=0)
    ] = 0
    engine: EngineName = "local"
    address: Address = None
    devices: Devices = 0


class Deduplicate(StageConfig):
    """Find near-duplicate images within and across splits, and leave them out of train."""

    dataset: Annotated[Path, Option("Data set directory.", panel="Data", role="input")]
    output: Output
    features: Annotated[
        Path | None, Option("Features of the data set: also compare their cosine.", panel="Method", role="input")
    ] = None
    hash_bits: Annotated[
        int,
        Option("Bits of 64 in which the perceptual hashes of near-duplicates may differ.", panel="Method", ge=0, le=8),
    ] = 4
    cosine: Annotated[
        float, Option("Cosine of features from which two images are near-duplicates.", panel="Method", gt=0.8, lt=1)
    ] = 0.98
    remove_from: Annotated[tuple[Split, ...], Option("Splits that images may be removed from.", panel="Method")] = (
        "train",
    )
    seed: Annotated[int, Option("Seed of the projections that find candidates.", panel="Method", ge=0)] = 0
    workers: Annotated[
        int, Option("Threads that read images (0: one a core).", panel="Machine", role="runtime", ge=0)
    ] = 0
    engine: EngineName = "local"
    address: Address = None
    devices: Devices = 0
