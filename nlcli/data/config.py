"""Options of the stages that make data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from nlcli.stages.config import Precision, Split, StageConfig


class BuildDigits(StageConfig):
    """Write the embedded data: scenes of handwritten digits with COCO annotations, or single digits in folders."""

    output: Path = Field(description="Directory to write.")
    kind: Literal["scenes", "single"] = Field(
        "scenes", description="Several digits an image, for build-coco; or one, for build-folders."
    )
    train_images: int = Field(4000, ge=20, description="Training images to draw.")
    val_images: int = Field(2600, ge=20, description="Images to draw for validation and test together.")
    size: int | None = Field(
        None, ge=32, le=512, description="Side of an image in pixels (default: 96 for scenes, 32 for single digits)."
    )
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
    classifier_scaling: Literal["raw", "unit", "tf", "caffe"] = Field(
        "tf", description="Pixels a .keras classifier takes: 0 to 255, [0, 1], [-1, 1], or BGR minus mean."
    )
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
    classifier_scaling: Literal["raw", "unit", "tf", "caffe"] = Field(
        "tf", description="Pixels a .keras classifier takes: 0 to 255, [0, 1], [-1, 1], or BGR minus mean."
    )
    predictions: Path | None = Field(None, description="Where predictions are kept (default: OUTPUT-predictions).")
    keep: int = Field(20, ge=1, le=1000, description="Predictions kept for every image.")
    allow_missing: float = Field(
        0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out."
    )
    limit: int | None = Field(
        None, ge=1, description="Use only so many images of either folder, drawn by the seed, for rehearsals."
    )
    seed: int = Field(0, ge=0, description="Seed of the halving of val into validation and test.")
    batch_size: int = Field(32, ge=1, description="Images in a forward pass.")
    precision: Precision = Field("float32", description="Arithmetic of the forward pass.")
    decode: Literal["exact", "fast"] = Field("exact", description="JPEG decoding: full size, or reduced scale.")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset(
        {
            "train_images",
            "train_annotations",
            "val_images",
            "val_annotations",
            "class_map",
            "classifier",
            "weights",
            "classifier_classes",
            "predictions",
        }
    )
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing", "batch_size", "workers"})


class ExtractFeatures(StageConfig):
    """Cache the pooled features of every image of a data set in HDF5."""

    dataset: Path = Field(description="Data set directory.")
    backbone: str = Field(description="Saved backbone directory, or a registered network.")
    output: Path = Field(description="Directory to write.")
    weights: str = Field("imagenet", description="For a registered network: 'imagenet' or a weights file.")
    dtype: Literal["float32", "float16"] = Field("float32", description="Type the features are stored in.")
    precision: Precision = Field("float32", description="Arithmetic of the forward pass.")
    decode: Literal["exact", "fast"] | None = Field(
        None, description="JPEG decoding (default: as the backbone was trained)."
    )
    shard_rows: int = Field(8192, ge=1, description="Images in a shard.")
    batch_size: int = Field(32, ge=1, description="Images in a forward pass.")
    workers: int = Field(0, ge=0, description="Decoding threads (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "backbone", "weights"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "batch_size", "workers"})


class BuildListed(StageConfig):
    """What the builders of single-label data sets share: fewer images for a rehearsal."""

    def recipe(self) -> dict[str, Any]:
        """Without a limit that there is none of: whole data sets are what they were before limits."""
        return {name: value for name, value in super().recipe().items() if name != "limit" or value is not None}


class BuildFolders(BuildListed):
    """Build a single-label data set from folders of images, or from a table of them."""

    images: Path = Field(
        description="Folder with CLASS/ or SPLIT/CLASS/ folders; with --table, what its paths are relative to."
    )
    output: Path = Field(description="Directory to write.")
    table: Path | None = Field(
        None, description="CSV or Parquet with path, noisy_label and, as needed, clean_label, verification, split."
    )
    classes: Path | None = Field(
        None, description="Class names in order, one a line (default: those that occur, sorted)."
    )
    verified: tuple[Split, ...] = Field(
        ("validation", "test"), description="Splits in which the folder's name is the true class."
    )
    validation_share: float = Field(
        0.1, ge=0, lt=0.5, description="Share of each class for validation, where there is none."
    )
    test_share: float = Field(0.1, ge=0, lt=0.5, description="Share of each class for test, where there are no splits.")
    allow_missing: float = Field(
        0.01, ge=0, le=1, description="Share of the table's images that may be missing on disk; they are left out."
    )
    limit: int | None = Field(
        None, ge=1, description="Use only so many images of every split, drawn by the seed, for rehearsals."
    )
    seed: int = Field(0, ge=0, description="Seed of the shares that are drawn.")

    inputs: ClassVar[frozenset[str]] = frozenset({"images", "table", "classes"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})


class BuildClothing1M(BuildListed):
    """Build Clothing1M from its lists: a million noisy labels, 72,409 clean ones."""

    root: Path = Field(description="Where it was unpacked: the lists (or annotations/ with them) and images/.")
    output: Path = Field(description="Directory to write.")
    allow_missing: float = Field(
        0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out."
    )
    limit: int | None = Field(
        None, ge=1, description="Use only so many images of every split, drawn always alike, for rehearsals."
    )

    inputs: ClassVar[frozenset[str]] = frozenset({"root"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})


class BuildFood101N(BuildListed):
    """Build Food-101N from its lists, tested on Food-101's test images."""

    root: Path = Field(description="Food-101N_release: meta/ and images/.")
    food101: Path = Field(description="food-101: meta/test.txt and images/.")
    output: Path = Field(description="Directory to write.")
    train: Literal["food-101n", "food-101"] = Field(
        "food-101n",
        description="Training images: the noisy ones, or Food-101's own clean ones, less a tenth for validation.",
    )
    allow_missing: float = Field(
        0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out."
    )
    limit: int | None = Field(
        None, ge=1, description="Use only so many images of every split, drawn always alike, for rehearsals."
    )

    inputs: ClassVar[frozenset[str]] = frozenset({"root", "food101"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})

    def recipe(self) -> dict[str, Any]:
        """Without what it has always been."""
        return {name: value for name, value in super().recipe().items() if name != "train" or value != "food-101n"}


class BuildWebVision(BuildListed):
    """Build WebVision 1 from its lists, or its second test set from ILSVRC 2012's validation images."""

    root: Path = Field(description="Where it was unpacked: info/, google/, flickr/, val_images_256/.")
    output: Path = Field(description="Directory to write.")
    sources: tuple[Literal["google", "flickr"], ...] = Field(
        ("google", "flickr"), description="Search engines whose images are train."
    )
    first_classes: int | None = Field(
        None, ge=2, description="Use only the first classes (50 is the usual mini-WebVision)."
    )
    predictions: Path | None = Field(
        None,
        description="Predictions of an ImageNet classifier for the training images (nlcli annotate), for pseudo-verification.",
    )
    condition: str = Field(
        "none", description="Verified classes: none, every-image, all, dogs-118, random-N, or a file of WordNet ids."
    )
    per_class: int = Field(250, ge=1, description="Pseudo-verified images of each verified class.")
    top_k: int = Field(5, ge=1, description="Predictions among which the noisy class must be to be called right.")
    validation_share: float = Field(
        0.02, ge=0, lt=0.5, description="Share of each class's training images held out for validation."
    )
    ilsvrc_images: Path | None = Field(
        None, description="Folder of ILSVRC 2012's validation images: makes the second test set instead."
    )
    ilsvrc_list: Path | None = Field(
        None, description="ILSVRC 2012's validation list: PATH CLASS, 0-based, in the order of info/synsets.txt."
    )
    allow_missing: float = Field(
        0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out."
    )
    limit: int | None = Field(
        None, ge=1, description="Use only so many images of every split, drawn by the seed, for rehearsals."
    )
    seed: int = Field(0, ge=0, description="Seed of what is held out and of what is verified.")

    inputs: ClassVar[frozenset[str]] = frozenset({"root", "predictions", "ilsvrc_images", "ilsvrc_list"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})


class BuildOpenImages(StageConfig):
    """Build Open Images V1 from its CSV files: machine labels with confidences, human ones for a part."""

    root: Path = Field(
        description="Where it was unpacked: images_2016_08/, machine_ann_2016_08/, human_ann_2016_08/, dict.csv."
    )
    output: Path = Field(description="Directory to write.")
    images: Path | None = Field(
        None, description="Folder with train/ and validation/ of ID.jpg (default: ROOT/images, not looked at)."
    )
    classes: Path | None = Field(
        None,
        description="Class ids in order, one a line (default: ROOT/classes.txt, or the trainable ids of dict.csv).",
    )
    groups: Path | None = Field(
        None, description="CSV of class and group, or a class hierarchy (JSON): high-level categories."
    )
    clean_share: float = Field(
        0.25, gt=0, lt=1, description="Share of the validation images that becomes the clean set."
    )
    validation_share: float = Field(
        0.1, ge=0, lt=1, description="Share of the clean set held out for validation (0: none, as in the papers)."
    )
    allow_missing: float = Field(
        0.01, ge=0, le=1, description="Share of the listed images that may be missing on disk; they are left out."
    )
    seed: int = Field(0, ge=0, description="Seed of the clean set.")

    inputs: ClassVar[frozenset[str]] = frozenset({"root", "images", "classes", "groups"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "allow_missing"})


class AddNoise(StageConfig):
    """Plant label noise into a data set whose true classes are known, and keep the truth."""

    dataset: Path = Field(description="Single-label data set with verified classes.")
    output: Path = Field(description="Directory to write.")
    kind: Literal["symmetric", "pair", "matrix", "features"] = Field(
        "symmetric", description="Any other class alike; the next class; by a matrix; by features."
    )
    rate: float | None = Field(
        None, ge=0, lt=1, description="Share of wrong labels (needed except for a matrix, which has its own)."
    )
    matrix: Path | None = Field(
        None, description="CSV of true class (rows) by noisy class (columns): counts or shares."
    )
    features: Path | None = Field(
        None, description="Features of the data set: harder images flip more, towards what they resemble."
    )
    sharpness: float = Field(
        3.0,
        ge=0,
        le=20,
        description="How much more harder images flip, and how surely to the nearest class (features).",
    )
    splits: tuple[Split, ...] = Field(
        ("train", "validation", "test"), description="Splits whose noisy labels are replaced."
    )
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
    hash_bits: int = Field(
        4, ge=0, le=8, description="Bits of 64 in which the perceptual hashes of near-duplicates may differ."
    )
    cosine: float = Field(
        0.98, gt=0.8, lt=1, description="Cosine of features from which two images are near-duplicates."
    )
    remove_from: tuple[Split, ...] = Field(("train",), description="Splits that images may be removed from.")
    seed: int = Field(0, ge=0, description="Seed of the projections that find candidates.")
    workers: int = Field(0, ge=0, description="Threads that read images (0: one a core).")

    inputs: ClassVar[frozenset[str]] = frozenset({"dataset", "features"})
    runtime: ClassVar[frozenset[str]] = frozenset({"output", "workers"})
