"""Frozen configuration of every stage: the one place where an option has a name and a default.

The command line is generated from these models (a field's description is its help text), the
pipeline files are validated against them, and ``recipe()`` is what a stage directory remembers.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nlcli.errors import NlcliError

Precision = Literal["float32", "bfloat16", "float16", "auto"]
Split = Literal["train", "validation", "test"]


class StageConfig(BaseModel):
    """Base of every stage's configuration.

    ``inputs`` names the fields that are paths of things read: what counts there is their content,
    which the stage fingerprints, not where they lie. ``runtime`` names the fields that change how
    fast or where a stage runs, never what comes out. Neither kind belongs to the recipe.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    inputs: ClassVar[frozenset[str]] = frozenset()
    runtime: ClassVar[frozenset[str]] = frozenset({"output"})

    def recipe(self) -> dict[str, Any]:
        """The settings that decide the result, as JSON types."""
        left_out = self.inputs | self.runtime
        return self.model_dump(mode="json", exclude=set(left_out))

    @classmethod
    def parse(cls, values: dict[str, Any], where: str = "configuration") -> Self:
        """Validate ``values``; a mistake becomes one sentence naming the key and its neighbour."""
        unknown = sorted(set(values) - set(cls.model_fields))
        if unknown:
            raise NlcliError(f"{where}: {unknown_name(unknown[0], cls.model_fields, 'option')}")
        try:
            return cls(**values)
        except ValidationError as error:
            raise NlcliError(f"{where}: {first_problem(error)}") from error


def unknown_name(name: str, known: Any, kind: str) -> str:
    """A sentence for an unknown ``name``, with the nearest known one or the whole list."""
    names = sorted(str(k) for k in known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
    return f"unknown {kind} '{name}'; {hint}"


def first_problem(error: ValidationError) -> str:
    """The first of the mistakes pydantic found, as a clause naming the option."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "value"
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) else ""
    if first["type"] == "missing":
        return f"option '{place}' is required"
    return f"option '{place}': {message[:1].lower()}{message[1:]}{shown}"


class BuildDigits(StageConfig):
    """Write the embedded data: scenes of handwritten digits with COCO annotations, or single digits in folders."""

    output: Path = Field(description="Directory to write.")
    kind: Literal["scenes", "single"] = Field("scenes", description="Several digits an image, for build-coco; or one, for build-folders.")
    train_images: int = Field(4000, ge=20, description="Training images to draw.")
    val_images: int = Field(2600, ge=20, description="Images to draw for validation and test together.")
    size: int | None = Field(None, ge=32, le=512, description="Side of an image in pixels (default: 96 for scenes, 32 for single digits).")
    seed: int = Field(0, ge=0, description="Seed of everything random.")

    @property
    def side(self) -> int:
        """Side of an image in pixels."""
        return self.size or (96 if self.kind == "scenes" else 32)

    def recipe(self) -> dict[str, Any]:
        """With the side that is meant; the kind only where it is not the first one there was."""
        found = super().recipe() | {"size": self.side}
        return found if self.kind != "scenes" else {name: value for name, value in found.items() if name != "kind"}


class Annotate(StageConfig):
    """Predict the top classes of every image with a trained classifier."""

    images: tuple[Path, ...] = Field(description="Folders of images.")
    output: Path = Field(description="Directory to write.")
    classifier: str = Field("inception_v3", description="Registered network, saved backbone, or .keras file.")
    weights: str = Field("imagenet", description="'imagenet', or a weights file for a registered network.")
    classifier_classes: Path | None = Field(None, description="Class names of a .keras classifier, one a line.")
    classifier_scaling: Literal["raw", "unit", "tf", "caffe"] = Field("tf", description="Pixels a .keras classifier takes: 0 to 255, [0, 1], [-1, 1], or BGR minus mean.")
    keep: int = Field(20, ge=1, le=1000, description="Predictions kept for every image.")
    batch_size: int = Field(32, ge=1, description="Images in a forward pass.")
    precision: Precision = Field("float32", description="Arithmetic of the forward pass.")
    decode: Literal["exact", "fast"] = Field("exact", description="JPEG decoding: full size, or reduced scale.")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"images", "classifier", "weights", "classifier_classes"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "batch_size", "workers"})


class BuildCoco(StageConfig):
    """Build the extended MS-COCO data set: verified labels from the annotations, noisy ones from a classifier."""

    train_images: Path = Field(description="Folder of the training images (train2014 or train2017).")
    train_annotations: Path = Field(description="instances_train*.json.")
    val_images: Path = Field(description="Folder of the images that become validation and test.")
    val_annotations: Path = Field(description="instances_val*.json.")
    output: Path = Field(description="Directory to write.")
    class_map: str = Field("imagenet-coco56", description="Class map: a shipped one's name or a CSV file.")
    top_k: int = Field(8, ge=1, description="Predictions of each image that become noisy labels.")
    classifier: str = Field("inception_v3", description="Registered network, saved backbone, or .keras file.")
    weights: str = Field("imagenet", description="'imagenet', or a weights file for a registered network.")
    classifier_classes: Path | None = Field(None, description="Class names of a .keras classifier, one a line.")
    classifier_scaling: Literal["raw", "unit", "tf", "caffe"] = Field("tf", description="Pixels a .keras classifier takes: 0 to 255, [0, 1], [-1, 1], or BGR minus mean.")
    predictions: Path | None = Field(None, description="Where predictions are kept (default: OUTPUT-predictions).")
    keep: int = Field(20, ge=1, le=1000, description="Predictions kept for every image.")
    allow_missing: float = Field(0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out.")
    limit: int | None = Field(None, ge=1, description="Use only so many images of either folder, drawn by the seed, for rehearsals.")
    seed: int = Field(0, ge=0, description="Seed of the halving of val into validation and test.")
    batch_size: int = Field(32, ge=1, description="Images in a forward pass.")
    precision: Precision = Field("float32", description="Arithmetic of the forward pass.")
    decode: Literal["exact", "fast"] = Field("exact", description="JPEG decoding: full size, or reduced scale.")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset(
        {"train_images", "train_annotations", "val_images", "val_annotations", "class_map", "classifier", "weights",
         "classifier_classes", "predictions"}
    )
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing", "batch_size", "workers"})


class PretrainBackbone(StageConfig):
    """Fine-tune a whole network on noisy or verified labels; the defaults are those of Hu 2018."""

    dataset: Path = Field(description="Data set directory.")
    output: Path = Field(description="Directory to write.")
    backbone: str = Field("resnet50", description="Registered network.")
    weights: str = Field("imagenet", description="'imagenet', 'none' (from scratch), a weights file, or a saved backbone.")
    labels: Literal["noisy", "verified"] = Field("noisy", description="Labels to train on; verified is Backbone (GT) or FT-W.")
    clean_fraction: float = Field(1.0, gt=0, le=1, description="Part of the clean set used when labels are verified.")
    steps: int = Field(20_000, ge=1, description="Training steps.")
    scale: float = Field(1.0, gt=0, description="Factor on the steps, for rehearsals.")
    batch_size: int = Field(64, ge=1, description="Images in a step, of all devices together.")
    optimizer: Literal["adam", "rmsprop", "sgd"] = Field("rmsprop", description="Optimizer.")
    learning_rate: float = Field(1e-4, gt=0, description="Initial learning rate.")
    decay: float = Field(0.9, gt=0, le=1, description="Factor on the rate every decay_epochs.")
    decay_epochs: float = Field(2.0, gt=0, description="Epochs between two decays.")
    flip: Literal["none", "horizontal", "both"] = Field("both", description="Random flips.")
    crop: float = Field(1.0, gt=0.1, le=1, description="Least side of a random crop, enlarged to the input, as a part of the image's (1: no crops).")
    trainable: Literal["all", "last"] = Field("all", description="Train the whole network, or only the last layer with the rest as in inference.")
    image_size: int | None = Field(None, ge=32, description="Side of the input (default: the network's own).")
    decode: Literal["exact", "fast"] = Field("exact", description="JPEG decoding: full size, or reduced scale.")
    mixed_precision: Literal["none", "bfloat16", "float16", "auto"] = Field("none", description="Precision of the convolutions below float32; auto takes what the machine is fast at.")
    xla: bool = Field(False, description="Compile the step with XLA (one device only).")
    eval_every: int = Field(500, ge=1, description="Steps between validations.")
    patience: int = Field(0, ge=0, description="Validations without improvement before stopping (0: never).")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    devices: int = Field(0, ge=0, description="GPUs that share each batch (0: all of this machine).")
    memory: float | None = Field(None, gt=0, description="GiB that decoded images may take; more are decoded as they are needed (default: half of what is free).")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "weights"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "devices", "memory", "workers"})


class ExtractFeatures(StageConfig):
    """Cache the pooled features of every image of a data set in HDF5."""

    dataset: Path = Field(description="Data set directory.")
    backbone: str = Field(description="Saved backbone directory, or a registered network.")
    output: Path = Field(description="Directory to write.")
    weights: str = Field("imagenet", description="For a registered network: 'imagenet' or a weights file.")
    dtype: Literal["float32", "float16"] = Field("float32", description="Type the features are stored in.")
    precision: Precision = Field("float32", description="Arithmetic of the forward pass.")
    decode: Literal["exact", "fast"] | None = Field(None, description="JPEG decoding (default: as the backbone was trained).")
    shard_rows: int = Field(8192, ge=1, description="Images in a shard.")
    batch_size: int = Field(32, ge=1, description="Images in a forward pass.")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "backbone", "weights"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "batch_size", "workers"})


class TrainHead(StageConfig):
    """Train a head with a few clean labels and many noisy ones: on cached features, or from images."""

    dataset: Path = Field(description="Data set directory.")
    output: Path = Field(description="Directory to write.")
    features: Path | None = Field(None, description="Features directory of that data set.")
    from_images: str | None = Field(None, description="Instead of features: a saved backbone or registered network to put the head on.")
    method: str = Field("residual", description="Method; 'nlcli methods' lists them.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the method (see its card), such as alpha=0.2.")
    preset: str | None = Field(None, description="A paper's settings, such as coco or open-images.")
    init: Path | None = Field(None, description="Run of a linear head to start from instead of the backbone's last layer.")
    detection: Path | None = Field(None, description="Detection whose scores weight the noisy labels, for methods such as cleannet.")
    clean_fraction: float = Field(1.0, gt=0, le=1, description="Part of the verified training images used as clean set; smaller parts lie within larger ones.")
    seed: int = Field(0, ge=0, description="Seed of the clean set, the initial weights and the batches.")
    steps: int | None = Field(None, ge=1, description="Training steps (default: the method's).")
    scale: float = Field(1.0, gt=0, description="Factor on the steps of every phase, for rehearsals of long presets.")
    batch_size: int | None = Field(None, ge=2, description="Rows in a step (default: the method's).")
    learning_rate: float | None = Field(None, gt=0, description="Learning rate (default: the method's).")
    eval_every: int | None = Field(None, ge=1, description="Steps between validations (default: a fortieth of the steps).")
    patience: int = Field(0, ge=0, description="Validations without improvement before stopping (0: never).")
    order: Literal["auto", "shuffled", "block-shuffled"] = Field("auto", description="Order of rows: auto shuffles freely when features fit in memory, blocks when not.")
    memory: float | None = Field(None, gt=0, description="GiB that features or images may take; more are read as needed (default: half of what is free).")
    weights: str = Field("imagenet", description="From images, for a registered network: 'imagenet', 'none', a weights file, or a saved backbone.")
    trunk: Literal["frozen", "trained"] = Field("frozen", description="From images: the network runs as in inference, or is trained along with the head.")
    trunk_rate: float | None = Field(None, gt=0, description="Learning rate of a trained network (default: 1e-4, or that of a method that trains all of it).")
    flip: Literal["none", "horizontal", "both"] = Field("both", description="From images: random flips.")
    crop: float = Field(1.0, gt=0.1, le=1, description="From images: least side of a random crop, enlarged, as a part of the image's (1: no crops).")
    image_size: int | None = Field(None, ge=32, description="From images: side of the input (default: the network's own).")
    decode: Literal["exact", "fast"] | None = Field(None, description="From images: JPEG decoding (default: as the backbone was trained).")
    mixed_precision: Literal["none", "bfloat16", "float16", "auto"] = Field("none", description="From images: precision of the convolutions below float32.")
    workers: int = Field(0, ge=0, description="From images: decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "features", "from_images", "weights", "init", "detection"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "memory", "workers"})
    image_options: ClassVar[frozenset[str]] = frozenset(
        {"weights", "trunk", "trunk_rate", "flip", "crop", "image_size", "decode", "mixed_precision", "workers"}
    )

    def recipe(self) -> dict[str, Any]:
        """Without the settings that mean nothing on features."""
        found = super().recipe()
        return found if self.from_images is not None else {k: v for k, v in found.items() if k not in self.image_options}


class DetectNoise(StageConfig):
    """Tell the wrong noisy labels of a single-label data set from the right ones."""

    dataset: Path = Field(description="Data set directory.")
    features: Path = Field(description="Features directory of that data set.")
    output: Path = Field(description="Directory to write.")
    method: str = Field("cleannet", description="Detector: naive, mlp, knn, svm, label-propagation, label-spreading, classification-filter, drae, average, cleannet or confident-learning.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the detector (see its card), such as neighbours=5.")
    hold_out: int | None = Field(None, ge=1, description="Classes, drawn by the seed, whose verification is withheld; those of a smaller number are among them.")
    hold_out_classes: Path | None = Field(None, description="Instead: a file of the classes whose verification is withheld, one a line.")
    use_held_out: bool = Field(False, description="Use the verification of the held-out classes all the same, and only report on them apart.")
    classifier: Path | None = Field(None, description="Run whose predictions classification-filter takes (default: the features' own last layer, or a classifier trained on the noisy labels).")
    clean_fraction: float = Field(1.0, gt=0, le=1, description="Part of the verified training images whose verification is used.")
    threshold: float | None = Field(None, description="Score from which a label is right (default: chosen on validation).")
    scale: float = Field(1.0, gt=0, description="Factor on the steps of detectors that train a network, for rehearsals.")
    class_images: int = Field(20_000, ge=100, description="Most images of a class to fit on at a time; more are drawn by the seed.")
    suspects: int = Field(48, ge=0, le=500, description="Training images in the picture of the worst labels.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "features", "hold_out_classes", "classifier"})


class Evaluate(StageConfig):
    """Score a run or a backbone on a split, or measure a detection of label noise."""

    model: Path = Field(description="Run, backbone or detection directory.")
    output: Path | None = Field(None, description="Directory to write (default: MODEL-SPLIT).")
    split: Split | None = Field(None, description="Split to score (default: test; a detection was measured on test, or else on validation).")
    features: Path | None = Field(None, description="Features (default: those of the run; a backbone, or a run from images, reads images without any).")
    dataset: Path | None = Field(None, description="Data set (default: that of the run, or of the features).")
    score: str | None = Field(None, description="Which of the method's scores (default: the method's own choice).")
    bootstrap: int = Field(1000, ge=0, description="Bootstrap resamples over images (0: no intervals).")
    examples: int = Field(12, ge=0, le=100, description="Examples with their top predictions.")
    precision: Precision = Field("float32", description="Arithmetic of a backbone that reads images.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap and of the choice of examples.")
    batch_size: int = Field(32, ge=1, description="Images in a forward pass, for a backbone that reads images.")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"model", "features", "dataset"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "batch_size", "workers"})


class Predict(StageConfig):
    """Score a folder of images with a trained head and its backbone."""

    images: Path = Field(description="Image file or folder.")
    run: Path = Field(description="Run or backbone directory.")
    backbone: Path | None = Field(None, description="Backbone directory (default: the run's own, or the one its features came from).")
    format: Literal["table", "csv", "jsonl"] = Field("table", description="Output format.")
    output: Path | None = Field(None, description="File to write (default: standard output).")
    top: int = Field(5, ge=1, description="Classes shown for each image.")
    threshold: float | None = Field(None, ge=0, le=1, description="Show classes from this probability on instead of the top ones.")
    batch_size: int = Field(32, ge=1, description="Images in a forward pass.")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")


class Compare(StageConfig):
    """Set evaluations side by side."""

    evaluations: tuple[Path, ...] = Field(description="Evaluation directories.")
    output: Path = Field(description="Directory to write.")
    bootstrap: int | None = Field(None, ge=0, description="Bootstrap resamples, 0 for none (default: as in the first evaluation).")
    seed: int | None = Field(None, ge=0, description="Seed of the bootstrap (default: as in the first evaluation).")

    inputs: ClassVar[frozenset[str]] = frozenset({"evaluations"})


class Analyse(StageConfig):
    """Break a comparison down by category, class frequency and annotation quality."""

    evaluations: tuple[Path, ...] = Field(description="Evaluation directories; the first one's model is the baseline.")
    output: Path = Field(description="Directory to write.")
    dataset: Path | None = Field(None, description="Data set (default: that of the first evaluation).")
    groups: int = Field(10, ge=2, le=100, description="Groups of classes by frequency and by quality; fewer where a group would hold one class.")
    examples: int = Field(6, ge=0, le=50, description="Images with the top predictions of all models.")
    bootstrap: int | None = Field(None, ge=0, description="Bootstrap resamples, 0 for none (default: as in the first evaluation).")
    seed: int | None = Field(None, ge=0, description="Seed of the bootstrap and of the choice of examples (default: as in the first evaluation).")

    inputs: ClassVar[frozenset[str]] = frozenset({"evaluations", "dataset"})


class Table(StageConfig):
    """Set evaluations beside a paper's published table."""

    rows: dict[str, tuple[Path, ...]] = Field(description="Evaluations of a row, as NAME=DIRECTORY; several for a row are its seeds and its columns.")
    output: Path = Field(description="Directory to write.")
    published: str | None = Field(None, description="Published table, such as hu2018-table2 (default: none, only what was measured).")
    by: Literal["clean_fraction", "dataset", "split", "held_out", "none"] | None = Field(None, description="What the columns go by (default: as the published table's, or the part of the clean set).")
    deviations: tuple[str, ...] = Field((), description="What was done otherwise than in the paper, a sentence each.")

    inputs: ClassVar[frozenset[str]] = frozenset({"rows"})

    def recipe(self) -> dict[str, Any]:
        """Without ``by`` where it is the table's own."""
        found = super().recipe()
        return {name: value for name, value in found.items() if name != "by" or value is not None}

    @field_validator("rows", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, rows: Any) -> Any:
        if not isinstance(rows, dict):
            return rows
        return {name: [paths] if isinstance(paths, str | Path) else paths for name, paths in rows.items()}


class BuildListed(StageConfig):
    """What the builders of single-label data sets share: fewer images for a rehearsal."""

    def recipe(self) -> dict[str, Any]:
        """Without a limit that there is none of: whole data sets are what they were before limits."""
        return {name: value for name, value in super().recipe().items() if name != "limit" or value is not None}


class BuildFolders(BuildListed):
    """Build a single-label data set from folders of images, or from a table of them."""

    images: Path = Field(description="Folder with CLASS/ or SPLIT/CLASS/ folders; with --table, what its paths are relative to.")
    output: Path = Field(description="Directory to write.")
    table: Path | None = Field(None, description="CSV or Parquet with path, noisy_label and, as needed, clean_label, verification, split.")
    classes: Path | None = Field(None, description="Class names in order, one a line (default: those that occur, sorted).")
    verified: tuple[Split, ...] = Field(("validation", "test"), description="Splits in which the folder's name is the true class.")
    validation_share: float = Field(0.1, ge=0, lt=0.5, description="Share of each class for validation, where there is none.")
    test_share: float = Field(0.1, ge=0, lt=0.5, description="Share of each class for test, where there are no splits.")
    allow_missing: float = Field(0.01, ge=0, le=1, description="Share of the table's images that may be missing on disk; they are left out.")
    limit: int | None = Field(None, ge=1, description="Use only so many images of every split, drawn by the seed, for rehearsals.")
    seed: int = Field(0, ge=0, description="Seed of the shares that are drawn.")

    inputs: ClassVar[frozenset[str]] = frozenset({"images", "table", "classes"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})


class BuildClothing1M(BuildListed):
    """Build Clothing1M from its lists: a million noisy labels, 72,409 clean ones."""

    root: Path = Field(description="Where it was unpacked: the lists (or annotations/ with them) and images/.")
    output: Path = Field(description="Directory to write.")
    allow_missing: float = Field(0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out.")
    limit: int | None = Field(None, ge=1, description="Use only so many images of every split, drawn always alike, for rehearsals.")

    inputs: ClassVar[frozenset[str]] = frozenset({"root"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})


class BuildFood101N(BuildListed):
    """Build Food-101N from its lists, tested on Food-101's test images."""

    root: Path = Field(description="Food-101N_release: meta/ and images/.")
    food101: Path = Field(description="food-101: meta/test.txt and images/.")
    output: Path = Field(description="Directory to write.")
    train: Literal["food-101n", "food-101"] = Field("food-101n", description="Training images: the noisy ones, or Food-101's own clean ones, less a tenth for validation.")
    allow_missing: float = Field(0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out.")
    limit: int | None = Field(None, ge=1, description="Use only so many images of every split, drawn always alike, for rehearsals.")

    inputs: ClassVar[frozenset[str]] = frozenset({"root", "food101"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})

    def recipe(self) -> dict[str, Any]:
        """Without what it has always been."""
        return {name: value for name, value in super().recipe().items() if name != "train" or value != "food-101n"}


class BuildWebVision(BuildListed):
    """Build WebVision 1 from its lists, or its second test set from ILSVRC 2012's validation images."""

    root: Path = Field(description="Where it was unpacked: info/, google/, flickr/, val_images_256/.")
    output: Path = Field(description="Directory to write.")
    sources: tuple[Literal["google", "flickr"], ...] = Field(("google", "flickr"), description="Search engines whose images are train.")
    first_classes: int | None = Field(None, ge=2, description="Use only the first classes (50 is the usual mini-WebVision).")
    predictions: Path | None = Field(None, description="Predictions of an ImageNet classifier for the training images (nlcli annotate), for pseudo-verification.")
    condition: str = Field("none", description="Verified classes: none, every-image, all, dogs-118, random-N, or a file of WordNet ids.")
    per_class: int = Field(250, ge=1, description="Pseudo-verified images of each verified class.")
    top_k: int = Field(5, ge=1, description="Predictions among which the noisy class must be to be called right.")
    validation_share: float = Field(0.02, ge=0, lt=0.5, description="Share of each class's training images held out for validation.")
    ilsvrc_images: Path | None = Field(None, description="Folder of ILSVRC 2012's validation images: makes the second test set instead.")
    ilsvrc_list: Path | None = Field(None, description="ILSVRC 2012's validation list: PATH CLASS, 0-based, in the order of info/synsets.txt.")
    allow_missing: float = Field(0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out.")
    limit: int | None = Field(None, ge=1, description="Use only so many images of every split, drawn by the seed, for rehearsals.")
    seed: int = Field(0, ge=0, description="Seed of what is held out and of what is verified.")

    inputs: ClassVar[frozenset[str]] = frozenset({"root", "predictions", "ilsvrc_images", "ilsvrc_list"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})


class BuildOpenImages(StageConfig):
    """Build Open Images V1 from its CSV files: machine labels with confidences, human ones for a part."""

    root: Path = Field(description="Where it was unpacked: images_2016_08/, machine_ann_2016_08/, human_ann_2016_08/, dict.csv.")
    output: Path = Field(description="Directory to write.")
    images: Path | None = Field(None, description="Folder with train/ and validation/ of ID.jpg (default: ROOT/images, not looked at).")
    classes: Path | None = Field(None, description="Class ids in order, one a line (default: ROOT/classes.txt, or the trainable ids of dict.csv).")
    groups: Path | None = Field(None, description="CSV of class and group, or a class hierarchy (JSON): high-level categories.")
    clean_share: float = Field(0.25, gt=0, lt=1, description="Share of the validation images that becomes the clean set.")
    validation_share: float = Field(0.1, ge=0, lt=1, description="Share of the clean set held out for validation (0: none, as in the papers).")
    allow_missing: float = Field(0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out.")
    seed: int = Field(0, ge=0, description="Seed of the clean set.")

    inputs: ClassVar[frozenset[str]] = frozenset({"root", "images", "classes", "groups"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})


class AddNoise(StageConfig):
    """Plant label noise into a data set whose true classes are known, and keep the truth."""

    dataset: Path = Field(description="Single-label data set with verified classes.")
    output: Path = Field(description="Directory to write.")
    kind: Literal["symmetric", "pair", "matrix", "features"] = Field("symmetric", description="Any other class alike; the next class; by a matrix; by features.")
    rate: float | None = Field(None, ge=0, lt=1, description="Share of wrong labels (needed except for a matrix, which has its own).")
    matrix: Path | None = Field(None, description="CSV of true class (rows) by noisy class (columns): counts or shares.")
    features: Path | None = Field(None, description="Features of the data set: harder images flip more, towards what they resemble.")
    sharpness: float = Field(3.0, ge=0, le=20, description="How much more harder images flip, and how surely to the nearest class (features).")
    splits: tuple[Split, ...] = Field(("train", "validation", "test"), description="Splits whose noisy labels are replaced.")
    verified: float = Field(0.1, ge=0, le=1, description="Part of the training images that stays verified.")
    seed: int = Field(0, ge=0, description="Seed of the noise and of the verified part.")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "matrix", "features"})


class HashImages(StageConfig):
    """Hashes of the images of a data set; made by the Deduplicate stage."""

    dataset: Path
    output: Path
    workers: int = 0

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "workers"})


class Deduplicate(StageConfig):
    """Find near-duplicate images within and across splits, and leave them out of train."""

    dataset: Path = Field(description="Data set directory.")
    output: Path = Field(description="Directory to write: the report and the filtered data set.")
    features: Path | None = Field(None, description="Features of the data set: also compare their cosine.")
    hash_bits: int = Field(4, ge=0, le=8, description="Bits of 64 in which the perceptual hashes of near-duplicates may differ.")
    cosine: float = Field(0.98, gt=0.8, lt=1, description="Cosine of features from which two images are near-duplicates.")
    remove_from: tuple[Split, ...] = Field(("train",), description="Splits that images may be removed from.")
    seed: int = Field(0, ge=0, description="Seed of the projections that find candidates.")
    workers: int = Field(0, ge=0, description="Threads that read images (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "features"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "workers"})
