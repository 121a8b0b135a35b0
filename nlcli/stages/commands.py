"""The table of commands that a configuration describes: what each is called, its options, what runs it.

The command line, the pipeline runner and the Python interface all read this one table. Nothing
heavy is imported before a stage is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcli.errors import NlcliError
from nlcli.registry import Registry, load

if TYPE_CHECKING:
    from nlcli.stages.config import StageConfig


@dataclass(frozen=True)
class Command:
    """A command whose options are the fields of a configuration; also a function of the package ``nlcli``.

    Attributes:
        name: As on the command line.
        about: One line for ``--help``.
        config: ``module:class`` of the configuration.
        function: ``module:function`` that takes it.
        example: A command that runs it.
        python: Name of the function in Python; None for ``name`` with underscores.
        panel: The heading under which ``nlcli --help`` lists it.
    """

    name: str
    about: str
    config: str
    function: str
    example: str
    python: str | None = None
    panel: str = "Use"

    returns: str = "dict[str, int]"
    """What ``call`` returns, as Python writes the type."""
    tell: str | None = None
    """``module:function`` that prints what ``call`` returned, for people; with ``--json`` it is printed as it is."""
    json_with: str | None = None
    """Of a command that prints its rows: the option that writes them elsewhere, so that ``--json`` stands alone."""

    @property
    def python_name(self) -> str:
        """Name of the function in Python."""
        return self.python or self.name.replace("-", "_")

    def config_class(self) -> type[StageConfig]:
        """The configuration model (imports pydantic)."""
        model: type[StageConfig] = load(self.config)
        return model

    def call(self, config: StageConfig) -> Any:
        """Run the command and return what its function returns."""
        return load(self.function)(config)


@dataclass(frozen=True)
class StageCommand(Command):
    """A stage of the pipeline: it makes a directory; its function takes ``force``, too, and returns the path.

    Attributes:
        show: ``module:function`` printing the result's table for people; None for the plain summary.
        shown: The JSON file of its directory that ``show`` prints; with ``--json`` it stands under ``details``.
        plan: ``module:function`` that says, as JSON values, what it would do; of one with the option ``--dry-run``.
        is_report: Whether people look at it at the end of a pipeline.
        ending: What the name of its output ends in, where it is a file.
        better_by: Fields of its record's summary; the first that is there tells how good its result is on validation.
        then: The command that usually comes next; ``{output}`` is its directory, ``{dataset}`` the option it was given.
        check: ``module:function`` that refuses the options that the stage would refuse, whatever its inputs hold; these
            may not be there yet. A pipeline asks it before its first stage runs.
    """

    show: str | None = None
    shown: str | None = None
    plan: str | None = None
    is_report: bool = False
    ending: str = ""
    better_by: tuple[str, ...] = ()
    then: str | None = None
    check: str | None = None
    panel: str = "Data sets"

    returns: str = "Path"

    def refuse(self, config: StageConfig, where: str) -> None:
        """Refuse options that mean nothing, in a sentence that says where they stand."""
        if self.check is None:
            return
        try:
            load(self.check)(config)
        except NlcliError as error:
            raise NlcliError(f"{where}: {error}") from error

    def run(self, config: StageConfig, *, force: bool = False) -> Path:
        """Run the stage and return its output directory."""
        output: Path = load(self.function)(config, force=force)
        return output


_THEN_FEATURES = "nlcli extract-features --dataset {output} --output FEATURES"
_THEN_HEAD = "nlcli train-head --dataset {dataset} --features {output} --output RUN"
_STAGES = (
    StageCommand(
        "build-folders",
        "Build a single-label data set from folders of images or a table of them.",
        "nlcli.data.config:BuildFolders",
        "nlcli.data.sources.folders:build_folders",
        "nlcli build-folders --images photos --output data/photos",
        show="nlcli.data.statistics_tables:show_dataset",
        shown="statistics.json",
        then=_THEN_FEATURES,
    ),
    StageCommand(
        "build-tags",
        "Build a data set of images with any number of tags each, from tables and annotation files.",
        "nlcli.data.config:BuildTags",
        "nlcli.data.sources.tags:build_tags",
        "nlcli build-tags --table tags.csv --images photos --output data/photos",
        show="nlcli.data.statistics_tables:show_dataset",
        shown="statistics.json",
        then=_THEN_FEATURES,
    ),
    StageCommand(
        "build-coco",
        "Build the extended MS-COCO data set: verified labels, noisy labels, splits.",
        "nlcli.data.config:BuildCoco",
        "nlcli.data.sources.coco:build_coco",
        "nlcli build-coco --train-images data/coco/train2014 "
        "--train-annotations data/coco/annotations/instances_train2014.json "
        "--val-images data/coco/val2014 --val-annotations data/coco/annotations/instances_val2014.json "
        "--output data/coco-noisy",
        show="nlcli.data.statistics_tables:show_dataset",
        shown="statistics.json",
        then=_THEN_FEATURES,
    ),
    StageCommand(
        "build-clothing1m",
        "Build Clothing1M: a million noisy labels, three clean sets.",
        "nlcli.data.config:BuildClothing1M",
        "nlcli.data.sources.clothing1m:build_clothing1m",
        "nlcli build-clothing1m --root downloads/clothing1m --output data/clothing1m",
        show="nlcli.data.statistics_tables:show_dataset",
        shown="statistics.json",
        then=_THEN_FEATURES,
    ),
    StageCommand(
        "build-food101n",
        "Build Food-101N: noisy labels, some verified right or wrong; Food-101's test images.",
        "nlcli.data.config:BuildFood101N",
        "nlcli.data.sources.food101n:build_food101n",
        "nlcli build-food101n --root downloads/Food-101N_release --food101 downloads/food-101 --output data/food101n",
        show="nlcli.data.statistics_tables:show_dataset",
        shown="statistics.json",
        then=_THEN_FEATURES,
    ),
    StageCommand(
        "build-webvision",
        "Build WebVision 1, its labels verified by a classifier as Lee 2018 does.",
        "nlcli.data.config:BuildWebVision",
        "nlcli.data.sources.webvision:build_webvision",
        "nlcli build-webvision --root downloads/webvision --predictions data/webvision-predictions --condition all "
        "--output data/webvision",
        show="nlcli.data.statistics_tables:show_dataset",
        shown="statistics.json",
        then=_THEN_FEATURES,
    ),
    StageCommand(
        "build-openimages",
        "Build Open Images V1: machine labels with confidences, human ones for a part.",
        "nlcli.data.config:BuildOpenImages",
        "nlcli.data.sources.open_images:build_open_images",
        "nlcli build-openimages --root downloads/openimages --output data/openimages",
        then=_THEN_FEATURES,
    ),
    StageCommand(
        "build-digits",
        "Write the embedded data: scenes of digits in COCO format, or single digits in folders.",
        "nlcli.data.config:BuildDigits",
        "nlcli.data.sources.digits:build_digits",
        "nlcli build-digits --output data/digits",
    ),
    StageCommand(
        "annotate",
        "Predict the top classes of every image with a trained classifier.",
        "nlcli.data.config:Annotate",
        "nlcli.data.annotate:annotate",
        "nlcli annotate --images data/coco/train2014 --output data/coco-predictions",
    ),
    StageCommand(
        "add-noise",
        "Plant label noise into a clean data set and keep the truth.",
        "nlcli.data.config:AddNoise",
        "nlcli.data.derived.add_noise:add_noise",
        "nlcli add-noise --dataset data/photos --kind symmetric --rate 0.4 --output data/photos-noisy",
        show="nlcli.data.statistics_tables:show_dataset",
        shown="statistics.json",
    ),
    StageCommand(
        "deduplicate",
        "Find near-duplicate images within and across splits; leave them out of train.",
        "nlcli.data.config:Deduplicate",
        "nlcli.data.derived.deduplicate:deduplicate",
        "nlcli deduplicate --dataset data/photos --output data/photos-unique",
        show="nlcli.data.statistics_tables:show_dataset",
        shown="statistics.json",
    ),
    StageCommand(
        "extract-features",
        "Cache the pooled features of every image in HDF5.",
        "nlcli.data.config:ExtractFeatures",
        "nlcli.data.features.extract:extract_features",
        "nlcli extract-features --dataset data/coco-noisy --backbone runs/backbone --output runs/features",
        panel="Networks and features",
        then=_THEN_HEAD,
    ),
    StageCommand(
        "import-features",
        "Take features that another program computed instead of extracting them.",
        "nlcli.data.config:ImportFeatures",
        "nlcli.data.features.import_features:import_features",
        "nlcli import-features --dataset data/photos --source vectors.npy --keys keys.txt --output runs/features",
        panel="Networks and features",
        then=_THEN_HEAD,
    ),
    StageCommand(
        "pretrain-backbone",
        "Fine-tune a whole network on noisy or on verified labels.",
        "nlcli.training.config:PretrainBackbone",
        "nlcli.training.pretrain_backbone:pretrain_backbone",
        "nlcli pretrain-backbone --dataset data/coco-noisy --backbone resnet50 --output runs/backbone",
        better_by=("validation_top_1", "validation_AP_all"),
        panel="Networks and features",
        then="nlcli extract-features --dataset {dataset} --backbone {output} --output FEATURES",
    ),
    StageCommand(
        "import-weights",
        "Make a backbone of weights that Caffe, TensorFlow 1, PyTorch or Keras saved.",
        "nlcli.networks.config:ImportWeights",
        "nlcli.networks.import_weights.stage:import_weights",
        "nlcli import-weights --weights downloads/bvlc_reference_caffenet.caffemodel --network alexnet "
        "--output data/weights/alexnet",
        panel="Networks and features",
    ),
    StageCommand(
        "detect-noise",
        "Tell wrong noisy labels from right ones: a score, a verdict and error rates, worst first.",
        "nlcli.detection.config:DetectNoise",
        "nlcli.detection.detect_noise:detect_noise",
        "nlcli detect-noise --dataset data/food101n --features runs/features --output runs/detection",
        panel="Wrong labels",
        then="nlcli clean-labels --dataset {dataset} --from {output} --output CLEANED",
        check="nlcli.detection.detect_noise:check_options",
    ),
    StageCommand(
        "clean-labels",
        "Rewrite wrong noisy labels as a detection or a run has them; export the cleaned data set.",
        "nlcli.cleaning.config:CleanDataset",
        "nlcli.cleaning.clean_labels:clean_labels",
        "nlcli clean-labels --dataset data/photos --from runs/detection --output data/photos-clean",
        show="nlcli.cleaning.clean_labels:show_cleaned",
        shown="cleaning.json",
        plan="nlcli.cleaning.clean_labels:plan_changes",
        panel="Wrong labels",
    ),
    StageCommand(
        "suggest",
        "Choose the images that a person should check next, and say why; a share is drawn at random.",
        "nlcli.suggestion.config:Suggest",
        "nlcli.suggestion.suggest:suggest",
        "nlcli suggest --dataset data/photos --from runs/detection --output runs/queue",
        show="nlcli.suggestion.suggest:show_queues",
        shown="suggestion.json",
        panel="Wrong labels",
    ),
    StageCommand(
        "import-verification",
        "Take in what people answered of a queue, from Label Studio, CVAT or a table; say what it shows.",
        "nlcli.answers.config:ImportVerification",
        "nlcli.answers.import_verification:import_verification",
        "nlcli import-verification --dataset data/photos --suggestion runs/queue --answers answers.json "
        "--output data/photos-checked",
        show="nlcli.answers.import_verification:show_imported",
        shown="verification.json",
        panel="Wrong labels",
    ),
    StageCommand(
        "restore-labels",
        "Give a cleaned data set the labels back that it had before.",
        "nlcli.cleaning.config:RestoreDataset",
        "nlcli.cleaning.restore_labels:restore_labels",
        "nlcli restore-labels --dataset data/photos-clean --output data/photos-again",
        show="nlcli.data.statistics_tables:show_dataset",
        shown="statistics.json",
        panel="Wrong labels",
    ),
    StageCommand(
        "train-head",
        "Train a head on cached features or from images, with few clean labels and many noisy ones.",
        "nlcli.training.config:TrainHead",
        "nlcli.training.train_head:train_head",
        "nlcli train-head --method residual --dataset data/coco-noisy --features runs/features "
        "--clean-fraction 0.05 --output runs/residual",
        better_by=("validation_top_1", "validation_AP_all"),
        panel="Classifiers",
        then="nlcli eval {output} --split test",
        check="nlcli.training.train_head:check_options",
    ),
    StageCommand(
        "tune",
        "Search for a method's options by validation; tells what the best ones reach on test.",
        "nlcli.tuning.config:Tune",
        "nlcli.tuning.tune:tune",
        "nlcli tune --method residual --dataset data/coco-noisy --features runs/features --output runs/tuned",
        show="nlcli.tuning.tune:show_tuning",
        shown="tuning.json",
        panel="Classifiers",
        check="nlcli.tuning.tune:check_options",
    ),
    StageCommand(
        "export-model",
        "Write a trained head and its network as one model that other programs run.",
        "nlcli.exporting.config:ExportModel",
        "nlcli.exporting.export_model:export_model",
        "nlcli export-model runs/residual --format onnx --output exported/residual",
        panel="Classifiers",
    ),
    StageCommand(
        "eval",
        "Score runs or backbones on a split, measure detections; several are set side by side.",
        "nlcli.evaluation.config:Evaluate",
        "nlcli.evaluation.evaluate:evaluate",
        "nlcli eval runs/noisy runs/residual --split test",
        python="evaluate",
        show="nlcli.evaluation.comparison.compare:show_evaluations",
        shown="metrics.json",
        panel="Results",
    ),
    StageCommand(
        "report",
        "Put what stages made onto one page: which labels look wrong, how sure that is, what it brings.",
        "nlcli.reporting.config:Report",
        "nlcli.reporting.write_page:write_report",
        "nlcli report data/mine runs/detection runs/residual-test --output report.html",
        show="nlcli.reporting.write_page:show_page",
        is_report=True,
        ending=".html",
        panel="Results",
    ),
    StageCommand(
        "compare",
        "Set evaluations side by side: table, CSV, Markdown and plot.",
        "nlcli.evaluation.config:Compare",
        "nlcli.evaluation.comparison.compare:compare_evaluations",
        "nlcli compare runs/noisy-test runs/residual-test --output runs/report",
        show="nlcli.evaluation.comparison.compare:show_report",
        shown="comparison.json",
        is_report=True,
        panel="Results",
    ),
    StageCommand(
        "analyse",
        "Break a comparison down: by category, class frequency and annotation quality; curves, examples.",
        "nlcli.evaluation.config:Analyse",
        "nlcli.evaluation.comparison.analyse:analyse",
        "nlcli analyse runs/noisy-test runs/residual-test --output runs/analysis",
        show="nlcli.evaluation.comparison.analyse:show_analysis",
        shown="analysis.json",
        is_report=True,
        panel="Results",
    ),
    StageCommand(
        "table",
        "Set evaluations beside a paper's published table, cell by cell.",
        "nlcli.evaluation.config:Table",
        "nlcli.evaluation.comparison.paper_table:paper_table",
        "nlcli table --published hu2018-table6 --row 'Proposed (hard label)=runs/ts-test' --output runs/table6",
        show="nlcli.evaluation.comparison.paper_table:show_table",
        shown="table.json",
        is_report=True,
        panel="Results",
    ),
)
STAGES: dict[str, StageCommand] = {stage.name: stage for stage in _STAGES}

PREDICT = Command(
    "predict",
    "Score a file or a folder of images with a trained head and its backbone.",
    "nlcli.evaluation.config:Predict",
    "nlcli.evaluation.predict:predict",
    "nlcli predict photos/ --run runs/residual --format csv -o scores.csv",
    json_with="output",
)

CLEAN = Command(
    "clean",
    "From a pile of pictures with bad labels to cleaned labels, a classifier, and a page that tells of both.",
    "nlcli.pile.config:CleanPile",
    "nlcli.pile.clean_pile:clean",
    "nlcli clean photos --labels labels.csv --checked checked.csv --output runs/mine",
    returns="dict[str, Any]",
    tell="nlcli.pile.clean_pile:show_cleaned",
)


TRACK = Command(
    "track",
    "Tell MLflow or TensorBoard of finished stages: settings, metrics, curves; each is told once.",
    "nlcli.tracking.config:Track",
    "nlcli.tracking.track:track",
    "nlcli track runs --to mlflow",
    returns="dict[str, Any]",
    tell="nlcli.tracking.track:show_tracked",
)


class Sources(Registry[StageCommand]):
    """The stages that build a data set from files as they are downloaded or made."""

    def name_problem(self, name: str) -> str | None:
        """Its name is that of a command, and tells it from all other commands."""
        problem = super().name_problem(name)
        if problem is None and not name.startswith(_BUILD):
            return f"'{name}' is no name of a source: it is a command, such as '{_BUILD}{name}'"
        return problem

    def of_others(self) -> dict[str, StageCommand]:
        """Those that are not part of nlcli, by name."""
        return {name: command for name, command in self.items() if name not in self.ours}


_BUILD = "build-"
SOURCES = Sources(
    "source",
    "nlcli.sources",
    {name: stage for name, stage in STAGES.items() if name.startswith(_BUILD)},
    "nlcli.stages.commands:StageCommand",
)


def commands() -> dict[str, Command]:
    """Every command of nlcli that a configuration describes, by its name on the command line."""
    return {CLEAN.name: CLEAN, **STAGES, PREDICT.name: PREDICT, TRACK.name: TRACK}


def find_stage(name: str, where: str) -> StageCommand:
    """The stage called ``name``; an unknown one is a sentence that says where it stands."""
    from nlcli.errors import unknown_name

    if name in STAGES:
        return STAGES[name]
    if name not in SOURCES:
        raise NlcliError(f"{where}: {unknown_name(name, [*STAGES, *SOURCES], 'stage')}")
    return SOURCES.get(name)
