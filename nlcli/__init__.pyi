"""What ``nlcli`` offers, as editors and type checkers read it. Made by ``make docs``; a test checks it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nlcli.data.features.store import FeatureStore as FeatureStore
from nlcli.data.label_files import read_dataset as read_dataset
from nlcli.data.labels import LabelTable as LabelTable
from nlcli.data.labels import choose_clean as choose_clean
from nlcli.errors import NlcliError as NlcliError
from nlcli.estimators.classifier import NoisyLabelClassifier as NoisyLabelClassifier
from nlcli.estimators.noise_detector import LabelNoiseDetector as LabelNoiseDetector
from nlcli.interface import StrPath
from nlcli.registry import register as register
from nlcli.stages.stage import StageRecord as StageRecord
from nlcli.stages.stage import read_stage as read_stage
from nlcli.training.saved_head import Head as Head
from nlcli.training.saved_head import load_head as load_head
from nlcli.version import __version__ as __version__

__all__ = [
    "FeatureStore",
    "Head",
    "LabelNoiseDetector",
    "LabelTable",
    "NlcliError",
    "NoisyLabelClassifier",
    "StageRecord",
    "__version__",
    "add_noise",
    "analyse",
    "annotate",
    "build_clothing1m",
    "build_coco",
    "build_digits",
    "build_folders",
    "build_food101n",
    "build_openimages",
    "build_tags",
    "build_webvision",
    "choose_clean",
    "clean",
    "clean_labels",
    "compare",
    "deduplicate",
    "detect_noise",
    "evaluate",
    "export_model",
    "extract_features",
    "import_features",
    "import_verification",
    "import_weights",
    "load_head",
    "predict",
    "pretrain_backbone",
    "read_dataset",
    "read_stage",
    "register",
    "report",
    "restore_labels",
    "suggest",
    "table",
    "track",
    "train_head",
    "tune",
]

def clean(
    *,
    photos: StrPath,
    output: StrPath,
    labels: StrPath | None = None,
    checked: StrPath | None = None,
    answers: Sequence[StrPath] = (),
    task: Literal["auto", "single-label", "multi-label"] = "auto",
    verified_means: Literal["full", "listed"] | None = None,
    class_names: Literal["ask", "keep", "merge"] = "ask",
    features: StrPath | None = None,
    keys: StrPath | None = None,
    backbone: str = "mobilenet_v2",
    weights: StrPath = "imagenet",
    image_size: int | None = None,
    pretrain_steps: int = 2000,
    duplicates: Literal["leave-out", "keep"] = "leave-out",
    detector: str = "auto",
    method: str = "auto",
    policy: Literal["suggest", "fix", "drop"] = "fix",
    precision: float = 0.8,
    max_changes: float = 0.8,
    check_next: int = 200,
    export: Sequence[Literal["csv", "parquet", "coco", "imagefolder", "labelstudio", "cvat", "fiftyone"]] = (),
    thumbnails: int = 60,
    seed: int = 0,
    jobs: int = 0,
    plan_only: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """From a pile of pictures with bad labels to cleaned labels, a classifier, and a page that tells of both.

    The same as ``nlcli clean`` on the command line.

    Args:
        photos: Folder of the pictures; without --labels, its folders are the labels. With --answers, what nlcli
            clean made of them before.
        output: Directory for all that is made.
        labels: Table of the labels: path and label (a row a label), or path and noisy (a row an image, tags with |
            between).
        checked: Table of the images that people checked: path and label, or path and present.
        answers: Answers to what the clean before asked, such as its to-check/answers.csv filled in: clean again
            with them.
        task: Whether an image has one label or several; auto tells by the table.
        verified_means: Of several labels: what is known of a tag that is not listed on a checked image. It is wrong
            (full), or nothing (listed).
        class_names: Names that read alike, such as Dress and dress: refused, taken as they are, or made one.
        features: Vectors of the images that exist already, instead of a network's: whatever import-features takes.
        keys: Paths of the images that the rows of these vectors are of, one a line, where they do not say it. Only
            with features.
        backbone: What makes features: registered network, saved backbone, hub:PRESET, timm:NAME or timm:NAME@FILE.
        weights: For a registered network: 'imagenet', a weights file, or 'none' to train it on the noisy labels
            first.
        image_size: Side of the input of a network trained here (default: its own).
        pretrain_steps: Steps of a network trained here.
        duplicates: Near-duplicates of other pictures: left out of training, or kept.
        detector: How wrong labels are told; 'nlcli detectors' lists them.
        method: How the classifier is trained; 'nlcli methods' lists them.
        policy: Only list proposals (suggest), correct labels (fix), or only take wrong ones away (drop).
        precision: Share of the changes that shall be right.
        max_changes: Most labels of a class that may change, as a share of them.
        check_next: Images that are chosen to be checked next.
        export: Also write the cleaned labels for other programs.
        thumbnails: Most pictures on the page.
        seed: Seed of everything random.
        jobs: Processes for stages that do not need each other (0: by the machine).
        plan_only: Write the pipeline and run nothing.
        force: Replace what was made with other settings.

    Raises:
        NlcliError: what the command line would print.
    """

def build_folders(
    *,
    images: StrPath,
    output: StrPath,
    table: StrPath | None = None,
    checked: StrPath | None = None,
    classes: StrPath | None = None,
    class_names: Literal["ask", "keep", "merge"] = "ask",
    verified: Sequence[Literal["train", "validation", "test"]] = ("validation", "test"),
    validation_share: float = 0.1,
    test_share: float = 0.1,
    draw_from: Literal["checked", "all"] = "checked",
    allow_missing: float = 0.01,
    limit: int | None = None,
    check_contents: bool = False,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Build a single-label data set from folders of images or a table of them.

    The same as ``nlcli build-folders`` on the command line.

    Args:
        images: Folder with CLASS/ or SPLIT/CLASS/ folders; with --table, what its paths are relative to.
        output: Directory to write.
        table: CSV or Parquet with path, noisy_label and, as needed, clean_label, verification, split; or an export
            of COCO, Label Studio or CVAT.
        checked: Table of the images that people checked: path and label (the true class) or right (1 or 0).
        classes: Class names in order, one a line (default: those that occur, sorted).
        class_names: Names that read alike, such as Dress and dress: refused, taken as they are, or made one class.
        verified: Splits whose folders name the true class; one that is drawn is as train.
        validation_share: Share of each class for validation, where there is none.
        test_share: Share of each class for test, where there are no splits.
        draw_from: Images that validation and test are drawn from where some are checked: these, or all (measured is
            only what is checked).
        allow_missing: Share of the table's images that may be missing on disk; they are left out. Only with table.
        limit: Use only so many images of every split, drawn by the seed, for rehearsals.
        check_contents: Record and compare what every picture holds, not only its size and time.
        seed: Seed of the shares that are drawn.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def build_tags(
    *,
    table: StrPath,
    output: StrPath,
    images: StrPath | None = None,
    checked: StrPath | None = None,
    classes: StrPath | None = None,
    class_names: Literal["ask", "keep", "merge"] = "ask",
    verified_means: Literal["full", "listed"] | None = None,
    people: Literal["noisy", "verified"] | None = None,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    draw_from: Literal["checked", "all"] = "checked",
    allow_missing: float = 0.01,
    limit: int | None = None,
    check_contents: bool = False,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Build a data set of images with any number of tags each, from tables and annotation files.

    The same as ``nlcli build-tags`` on the command line.

    Args:
        table: CSV, Parquet or JSONL (a row an image or a tag), COCO or Label Studio JSON, CVAT XML, or a folder of
            images with metadata.csv, .jsonl or .parquet.
        output: Directory to write.
        images: Folder that the paths are relative to (default: that of the table).
        checked: What people saw on some of the images, in any of the forms of --table: present and absent, or label
            and right.
        classes: Class names in order, one a line (default: those that occur, sorted).
        class_names: Names that read alike, such as Dress and dress: refused, taken as they are, or made one.
        verified_means: What is known of a class that is not listed on a checked image: it is absent (full), or
            nothing (listed). Asked for where it matters.
        people: What the tags of people in --table are: labels to be doubted like any other, or known to be right.
            Asked for where a file of Label Studio or CVAT has no others.
        validation_share: Share of the images for validation, where there is none.
        test_share: Share of the images for test, where there are no splits.
        draw_from: Images that validation and test are drawn from where some are checked: these, or all (measured is
            only what is checked).
        allow_missing: Share of the listed images that may be missing on disk; they are left out.
        limit: Use only so many images of every split, drawn by the seed, for rehearsals.
        check_contents: Record and compare what every picture holds, not only its size and time.
        seed: Seed of the splits that are drawn.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def build_coco(
    *,
    train_images: StrPath,
    train_annotations: StrPath,
    val_images: StrPath,
    val_annotations: StrPath,
    output: StrPath,
    class_map: StrPath = "imagenet-coco56",
    top_k: int = 8,
    classifier: StrPath = "inception_v3",
    weights: StrPath = "imagenet",
    classifier_classes: StrPath | None = None,
    classifier_scaling: Literal["raw", "unit", "tf", "caffe"] | None = None,
    predictions: StrPath | None = None,
    keep: int = 20,
    allow_missing: float = 0.01,
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32",
    engine_cpu: Literal["tensorflow", "openvino", "onnxruntime", "auto"] = "tensorflow",
    decode: Literal["exact", "fast"] = "exact",
    workers: int = 0,
    force: bool = False,
) -> Path:
    """Build the extended MS-COCO data set: verified labels, noisy labels, splits.

    The same as ``nlcli build-coco`` on the command line.

    Args:
        train_images: Folder of the training images (train2014 or train2017).
        train_annotations: instances_train*.json.
        val_images: Folder of the images that become validation and test.
        val_annotations: instances_val*.json.
        output: Directory to write.
        class_map: Class map: a shipped one's name or a CSV file.
        top_k: Predictions of each image that become noisy labels.
        classifier: Registered network, saved backbone, or .keras file.
        weights: 'imagenet', or a weights file for a registered network.
        classifier_classes: Class names of a .keras classifier, one a line.
        classifier_scaling: Pixels a .keras classifier takes: 0 to 255, [0, 1], [-1, 1], or BGR minus mean (default:
            found out).
        predictions: Where predictions are kept (default: OUTPUT-predictions).
        keep: Predictions kept for every image.
        allow_missing: Share of the listed images that may be missing on disk; they are left out.
        limit: Use only so many images of either folder, drawn by the seed, for rehearsals.
        seed: Seed of the halving of val into validation and test.
        batch_size: Images in a forward pass.
        precision: Arithmetic of the forward pass.
        engine_cpu: What runs the forward pass on a CPU; auto times what is installed, once for a network on a
            machine.
        decode: JPEG decoding: full size, or reduced scale.
        workers: Images decoded at a time, by threads or, many, by processes (0: one a core).
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def build_clothing1m(
    *,
    root: StrPath,
    output: StrPath,
    allow_missing: float = 0.01,
    limit: int | None = None,
    force: bool = False,
) -> Path:
    """Build Clothing1M: a million noisy labels, three clean sets.

    The same as ``nlcli build-clothing1m`` on the command line.

    Args:
        root: Where it was unpacked: the lists (or annotations/ with them) and images/.
        output: Directory to write.
        allow_missing: Share of the listed images that may be missing on disk; they are left out.
        limit: Use only so many images of every split, drawn always alike, for rehearsals.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def build_food101n(
    *,
    root: StrPath,
    food101: StrPath,
    output: StrPath,
    train: Literal["food-101n", "food-101"] = "food-101n",
    allow_missing: float = 0.01,
    limit: int | None = None,
    force: bool = False,
) -> Path:
    """Build Food-101N: noisy labels, some verified right or wrong; Food-101's test images.

    The same as ``nlcli build-food101n`` on the command line.

    Args:
        root: Food-101N_release: meta/ and images/.
        food101: food-101: meta/test.txt and images/.
        output: Directory to write.
        train: Training images: the noisy ones, or Food-101's own clean ones, less a tenth for validation.
        allow_missing: Share of the listed images that may be missing on disk; they are left out.
        limit: Use only so many images of every split, drawn always alike, for rehearsals.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def build_webvision(
    *,
    root: StrPath,
    output: StrPath,
    sources: Sequence[Literal["google", "flickr"]] = ("google", "flickr"),
    first_classes: int | None = None,
    predictions: StrPath | None = None,
    condition: str = "none",
    wordnet: StrPath | None = None,
    per_class: int = 250,
    top_k: int = 5,
    validation_share: float = 0.02,
    ilsvrc_images: StrPath | None = None,
    ilsvrc_list: StrPath | None = None,
    allow_missing: float = 0.01,
    limit: int | None = None,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Build WebVision 1, its labels verified by a classifier as Lee 2018 does.

    The same as ``nlcli build-webvision`` on the command line.

    Args:
        root: Where it was unpacked: info/, google/, flickr/, val_images_256/.
        output: Directory to write.
        sources: Search engines whose images are train.
        first_classes: Use only the first classes (50 is the usual mini-WebVision).
        predictions: Predictions of an ImageNet classifier for the training images (nlcli annotate), for pseudo-
            verification.
        condition: Verified classes: none, every-image, all, dogs-118, random-N, semantic, or a file of WordNet ids.
        wordnet: For the condition semantic: WordNet 3.0's data.noun, or the folder that holds it.
        per_class: Pseudo-verified images of each verified class.
        top_k: Predictions among which the noisy class must be to be called right.
        validation_share: Share of each class's training images held out for validation.
        ilsvrc_images: Folder of ILSVRC 2012's validation images: makes the second test set instead.
        ilsvrc_list: ILSVRC 2012's validation list: PATH CLASS, 0-based, in the order of info/synsets.txt.
        allow_missing: Share of the listed images that may be missing on disk; they are left out.
        limit: Use only so many images of every split, drawn by the seed, for rehearsals.
        seed: Seed of what is held out and of what is verified.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def build_openimages(
    *,
    root: StrPath,
    output: StrPath,
    images: StrPath | None = None,
    classes: StrPath | None = None,
    groups: StrPath | None = None,
    clean_share: float = 0.25,
    validation_share: float = 0.1,
    allow_missing: float = 0.01,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Build Open Images V1: machine labels with confidences, human ones for a part.

    The same as ``nlcli build-openimages`` on the command line.

    Args:
        root: Where it was unpacked: images_2016_08/, machine_ann_2016_08/, human_ann_2016_08/, dict.csv.
        output: Directory to write.
        images: Folder with train/ and validation/ of ID.jpg (default: ROOT/images, not looked at).
        classes: Class ids in order, one a line (default: ROOT/classes.txt, or the trainable ids of dict.csv).
        groups: CSV of class and group, or a class hierarchy (JSON): high-level categories.
        clean_share: Share of the validation images that becomes the clean set.
        validation_share: Share of the clean set held out for validation (0: none, as in the papers).
        allow_missing: Share of the listed images that may be missing on disk; they are left out.
        seed: Seed of the clean set.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def build_digits(
    *,
    output: StrPath,
    kind: Literal["scenes", "single", "pile", "scene-pile"] = "scenes",
    train_images: int = 4000,
    val_images: int = 2600,
    size: int | None = None,
    checked: float = 0.05,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Write the embedded data: scenes of digits in COCO format, or single digits in folders.

    The same as ``nlcli build-digits`` on the command line.

    Args:
        output: Directory to write.
        kind: Several digits an image, for build-coco; one, for build-folders; or a pile of pictures with bad labels
            and a few checked ones, of one digit or of several each, for clean.
        train_images: Training images to draw, or all of a pile.
        val_images: Images to draw for validation and test together.
        size: Side of an image in pixels (default: 96 for scenes, 32 for single digits).
        checked: Share of a pile that a person looked at.
        seed: Seed of everything random.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def annotate(
    *,
    images: Sequence[StrPath],
    output: StrPath,
    classifier: StrPath = "inception_v3",
    weights: StrPath = "imagenet",
    classifier_classes: StrPath | None = None,
    classifier_scaling: Literal["raw", "unit", "tf", "caffe"] | None = None,
    keep: int = 20,
    batch_size: int = 32,
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32",
    engine_cpu: Literal["tensorflow", "openvino", "onnxruntime", "auto"] = "tensorflow",
    decode: Literal["exact", "fast"] = "exact",
    workers: int = 0,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    devices: int = 0,
    force: bool = False,
) -> Path:
    """Predict the top classes of every image with a trained classifier.

    The same as ``nlcli annotate`` on the command line.

    Args:
        images: Folders of images.
        output: Directory to write.
        classifier: Registered network, saved backbone, or .keras file.
        weights: 'imagenet', or a weights file for a registered network.
        classifier_classes: Class names of a .keras classifier, one a line.
        classifier_scaling: Pixels a .keras classifier takes: 0 to 255, [0, 1], [-1, 1], or BGR minus mean (default:
            found out).
        keep: Predictions kept for every image.
        batch_size: Images in a forward pass.
        precision: Arithmetic of the forward pass.
        engine_cpu: What runs the forward pass on a CPU; auto times what is installed, once for a network on a
            machine.
        decode: JPEG decoding: full size, or reduced scale.
        workers: Images decoded at a time, by threads or, many, by processes (0: one a core).
        engine: Who does it: this machine, or a Ray cluster; the result is the same, to the bit on processors alike.
        address: Of ray: HOST:PORT of a cluster, or auto for the one that this machine is in (default: one of its
            own, here).
        devices: Worker processes, one a GPU where there are GPUs (0: none, or of ray one a GPU, or one a node
            without them).
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def add_noise(
    *,
    dataset: StrPath,
    output: StrPath,
    kind: Literal["symmetric", "pair", "matrix", "features", "co-occurrence"] = "symmetric",
    rate: float | None = None,
    drop: float | None = None,
    add: float | None = None,
    rates: StrPath | None = None,
    matrix: StrPath | None = None,
    features: StrPath | None = None,
    sharpness: float = 3.0,
    splits: Sequence[Literal["train", "validation", "test"]] = ("train", "validation", "test"),
    verified: float = 0.1,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Plant label noise into a clean data set and keep the truth.

    The same as ``nlcli add-noise`` on the command line.

    Args:
        dataset: Data set with verified classes.
        output: Directory to write.
        kind: Every class alike; the next class; by a matrix; by features. With several labels an image: symmetric,
            features, or co-occurrence (what other tags suggest).
        rate: With one label an image: share of wrong labels (needed except for a matrix, which has its own).
        drop: With several labels an image: share of the true tags that go missing.
        add: With several labels an image: wrong tags that are added for every true one.
        rates: With several labels an image: table of class, drop and add, for classes with rates of their own.
        matrix: CSV of true class (rows) by noisy class (columns): counts or shares.
        features: Features of the data set: harder images flip more, towards what they resemble.
        sharpness: How much more harder images flip, and how surely to the nearest class (features).
        splits: Splits whose noisy labels are replaced.
        verified: Part of the training images that stays verified.
        seed: Seed of the noise and of the verified part.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def deduplicate(
    *,
    dataset: StrPath,
    output: StrPath,
    features: StrPath | None = None,
    hash_bits: int = 4,
    cosine: float = 0.98,
    remove_from: Sequence[Literal["train", "validation", "test"]] = ("train",),
    seed: int = 0,
    workers: int = 0,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    devices: int = 0,
    force: bool = False,
) -> Path:
    """Find near-duplicate images within and across splits; leave them out of train.

    The same as ``nlcli deduplicate`` on the command line.

    Args:
        dataset: Data set directory.
        output: Directory to write.
        features: Features of the data set: also compare their cosine.
        hash_bits: Bits of 64 in which the perceptual hashes of near-duplicates may differ.
        cosine: Cosine of features from which two images are near-duplicates.
        remove_from: Splits that images may be removed from.
        seed: Seed of the projections that find candidates.
        workers: Threads that read images (0: one a core).
        engine: Who does it: this machine, or a Ray cluster; the result is the same, to the bit on processors alike.
        address: Of ray: HOST:PORT of a cluster, or auto for the one that this machine is in (default: one of its
            own, here).
        devices: Worker processes, one a GPU where there are GPUs (0: none, or of ray one a GPU, or one a node
            without them).
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def extract_features(
    *,
    dataset: StrPath,
    backbone: StrPath,
    output: StrPath,
    weights: StrPath = "imagenet",
    dtype: Literal["float32", "float16"] = "float32",
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32",
    engine_cpu: Literal["tensorflow", "openvino", "onnxruntime", "auto"] = "tensorflow",
    image_size: int | None = None,
    preprocessing: StrPath | None = None,
    scaling: Literal["raw", "unit", "tf", "caffe", "imagenet"] | None = None,
    resize: Literal["stretch", "crop"] | None = None,
    network_output: str | None = None,
    pooling: Literal["token", "average"] | None = None,
    decode: Literal["exact", "fast"] | None = None,
    shard_rows: int = 8192,
    batch_size: int = 32,
    check_contents: bool = False,
    workers: int = 0,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    devices: int = 0,
    force: bool = False,
) -> Path:
    """Cache the pooled features of every image in HDF5.

    The same as ``nlcli extract-features`` on the command line.

    Args:
        dataset: Data set directory.
        backbone: Saved backbone directory, registered network, or one of another library: onnx:FILE, hub:PRESET (a
            name or a directory), timm:NAME or timm:NAME@FILE.
        output: Directory to write.
        weights: For a registered network: 'imagenet' or a weights file.
        dtype: Type the features are stored in.
        precision: Arithmetic of the forward pass.
        engine_cpu: What runs the forward pass on a CPU; auto times what is installed, once for a network on a
            machine.
        image_size: Side of the input (default: what the backbone was trained with, or states).
        preprocessing: Of onnx: its preprocessor_config.json (default: the one beside it).
        scaling: Of onnx: without such a file: pixels 0 to 255, [0, 1], [-1, 1], BGR minus mean, or ImageNet's mean
            and deviation.
        resize: Of onnx: without such a file: squeeze the image into the square (default), or cut out its middle.
        network_output: Of onnx: the output with the features, where there are several.
        pooling: Of onnx: and hub: that give several vectors an image: the first (hub: default), or their mean.
        decode: JPEG decoding (default: as the backbone was trained).
        shard_rows: Images in a shard.
        batch_size: Images in a forward pass.
        check_contents: Record and compare what every picture holds, not only its size and time.
        workers: Images decoded at a time, by threads or, many, by processes (0: one a core).
        engine: Who does it: this machine, or a Ray cluster; the result is the same, to the bit on processors alike.
        address: Of ray: HOST:PORT of a cluster, or auto for the one that this machine is in (default: one of its
            own, here).
        devices: Worker processes, one a GPU where there are GPUs (0: none, or of ray one a GPU, or one a node
            without them).
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def import_features(
    *,
    dataset: StrPath,
    source: StrPath,
    output: StrPath,
    keys: StrPath | None = None,
    column: str | None = None,
    network: str | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    shard_rows: int = 8192,
    force: bool = False,
) -> Path:
    """Take features that another program computed instead of extracting them.

    The same as ``nlcli import-features`` on the command line.

    Args:
        dataset: Data set directory.
        source: The vectors: .npy, .npz, .parquet, .safetensors, .h5, or a data set directory of Hugging Face.
        output: Directory to write.
        keys: Keys or paths of the rows' images where the vectors do not name them: one a line, or a table with the
            column key or path.
        column: The column or array of the vectors (default: the only one that fits; of Parquet also a column a
            number).
        network: Name of what computed them: imports of the same name fit together.
        dtype: Type the features are stored in.
        shard_rows: Images in a shard.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def pretrain_backbone(
    *,
    dataset: StrPath,
    output: StrPath,
    backbone: str = "resnet50",
    weights: StrPath = "imagenet",
    labels: Literal["noisy", "verified"] = "noisy",
    clean_fraction: float = 1.0,
    steps: int = 20000,
    scale: float = 1.0,
    batch_size: int = 64,
    optimizer: Literal["adam", "rmsprop", "sgd"] = "rmsprop",
    learning_rate: float = 0.0001,
    decay: float = 0.9,
    decay_epochs: float = 2.0,
    flip: Literal["none", "horizontal", "both"] = "both",
    crop: float = 1.0,
    trainable: Literal["all", "last"] = "all",
    image_size: int | None = None,
    decode: Literal["exact", "fast"] = "exact",
    mixed_precision: Literal["none", "bfloat16", "float16", "auto"] = "none",
    xla: bool = False,
    eval_every: int = 500,
    patience: int = 0,
    seed: int = 0,
    devices: int = 0,
    memory: float | None = None,
    workers: int = 0,
    force: bool = False,
) -> Path:
    """Fine-tune a whole network on noisy or on verified labels.

    The same as ``nlcli pretrain-backbone`` on the command line.

    Args:
        dataset: Data set directory.
        output: Directory to write.
        backbone: Registered network.
        weights: 'imagenet', 'none' (from scratch), a weights file, or a saved backbone.
        labels: Labels to train on; verified is Backbone (GT) or FT-W.
        clean_fraction: Part of the clean set used when labels are verified.
        steps: Training steps.
        scale: Factor on the steps, for rehearsals.
        batch_size: Images in a step, of all devices together.
        optimizer: Optimizer.
        learning_rate: Initial learning rate.
        decay: Factor on the rate every decay_epochs (of a part of the verified labels 1, none, where it is not
            given).
        decay_epochs: Epochs between two decays.
        flip: Random flips.
        crop: Least side of a random crop, enlarged to the input, as a part of the image's (1: no crops).
        trainable: Train the whole network, or only the last layer with the rest as in inference.
        image_size: Side of the input (default: the network's own).
        decode: JPEG decoding: full size, or reduced scale.
        mixed_precision: Precision of the convolutions below float32; auto takes what the machine is fast at.
        xla: Compile the step with XLA (one device only; on a GPU no two runs then have the same bits).
        eval_every: Steps between validations.
        patience: Validations without improvement before stopping (0: never).
        seed: Seed of everything random.
        devices: GPUs that share each batch (0: all of this machine).
        memory: GiB that decoded images may take; more are decoded as they are needed (default: half of what is
            free).
        workers: Images decoded at a time, by threads or, many, by processes (0: one a core).
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def import_weights(
    *,
    weights: StrPath,
    output: StrPath,
    network: str,
    classes: StrPath | None = None,
    activation: Literal["sigmoid", "softmax"] | None = None,
    resize: Literal["stretch", "crop"] = "stretch",
    force: bool = False,
) -> Path:
    """Make a backbone of weights that Caffe, TensorFlow 1, PyTorch or Keras saved.

    The same as ``nlcli import-weights`` on the command line.

    Args:
        weights: CaffeNet's .caffemodel or .npz, a TensorFlow 1 checkpoint, a .pth, .pt or .safetensors of
            torchvision, or a Keras .h5.
        output: Directory to write.
        network: The network they are of: alexnet, resnet50 or inception_v3 (.h5: any).
        classes: Names of the last layer's classes, one a line (default: ImageNet's, where there are 1000).
        activation: Of the last layer (needed with --classes; ImageNet's is softmax).
        resize: Squeeze the whole image into the network's square, or cut out its middle.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def detect_noise(
    *,
    dataset: StrPath,
    features: StrPath,
    output: StrPath,
    method: str = "auto",
    options: Mapping[str, Any] = {},
    hold_out: int | None = None,
    hold_out_classes: StrPath | None = None,
    use_held_out: bool = False,
    classifier: StrPath | None = None,
    clean_fraction: float = 1.0,
    from_run: StrPath | None = None,
    score: str | None = None,
    threshold: float | None = None,
    missing_threshold: float | None = None,
    others: int = 10,
    floor: float = 0.05,
    scale: float = 1.0,
    class_images: int = 20000,
    suspects: int = 48,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Tell wrong noisy labels from right ones: a score, a verdict and error rates, worst first.

    The same as ``nlcli detect-noise`` on the command line.

    Args:
        dataset: Data set directory.
        features: Features directory of that data set.
        output: Directory to write.
        method: Detector: auto (which verified labels choose), posterior, margin, neighbours, naive, mlp, knn, svm,
            label-propagation, label-spreading, classification-filter, drae, one-class-svm, average, cleannet or
            confident-learning.
        options: Options of the detector (see its card), such as neighbours=5.
        hold_out: Classes, drawn by the seed, whose verification is withheld; those of a smaller number are among
            them.
        hold_out_classes: Instead: a file of the classes whose verification is withheld, one a line.
        use_held_out: Use the verification of the held-out classes all the same, and only report on them apart.
        classifier: Run whose predictions classification-filter takes (default: the features' own last layer, or
            classifiers solved on the noisy labels).
        clean_fraction: Part of the verified training images whose verification is used.
        from_run: With several labels an image: trained head whose scores are taken, instead of a detector.
        score: Which of that run's scores (default: cleaned labels, or the method's own choice). Only with from_run.
        threshold: Score from which a label is right (default: chosen on verified labels); with several labels an
            image the probability from which a given tag is.
        missing_threshold: With several labels an image: probability from which a tag is missing (default: chosen).
        others: With several labels an image: most classes without a tag that are listed for an image.
        floor: With several labels an image: least probability of a class without a tag that is listed.
        scale: Factor on the steps of detectors that train a network, for rehearsals.
        class_images: Most images of a class to fit on at a time; more are drawn by the seed.
        suspects: Training images in the picture of the worst labels.
        seed: Seed of everything random.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def clean_labels(
    *,
    dataset: StrPath,
    source: StrPath,
    output: StrPath,
    features: StrPath | None = None,
    policy: Literal["suggest", "fix", "drop"] = "fix",
    precision: float = 0.9,
    max_changes: float = 0.2,
    when_refused: Literal["stop", "suggest"] = "stop",
    splits: Sequence[Literal["train", "validation", "test"]] = ("train",),
    keep: Sequence[str] = (),
    export: Sequence[Literal["csv", "parquet", "coco", "imagefolder", "labelstudio", "cvat", "fiftyone"]] = (),
    examples: int = 12,
    copy_images: bool = False,
    dry_run: bool = False,
    force: bool = False,
) -> Path:
    """Rewrite wrong noisy labels as a detection or a run has them; export the cleaned data set.

    The same as ``nlcli clean-labels`` on the command line.

    Args:
        dataset: Data set directory.
        source: Detection of label noise in the data set, or a run whose method cleans labels (veit, noise-types,
            teacher-student).
        output: Directory to write.
        features: Of a run: features of the data set (default: those it was trained on).
        policy: List proposals and leave the labels; correct labels and tags; or only take wrong ones away.
        precision: Share of the changes that shall be right; 0 asks for nothing and needs no verified image.
        max_changes: Most labels of a class that may change, as a share of them.
        when_refused: Where the changes may not be made: stop and say why, or make those of persons alone and list
            the others.
        splits: Splits whose labels are rewritten.
        keep: Classes whose labels stay as they are.
        export: Also write the cleaned data set for other programs.
        examples: Images with their labels before and after.
        copy_images: Copy the pictures of --export imagefolder instead of linking them.
        dry_run: Print the changes by class and write nothing.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def suggest(
    *,
    dataset: StrPath,
    source: StrPath,
    features: StrPath | None = None,
    output: StrPath,
    goal: Literal["clean", "train"] = "clean",
    count: int = 500,
    random: float | None = None,
    splits: Sequence[Literal["train", "validation", "test"]] = ("train",),
    seed: int = 0,
    export: Sequence[Literal["labelstudio", "cvat", "csv"]] = (),
    force: bool = False,
) -> Path:
    """Choose the images that a person should check next, and say why; a share is drawn at random.

    The same as ``nlcli suggest`` on the command line.

    Args:
        dataset: Data set directory.
        source: Detection of label noise in the data set.
        features: Features of the data set: also measure what checking has brought a classifier so far (default:
            none).
        output: Directory to write.
        goal: Mend most labels: those that are likeliest wrong (clean); or teach a classifier: uncertain ones of all
            classes (train).
        count: Images to check.
        random: Share of them that is drawn at random; only these tell error rates (default: 0.2 for clean, 0.5 for
            train).
        splits: Splits whose images are asked about.
        seed: Seed of the random ones.
        export: Also write the questions for other programs.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def import_verification(
    *,
    dataset: StrPath,
    answers: Sequence[StrPath],
    output: StrPath,
    suggestion: StrPath | None = None,
    scope: Literal["asked", "all", "listed"] = "asked",
    conflicts: Literal["refuse", "newest", "majority"] = "refuse",
    measured_splits: Literal["random", "all"] = "random",
    force: bool = False,
) -> Path:
    """Take in what people answered of a queue, from Label Studio, CVAT or a table; say what it shows.

    The same as ``nlcli import-verification`` on the command line.

    Args:
        dataset: Data set directory.
        answers: Answers: Label Studio's JSON, CVAT's XML, a table as suggest writes it.
        output: Directory to write.
        suggestion: Queue that was answered: what was asked, and how each image was chosen.
        scope: What a class means that is not ticked: absent if it was asked about; absent in any case (all);
            nothing (listed).
        conflicts: Where answers contradict each other or what is known: stop, or take the newest or the most
            frequent one.
        measured_splits: Which answers count in validation and test: those on images that were drawn at random, or
            all.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def restore_labels(
    *,
    dataset: StrPath,
    output: StrPath,
    force: bool = False,
) -> Path:
    """Give a cleaned data set the labels back that it had before.

    The same as ``nlcli restore-labels`` on the command line.

    Args:
        dataset: Data set made by nlcli clean-labels.
        output: Directory to write.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def train_head(
    *,
    dataset: StrPath,
    output: StrPath,
    features: StrPath | None = None,
    from_images: StrPath | None = None,
    method: str = "auto",
    options: Mapping[str, Any] = {},
    preset: str | None = None,
    init: StrPath | None = None,
    detection: StrPath | None = None,
    image_weights: StrPath | None = None,
    clean_fraction: float = 1.0,
    seed: int = 0,
    steps: int | None = None,
    scale: float = 1.0,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    eval_every: int | None = None,
    patience: int = 0,
    order: Literal["auto", "shuffled", "block-shuffled"] = "auto",
    memory: float | None = None,
    weights: StrPath = "imagenet",
    trunk: Literal["frozen", "trained"] = "frozen",
    trunk_rate: float | None = None,
    flip: Literal["none", "horizontal", "both"] = "both",
    crop: float = 1.0,
    image_size: int | None = None,
    decode: Literal["exact", "fast"] | None = None,
    mixed_precision: Literal["none", "bfloat16", "float16", "auto"] = "none",
    workers: int = 0,
    force: bool = False,
) -> Path:
    """Train a head on cached features or from images, with few clean labels and many noisy ones.

    The same as ``nlcli train-head`` on the command line.

    Args:
        dataset: Data set directory.
        output: Directory to write.
        features: Features directory of that data set.
        from_images: Instead of features: a saved backbone or registered network to put the head on.
        method: Method; 'nlcli methods' lists them.
        options: Options of the method (see its card), such as alpha=0.2.
        preset: A paper's settings, such as coco or open-images.
        init: Run of a linear head to start from instead of the backbone's last layer.
        detection: Detection whose scores weight the noisy labels, for methods such as cleannet.
        image_weights: Table of key and weight: what an image counts in the loss, for methods that are solved
            (default: 1 each).
        clean_fraction: Part of the verified training images used as clean set; smaller parts lie within larger
            ones.
        seed: Seed of the clean set, the initial weights and the batches.
        steps: Training steps (default: the method's).
        scale: Factor on the steps of every phase, for rehearsals of long presets.
        batch_size: Rows in a step (default: the method's).
        learning_rate: Learning rate (default: the method's).
        eval_every: Steps between validations (default: a fortieth of the steps).
        patience: Validations without improvement before stopping (0: never).
        order: Order of rows: auto shuffles freely when features fit in memory, blocks when not.
        memory: GiB that features or images may take; more are read as needed (default: half of what is free).
        weights: For a registered network: 'imagenet', 'none', a weights file, or a saved backbone. Only with
            from_images.
        trunk: The network runs as in inference, or is trained along with the head. Only with from_images.
        trunk_rate: Learning rate of a trained network (default: 1e-4, or that of a method that trains all of it).
            Only with from_images.
        flip: Random flips. Only with from_images.
        crop: Least side of a random crop, enlarged, as a part of the image's (1: no crops). Only with from_images.
        image_size: Side of the input (default: the network's own). Only with from_images.
        decode: JPEG decoding (default: as the backbone was trained). Only with from_images.
        mixed_precision: Precision of the convolutions below float32. Only with from_images.
        workers: Decoding threads (0: one a core). Only with from_images.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def tune(
    *,
    dataset: StrPath,
    features: StrPath,
    output: StrPath,
    method: str = "residual",
    options: Mapping[str, Any] = {},
    search: Sequence[str] = (),
    trials: int = 30,
    init: StrPath | None = None,
    detection: StrPath | None = None,
    clean_fraction: float = 1.0,
    steps: int | None = None,
    seed: int = 0,
    bootstrap: int = 1000,
    memory: float | None = None,
    force: bool = False,
) -> Path:
    """Search for a method's options by validation; tells what the best ones reach on test.

    The same as ``nlcli tune`` on the command line.

    Args:
        dataset: Data set directory.
        features: Features directory of that data set.
        output: Directory to write.
        method: Method; 'nlcli methods' lists them.
        options: Options of the method that stay as they are, such as hidden=64.
        search: Option that is searched (default: each that the method says is worth it).
        trials: Most heads that are trained, beside that of the defaults.
        init: Run of a linear head to start from.
        detection: Detection whose scores weight the noisy labels.
        clean_fraction: Part of the verified training images used as clean set.
        steps: Training steps (default: the method's).
        seed: Seed of the search, the clean set, the initial weights, the batches.
        bootstrap: Bootstrap resamples over images, for the interval of the gain.
        memory: GiB that features may take (default: half of what is free).
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def export_model(
    *,
    run: StrPath,
    output: StrPath,
    format: Literal["keras", "saved-model", "onnx", "litert", "openvino"] = "keras",
    score: str | None = None,
    backbone: StrPath | None = None,
    evaluation: StrPath | None = None,
    tolerance: float | None = None,
    batch_size: int = 32,
    workers: int = 0,
    force: bool = False,
) -> Path:
    """Write a trained head and its network as one model that other programs run.

    The same as ``nlcli export-model`` on the command line.

    Args:
        run: Run or backbone directory.
        output: Directory to write.
        format: Of the model; onnx, litert and openvino are extras to install.
        score: Which of the method's scores (default: the method's own choice).
        backbone: Backbone directory (default: the run's own, or the one its features came from).
        evaluation: Evaluation of the run, whose metrics the card tells, too (default: none).
        tolerance: Most that a score may differ from that of predict (default: 1e-4, more below float32).
        batch_size: Images in a forward pass.
        workers: Images decoded at a time, by threads or, many, by processes (0: one a core).
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def evaluate(
    *,
    model: StrPath,
    output: StrPath | None = None,
    split: Literal["train", "validation", "test"] | None = None,
    features: StrPath | None = None,
    dataset: StrPath | None = None,
    score: str | None = None,
    bootstrap: int = 1000,
    examples: int = 12,
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32",
    engine_cpu: Literal["tensorflow", "openvino", "onnxruntime", "auto"] = "tensorflow",
    seed: int = 0,
    batch_size: int = 32,
    workers: int = 0,
    force: bool = False,
) -> Path:
    """Score runs or backbones on a split, measure detections; several are set side by side.

    The same as ``nlcli eval`` on the command line.

    Args:
        model: Run, backbone or detection directory.
        output: Directory to write (default: MODEL-SPLIT).
        split: Split to score (default: test; a detection was measured on test, or else on validation).
        features: Features (default: those of the run; a backbone, or a run from images, reads images without any).
        dataset: Data set (default: that of the run, or of the features).
        score: Which of the method's scores (default: the method's own choice).
        bootstrap: Bootstrap resamples over images (0: no intervals).
        examples: Examples with their top predictions.
        precision: Arithmetic of a backbone that reads images.
        engine_cpu: What runs the forward pass on a CPU; auto times what is installed, once for a network on a
            machine.
        seed: Seed of the bootstrap and of the choice of examples.
        batch_size: Images in a forward pass, for a backbone that reads images.
        workers: Images decoded at a time, by threads or, many, by processes (0: one a core).
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def report(
    *,
    directories: Sequence[StrPath],
    output: StrPath,
    title: str | None = None,
    thumbnails: int = 60,
    force: bool = False,
) -> Path:
    """Put what stages made onto one page: which labels look wrong, how sure that is, what it brings.

    The same as ``nlcli report`` on the command line.

    Args:
        directories: Directories made by nlcli, or folders of them; what they were made from is looked up.
        output: Page to write (.html).
        title: Title of the page (default: the data set's name).
        thumbnails: Most pictures on the page, those that matter most first.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def compare(
    *,
    evaluations: Sequence[StrPath],
    output: StrPath,
    bootstrap: int | None = None,
    seed: int | None = None,
    examples: int = 0,
    force: bool = False,
) -> Path:
    """Set evaluations side by side: table, CSV, Markdown and plot.

    The same as ``nlcli compare`` on the command line.

    Args:
        evaluations: Evaluation directories.
        output: Directory to write.
        bootstrap: Bootstrap resamples, 0 for none (default: as in the first evaluation).
        seed: Seed of the bootstrap (default: as in the first evaluation).
        examples: Of detections: images with the scores of all, half of them with a wrong label.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def analyse(
    *,
    evaluations: Sequence[StrPath],
    output: StrPath,
    dataset: StrPath | None = None,
    groups: int = 10,
    examples: int = 6,
    bootstrap: int | None = None,
    seed: int | None = None,
    force: bool = False,
) -> Path:
    """Break a comparison down: by category, class frequency and annotation quality; curves, examples.

    The same as ``nlcli analyse`` on the command line.

    Args:
        evaluations: Evaluation directories; the first one's model is the baseline.
        output: Directory to write.
        dataset: Data set (default: that of the first evaluation).
        groups: Groups of classes by frequency and by quality; fewer where a group would hold one class.
        examples: Images with the top predictions of all models.
        bootstrap: Bootstrap resamples, 0 for none (default: as in the first evaluation).
        seed: Seed of the bootstrap and of the choice of examples (default: as in the first evaluation).
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def table(
    *,
    rows: Mapping[str, StrPath | Sequence[StrPath]],
    output: StrPath,
    published: str | None = None,
    by: Literal["clean_fraction", "dataset", "split", "held_out", "none"] | None = None,
    deviations: Sequence[str] = (),
    force: bool = False,
) -> Path:
    """Set evaluations beside a paper's published table, cell by cell.

    The same as ``nlcli table`` on the command line.

    Args:
        rows: Evaluations of a row, as NAME=DIRECTORY; several for a row are its seeds and its columns.
        output: Directory to write.
        published: Published table, such as hu2018-table2 (default: none, only what was measured).
        by: What the columns go by (default: as the published table's, or the part of the clean set).
        deviations: What was done otherwise than in the paper, a sentence each.
        force: Replace a different result at the output.

    Returns:
        The directory that was made, or that was up to date.

    Raises:
        NlcliError: what the command line would print.
    """

def predict(
    *,
    images: StrPath,
    run: StrPath,
    backbone: StrPath | None = None,
    format: Literal["table", "csv", "jsonl"] = "table",
    output: StrPath | None = None,
    top: int = 5,
    threshold: float | None = None,
    decide: bool = False,
    wide: bool = False,
    engine_cpu: Literal["tensorflow", "openvino", "onnxruntime", "auto"] = "tensorflow",
    batch_size: int = 32,
    workers: int = 0,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    devices: int = 0,
) -> dict[str, int]:
    """Score a file or a folder of images with a trained head and its backbone.

    The same as ``nlcli predict`` on the command line.

    Args:
        images: Image file or folder.
        run: Directory of a run, a backbone or an exported model.
        backbone: Backbone directory (default: the run's own, or the one its features came from).
        format: Output format.
        output: File to write (default: standard output).
        top: Classes shown for each image.
        threshold: Show classes from this probability on instead of the top ones.
        decide: Show the classes that an image is decided to have, by thresholds chosen on validation; of one label
            an image the best one.
        wide: One row an image with a score for each class, or with 1 and 0 by --decide or --threshold.
        engine_cpu: What runs the forward pass on a CPU; auto times what is installed, once for a network on a
            machine.
        batch_size: Images in a forward pass.
        workers: Images decoded at a time, by threads or, many, by processes (0: one a core).
        engine: Who does it: this machine, or a Ray cluster; the result is the same, to the bit on processors alike.
        address: Of ray: HOST:PORT of a cluster, or auto for the one that this machine is in (default: one of its
            own, here).
        devices: Worker processes, one a GPU where there are GPUs (0: none, or of ray one a GPU, or one a node
            without them).

    Raises:
        NlcliError: what the command line would print.
    """

def track(
    *,
    directories: Sequence[StrPath],
    to: Literal["mlflow", "tensorboard"],
    at: str | None = None,
    experiment: str = "nlcli",
) -> dict[str, Any]:
    """Tell MLflow or TensorBoard of finished stages: settings, metrics, curves; each is told once.

    The same as ``nlcli track`` on the command line.

    Args:
        directories: Directories made by nlcli, or folders of them.
        to: What is told.
        at: Where it keeps that: a folder, for MLflow also the address of a server or a database (default:
            MLFLOW_TRACKING_URI, or 'mlruns' or 'tensorboard' here).
        experiment: Name of the experiment in MLflow.

    Raises:
        NlcliError: what the command line would print.
    """
