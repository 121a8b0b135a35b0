"""Every shipped table is trained as its paper says, or says where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from nlcli.data.config import BuildCoco, BuildOpenImages
from nlcli.data.sources.clothing1m import PUBLISHED as CLOTHING
from nlcli.data.sources.food101n import PUBLISHED as FOOD101N
from nlcli.data.sources.open_images import PUBLISHED as OPEN_IMAGES
from nlcli.data.sources.open_images import choose_clean_part
from nlcli.data.sources.webvision import PUBLISHED as WEBVISION
from nlcli.evaluation.comparison.paper_table import published_tables
from nlcli.methods import configure
from nlcli.networks.architectures import BACKBONES
from nlcli.stages.pipeline import read_pipeline
from worlds.protocols import (
    OI_BACKBONE,
    PAPERS,
    PIPELINES,
    UNSTATED,
    VEIT_20,
    Facts,
    Tabled,
    protocols,
    settings_of,
    tables,
)

ALEXNET = BACKBONES["alexnet"].preprocessing
Differences = dict[tuple[str, str], tuple[object, object]]

# Facts that no paper has a word for, and their values that change nothing of what it describes.
NEUTRAL: dict[str, tuple[object, ...]] = {
    "option.average": (0,),
    "option.selection": ("metric",),
    "option.feature_scale": ("none",),
    "option.solver": ("steps",),
    "option.weight_decay": (0.0,),
    "option.hidden": (0,),  # no layer, and then no activation
    "option.activation": ("sigmoid",),
    "option.crop": (1.0,),
    "option.trunk": ("trained",),  # its rates are compared
    "option.clean_share": (None, 1 / 3, 0.5),  # in proportion, or as clean_ratio says
    "option.normalise": ("entries",),  # where every class of V is verified it is all the same
    "option.pretrain_patience": (5,),  # what CONVERGED means
    "option.pairs_of": ("train",),
    "detection.use_held_out": (False,),
    "detection.transfer": ("trust",),
}


def differences(table: Tabled) -> Differences:
    """(row, fact) to what the paper has and what the pipeline has, where these are not the same."""
    different: Differences = {}
    for row, trained in table.rows.items():
        clean = [part for facts in trained for part in facts["clean"] or ()]
        for facts in trained:
            for key, paper in _expected(table.published, row, facts).items():
                here = facts.get(key)
                if key == "clean":
                    here = tuple(sorted(set(clean))) or None
                if here != paper:
                    different[row, key] = (paper, here)
            for key in facts:  # phases and options that the paper does not have
                if key not in PAPERS[table.published][row] and facts[key] not in NEUTRAL.get(key, ()):
                    different[row, key] = ("-", facts[key])
    return different


def _expected(table: str, row: str, facts: Facts) -> Facts:
    paper = PAPERS[table][row]
    if table == "hu2019-table2" and row.startswith("Veit") and facts["clean"] == (0.2,):
        rates = {key: VEIT_20[key.rsplit(".", 1)[1]] for key in paper if key.startswith("rate.")}
        return paper | rates
    return paper


# --- deviations that are named ---------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """What a sentence under ``deviations`` speaks of.

    Attributes:
        sentence: The whole of it, as a pattern; numbers in it may be groups.
        rows, keys: Patterns of the differences that it names; no ``keys`` where it speaks of something else.
        elsewhere: What it speaks of may stand in stages before those of the rows.
        holds: Whether it is true, given the table, the differences it names and the groups.
    """

    sentence: str
    rows: str = ".*"
    keys: str | None = None
    holds: Callable[[Tabled, Differences, Sequence[str]], bool] = lambda table, named, groups: True
    elsewhere: bool = False


def number(text: str) -> float:
    return float(text.replace(",", "").removesuffix(" million")) * (1_000_000 if text.endswith("million") else 1)


def values(named: Differences, key: str) -> set[object]:
    return {here for (_, fact), (_, here) in named.items() if re.fullmatch(key, fact)}


WORDS = {"one": 1, "three": 3}
VEIT_TABLE_1 = (944, 850, 103, 409, 446, 862, 1064, 517, 1388)
"""Unique labels of vehicles, products, art, person, sport, food, animal, plant and others (Veit 2017, table 1)."""
PAIRS = 24_637
"""Images of Clothing1M's clean training set that have a noisy label, by the data set's description."""
_part = choose_clean_part(
    OPEN_IMAGES["validation_images"],
    *(BuildOpenImages.model_fields[name].default for name in ("clean_share", "validation_share")),
    seed=0,
)
CLEAN_OPEN_IMAGES = int((_part == 1).sum())
"""Images of the clean set of Open Images that are trained on."""
TRAINING = r"optimizer|batch|steps\..*|rate\..*|decay\..*|option\.weight_decay"
SHOWN = r"option\.(crop|flip)"


def _seeds(table: Tabled, named: Differences, groups: Sequence[str]) -> bool:
    """The rows that the sentence excepts have one, the others as many as it says."""
    counts = {row: here for (row, _), (_, here) in named.items()}
    single = {row for row in counts if re.search(r"Noisy\)$|GT|Baseline", row)}
    if "Noisy-FT-W one" in groups[1]:
        single.add(next(row for row in counts if "FT-W" in row))
    return counts == {row: 1 if row in single else WORDS[groups[0]] for row in table.rows} and (
        bool(single) == (" one" in groups[1])
    )


def _network(table: Tabled, steps: float) -> bool:
    """Whether the network on noisy labels begins at ImageNet's weights and takes so many steps at Hu 2018's rate."""
    return {
        (config.steps, config.learning_rate, config.decay, config.weights)
        for config in table.steps("pretrain-backbone")
        if config.labels == "noisy"
    } == {(steps, 1e-4, 0.9, "imagenet")}


def _steps(named: Differences, row: str) -> dict[str, object]:
    """By phase, of the row whose name begins so."""
    return {
        fact.removeprefix("steps."): here
        for (name, fact), (_, here) in named.items()
        if name.startswith(row) and fact.startswith("steps.")
    }


def _as_in_veit_2017(published: str, told: list[float]) -> bool:
    """Whether mAP and AP_all of FT-W and FT-M, and of Veit's clean and mixed labels, are as told; alike but for 0.01."""

    def of(table: str, ending: str) -> list[float]:
        (row,) = (row for row in published_tables()[table]["rows"] if row["name"].endswith(ending))
        (cell,) = row["cells"].values()
        return [cell["mAP"], cell["AP_all"]]

    veit = of("veit2017-table2", "clean labels") + of("veit2017-table2", "mixed labels")
    here = of(published, "FT-W)") + of(published, "FT-M)")
    return told == here + veit and here == pytest.approx(veit, abs=0.011)


DEVIATIONS = [
    Named(
        "the papers' list of the 56 classes was never published; the shipped class map is ours",
        holds=lambda t, d, g: t.steps("build-coco")[0].class_map == BuildCoco.model_fields["class_map"].default,
    ),
    Named(
        "what the networks start from is stated nowhere; ImageNet's weights, as in Hu 2019",
        r".*(Noisy|GT)\)",
        "start",
        lambda t, d, g: values(d, ".*") == {"imagenet"},
    ),
    Named(
        "how images are flipped is stated nowhere; both ways where networks are trained, as Hu 2018 has it on MS-COCO, not at "
        "all for heads, whose features are cached",
        keys=r"option\.flip",
        holds=lambda t, d, g: all(
            here == ("both" if re.search(r"(Noisy|GT|FT-W)\)$|Baseline", row) else "none") for (row, _), (_, here) in d.items()
        ),
    ),
    Named(
        r"heads learn from the features of images as they are; in the paper's training images are flipped \(section 4\.2\)",
        keys=r"option\.flip",
        holds=lambda t, d, g: values(d, ".*") == {"none"} and not any(re.search(r"(Noisy|GT|FT-W)\)$", row) for row, _ in d),
    ),
    Named(
        "how long both nets are trained together, and in what batches, is stated of the fine-tuned variants alone; as long as "
        r"these, ([\d,]+|4 million) steps, in batches of (\d+)",
        holds=lambda t, d, g: all(
            (found["steps.joint"], found["batch"]) == (number(g[0]), int(g[1]))
            for row in t.rows.values()
            for found in row
            if found["method"] == "teacher-student"
        ),
    ),
    Named(
        r"what learns from noisy labels alone has those of the clean set as well: ([\d,]+) images beside the ([\d,]+) of the "
        "(training|noisy) set",
        keys=r"noisy\..*",
        holds=lambda t, d, g: (
            values(d, ".*") == {"all"}
            and (number(g[0]), number(g[1]))
            == ((CLEAN_OPEN_IMAGES, OPEN_IMAGES["train_images"]) if g[2] == "training" else (PAIRS, CLOTHING["noisy_train"]))
        ),
    ),
    Named(
        "images of the clean set that a cell does not use count among those with noisy labels: at most 34 thousand beside nine "
        "million",
        holds=lambda t, d, g: (
            min(part for row in t.rows.values() for found in row for part in found["clean"] or ()) == 0.1
            and round(0.9 * CLEAN_OPEN_IMAGES / 1000) == 34
        ),
    ),
    Named(
        "the width of the hidden layers is stated nowhere; 512",
        r"(?!Veit|Our).*",
        r"option\.hidden",
        lambda t, d, g: values(d, ".*") == {512},
    ),
    Named(
        r"the sizes of the cleaning net(?: of Veit et al\.)? are stated nowhere; embeddings of 128, a hidden layer of 256",
        r"(Veit|Our Approach).*",
        r"option\.(hidden|embedding)",
        lambda t, d, g: values(d, ".*hidden") == {256} and values(d, ".*embedding") == {128},
    ),
    Named(
        r"how long (?:both )?nets are pre-trained on noisy labels is stated nowhere; ([\d,]+) steps",
        r"(Proposed|Pre-train).*",
        r"steps\.pretrain",
        lambda t, d, g: values(d, ".*") == {number(g[0])},
    ),
    Named(
        r"Veit et al. are trained as in Hu 2019, section 4.2 \(Adam, batches of 32, 200,000 steps, its rates for 20 % also "
        r"above\); here the paper has RMSProp and batches of 64 for all methods, and states no rates of theirs",
        "Veit.*",
        TRAINING,
        lambda t, d, g: (
            (values(d, "optimizer"), values(d, "batch"), values(d, r"steps\.joint")) == ({"adam"}, {32}, {200_000})
        ),
    ),
    Named(r"(?:rows|cells|points) are means of (three) seeds(|, that.*|, those.*); the paper states (?:no seeds|none)", ".*", "seeds", _seeds),
    Named(
        "rows of MLP, DRAE and CleanNet are means of three seeds; the paper states none",
        keys="seeds",
        holds=lambda t, d, g: all(
            (here == 3) == bool(re.match("MLP|DRAE|CleanNet", row)) for (row, _), (_, here) in d.items()
        ),
    ),
    Named("one seed a row; the paper states none", keys="seeds", holds=lambda t, d, g: values(d, "seeds") == {1}),
    Named(
        r"figure 5 also has 10 and 20 %, of which the paper prints the proposed method's at 10 % alone \(([\d.]+), ([\d.]+), "
        r"in tables 4 to 6\)",
        holds=lambda t, d, g: (
            published_tables()["hu2018-table4"]["rows"][1]["cells"]["0.1"] == {"mAP": float(g[0]), "AP_all": float(g[1])}
        ),
    ),
    Named(
        r"the backbone is trained here, not the one released with the data set, from ImageNet weights, with the rates of "
        r"Hu 2018 and for ([\d,]+) steps instead of (49 million)",
        r".*Noisy\)|Baseline",
        r"start|steps\.noisy|rate\.noisy\.network|decay\.noisy",
        lambda t, d, g: _network(t, number(g[0])) and OI_BACKBONE["steps.noisy"] == number(g[1]),
    ),
    Named(
        r"the network begins at ImageNet's weights and takes ([\d,]+) steps with the rates of Hu 2018; the paper's begins at "
        r"random ones and takes (49 million)",
        "Baseline",
        r"start|steps\.noisy|rate\.noisy\.network|decay\.noisy",
        lambda t, d, g: (
            _network(t, number(g[0])) and (OI_BACKBONE["steps.noisy"], OI_BACKBONE["start"]) == (number(g[1]), "none")
        ),
    ),
    Named(
        r"the network, of whose training on Open Images the paper states no settings, takes ([\d,]+) steps with those of Hu "
        r"2018(?:; Backbone \(Noisy\) has the figures of Veit 2017, whose network begins at random weights and takes (49 "
        r"million))?",
        r".*Noisy\)",
        r"start|optimizer|batch|steps\.noisy|rate\.noisy\.network|decay\.noisy",
        lambda t, d, g: (
            _network(t, number(g[0]))
            and (not g[1] or (OI_BACKBONE["steps.noisy"], OI_BACKBONE["start"]) == (number(g[1]), "none"))
            and bool(g[1]) == ("Backbone (Noisy)" in t.rows)
        ),
    ),
    Named(
        "the rows of Veit et al. have the figures of Veit 2017; the paper's own implementation of it reached 62.17, 89.15 "
        r"\(section 4.4\)",
        holds=lambda t, d, g: (
            [row["cells"] for row in published_tables()[t.published]["rows"] if row["name"].startswith("Veit")]
            == [row["cells"] for row in published_tables()["veit2017-table2"]["rows"] if row["name"].startswith("Our")]
        ),
    ),
    Named(
        "a tenth of the clean set is held out to choose checkpoints; the papers used all of it and state no validation set",
        keys="select",
        holds=lambda t, d, g: [config.validation_share for config in t.steps("build-openimages")] == [0.1],
    ),
    Named(
        "a tenth of the clean set is held out to choose checkpoints; the paper uses all of it, and stops by AP_all on 'the "
        "validation set', whose other images are its test set",
        keys="select",
        holds=lambda t, d, g: [config.validation_share for config in t.steps("build-openimages")] == [0.1],
    ),
    Named(
        r"the figures of Noisy-FT-W \(([\d.]+), ([\d.]+)\) and of Noisy-FT-M \(([\d.]+), ([\d.]+)\) are those of Veit 2017, who "
        r"fine-tuned the last layer alone \(([\d.]+), ([\d.]+); ([\d.]+), ([\d.]+)\)",
        holds=lambda t, d, g: _as_in_veit_2017(t.published, [float(value) for value in g]),
    ),
    Named(
        "which half of val2014 is for validation, and which images are the clean set, was not published; here the seeds draw them",
        holds=lambda t, d, g: len(t.steps("build-coco")) == 1,
    ),
    Named(
        "which quarter of the validation images is the clean set was not published; here the seed draws it",
        holds=lambda t, d, g: len(t.steps("build-openimages")) == 1,
    ),
    Named(
        r"L_clean is divided by the verified entries, not by images: with (\d+) of ([\d,]+) classes verified it weighs (\d+) "
        r"times as much",
        keys=r"option\.normalise",
        holds=lambda t, d, g: values(d, ".*") == {"entries"} and number(g[1]) / number(g[0]) == number(g[2]),
    ),
    Named(
        r"Noisy-FT-W is trained for ([\d,]+) of (4 million) steps",
        r".*FT-W\)",
        r"steps\.verified",
        lambda t, d, g: list(d.values()) == [(number(g[1]), number(g[0]))],
    ),
    Named(
        "the paper takes all rows but the last from Veit 2017 and Hu 2018; here they are trained, those of fine-tuning with "
        "the settings of Hu 2018",
        r".*FT-M\)",
        TRAINING,
        lambda t, d, g: values(d, r"rate\..*") == {1e-4},
    ),
    Named(
        "the settings of Misra et al. are stated nowhere; those of the paper's fine-tuned variants, from the trained last layer",
        "Misra.*",
        rf"{TRAINING}|option\.labelled_if_.*",
        lambda t, d, g: values(d, r"rate\..*") == {1e-3} and values(d, r"steps\..*") == {4_000_000},
    ),
    Named(
        "the paper's assignment of classes to the eight categories was never published; here they come from the hierarchy of "
        r"the classes with boxes, so that most classes are in none, and none in two, as some of the paper's are: its table 1 has "
        r"([\d,]+) of ([\d,]+)",
        holds=lambda t, d, g: (
            [config.groups.suffix for config in t.steps("build-openimages")] == [".json"]
            and [number(each) for each in g] == [sum(VEIT_TABLE_1), OPEN_IMAGES["classes"]]
        ),
    ),
    Named(
        r"which step is kept is stated nowhere; that with the best (AP_all|top-1) on validation",
        keys="select",
        holds=lambda t, d, g: values(d, "select") == {g[0].replace("-", "_")},
    ),
    Named(
        "row 3 goes on from the network of row 1, as Lee 2018, section 3.3, has it, not from ImageNet's weights",
        "3 .*",
        "start",
    ),
    Named(
        "the paper takes what is not its own from Lee 2018 and Patrini 2017; here it is trained, with the settings of Patrini 2017",
        r"(?!7 |training).*",
        TRAINING,
        lambda t, d, g: (values(d, "optimizer"), values(d, "batch"), values(d, r"rate\..*")) == ({"sgd"}, {32}, {1e-3}),
    ),
    Named(
        "how images are cropped and flipped is stated nowhere; random crops of 7/8, horizontal flips",
        keys=SHOWN,
        holds=lambda t, d, g: (values(d, ".*crop"), values(d, ".*flip")) == ({0.875}, {"horizontal"}),
    ),
    Named(
        "the paper states no settings of its classifiers, nor how long 7 is fine-tuned; those of Patrini 2017",
        keys=f"{TRAINING}|{SHOWN}",
        holds=lambda t, d, g: (values(d, "optimizer"), values(d, r"rate\..*")) == ({"sgd"}, {1e-3}),
    ),
    Named(
        r"the paper states no settings of its classifiers; see (parts/\w+\.yaml)(?: and (parts/\w+\.yaml))?",
        keys=f"{TRAINING}|{SHOWN}",
        elsewhere=True,
        holds=lambda t, d, g: all((PIPELINES / part).is_file() for part in g if part) and bool(t.steps("train-head")),
    ),
    Named(
        "the paper states no settings of its classifiers: from random weights, SGD, batches of 256, 45 epochs, rate 0.1, a "
        "tenth every 15; then 30 more under CleanNet's weights from 0.01",
        keys=f"{TRAINING}|{SHOWN}|start",
        holds=lambda t, d, g: (
            (values(d, "optimizer"), values(d, "batch"), values(d, "start")) == ({"sgd"}, {256}, {"none"})
            # Of the upper bound by steps: its epochs are shorter, being of the images whose label is right.
            and values(d, r"decay\..*") == {(0.1, 15.0, "epochs"), (0.1, 140_000, "steps")}
            and pytest.approx(15 * 0.98 * (WEBVISION["google"] + WEBVISION["flickr"]), rel=1e-3) == 140_000 * 256
            and values(d, r"rate\.noisy\..*") == {0.1}
            and values(d, r"rate\.weighted\..*") == {0.01}
        ),
    ),
    Named(
        "what the paper does not state of CleanNet is as in the authors' program: omega 5, SGD at 0.01, a tenth of it after "
        r"30,000 of 60,000 steps of 64, features as log\(1 \+ x\), weight decay 1e-4, dropout 0.2 of references",
        r"(?!MLP|kNN|SVM|label|classification|DRAE).*",
        r"detection\.(negative_weight|steps|optimizer|learning_rate|transform|batch_size|weight_decay|dropout)",
        lambda t, d, g: values(d, ".*") == {5.0, 60_000, "sgd", 0.01, "log", 64, 1e-4, 0.2},
    ),
    Named(
        "what the paper does not state of the other detectors is as on their cards",
        r"(?!CleanNet).*",
        r"detection\..*",
    ),
    Named(
        "Clothing1M's errors are those on its test images that have both labels, 5.4 thousand; the paper's on 7 thousand of "
        "validation, which here choose the threshold",
        holds=lambda t, d, g: {config.split for config in t.steps("eval")} == {None},
    ),
    Named(
        r"Food-101N as released has ([\d,]+) verified training images; the paper has 55 thousand",
        holds=lambda t, d, g: number(g[0]) == FOOD101N["verified_train"],
    ),
    Named(
        "Food-101N's validation images are not trained on, because they choose thresholds and checkpoints"
        "(?:; errors there are by a threshold chosen without the image's fold)?",
        holds=lambda t, d, g: bool(t.steps("build-food101n")),
    ),
    Named(
        "Food-101N's validation images are not trained on, because they choose thresholds and checkpoints; of Food-101's "
        "75,750 training images a tenth, so that its own row has 68,175",
        "None, Food-101",
        "clean",
        lambda t, d, g: any(config.train == "food-101" for config in t.steps("build-food101n")),
    ),
    Named(
        r"the paper's held-out classes come with Food-101N; here the seed draws them, those of 10 among those of 30 \(a list of "
        r"them: --hold-out-classes\)",
        keys=r"detection\.hold_out",
        holds=lambda t, d, g: values(d, ".*") <= {"drawn", None},  # of figure 6 the first point has none
    ),
    Named(
        "K of classification filtering is chosen on validation images of the other classes, as CleanNet's threshold is; the "
        "paper does not say on which",
        "classification filtering",
        r"detection\.use_held_out",
        lambda t, d, g: list(d.values()) == [(UNSTATED, False)],
    ),
    Named(
        "weights of the first round of alternating training",
        holds=lambda t, d, g: any(
            config.method == "cleannet" and config.detection.name.endswith("noise-1") for config in t.steps("train-head")
        ),
    ),
    Named(
        r"labels are verified by Inception V3; the paper took Inception-ResNet-V2 \(a .keras file of it: annotate's option "
        r"classifier\)",
        holds=lambda t, d, g: [config.classifier for config in t.steps("annotate")] == ["inception_v3"],
    ),
    Named(
        "2 % of the training images of each class are held out to choose checkpoints, in verified classes all of them verified "
        "beside the 250; the paper states no such set",
        holds=lambda t, d, g: (
            {(config.validation_share, config.per_class) for config in t.steps("build-webvision")} == {(0.02, 250)}
        ),
    ),
    Named(
        "rows choose their steps by what is verified in their own condition: dogs-118 by dogs alone, the baseline, of which "
        "nothing is verified, by its last step",
        keys="select",
        holds=lambda t, d, g: [row for (row, _), (_, here) in d.items() if here is None] == ["baseline"],
    ),
    Named(
        "semantic-308 is a class of each group with the same first hypernym of its first hypernym in WordNet 3.0, drawn by "
        "the seed: 303 classes; the paper's list of 308 was not published",
        holds=lambda t, d, g: {config.wordnet for config in t.steps("build-webvision") if config.condition == "semantic"}
        == {Path("data/wordnet")},
    ),
    Named(
        "the upper bound is fine-tuned on the images whose label is right; the paper does not say how it used all verifications",
        "every-image",
        "clean",
    ),
    Named(
        "Clothing1M as released has a million noisy labels; the paper trained on 1.5 million",
        holds=lambda t, d, g: len(t.steps("build-clothing1m")) == 1,
    ),
    Named(
        r"lengths of training, momentum, weight decay and the batch size are stated nowhere; ([\d,]+) steps for rows 1 to 4, "
        r"which end earlier where validation no longer improves, ([\d,]+) for rows 5 and 6, of which the latter has ([\d,]+) "
        r"on the clean set before, all of (\d+)",
        keys=r"steps\..*|batch|option\.weight_decay",
        holds=lambda t, d, g: (
            values({k: v for k, v in d.items() if k[0][0] in "1234"}, r"steps\..*") == {number(g[0])}
            and _steps(d, "5") == {"mixed": number(g[1])}
            and _steps(d, "6") == {"pretrain": number(g[2]), "fixed-types": 100_000, "em": number(g[1]) - 100_000}
            and values(d, "batch") == {number(g[3])}
        ),
    ),
    Named(
        "C and Q are read off the pairs of training and validation, as in the authors' program; the paper has C from the "
        r"training set alone \(sections 3.2 and 5.1\), Q from its figure 6, whose images it does not name",
        "[56] .*",
        r"option\.pairs_of",
        lambda t, d, g: values(d, ".*") == {"train+validation"},
    ),
    Named(
        "the net of noise types learns from the pairs of training alone; in the authors' program from those of validation, "
        "too",
        holds=lambda t, d, g: configure("noise-types", {}, "clothing1m").pairs_of == "train+validation",
    ),
    Named(
        "the validation column is of the images that choose the step, and of which C and Q are read off as well: it "
        "flatters, and the test column does not",
        holds=lambda t, d, g: (
            {config.split for config in t.steps("eval")} == {"validation", "test"}
            and {config.preset for config in t.steps("train-head") if config.method in ("bottom-up", "noise-types")}
            == {"clothing1m"}
            and {configure(name, {}, "clothing1m").pairs_of for name in ("bottom-up", "noise-types")} == {"train+validation"}
        ),
    ),
    Named(
        f"T of loss correction is counted on the pairs of the training images alone, {PAIRS:,} of them; no paper here states "
        "which pairs the published figure has",
        holds=lambda t, d, g: (
            {
                (config.options.get("transition"), config.options.get("pairs_of", "train"))
                for config in t.steps("train-head")
                if config.method == "forward"
            }
            == {("pairs", "train")}
        ),
    ),
    Named(
        "noise types are trained in the two stages of the authors' program, with its weights; the paper mixes in the clean "
        "images at half the amount of the noisy ones throughout",
        "6 .*",
        r"(rate|decay)\.fixed-types.*|option\.(clean_ratio|clean_weight|first_clean_weight|type_weight|z_gradient)",
        lambda t, d, g: (
            {fact: here for (_, fact), (_, here) in d.items() if fact.startswith("option.")}
            == {
                "option.clean_ratio": 1.0,
                "option.clean_weight": 1.0,
                "option.first_clean_weight": 0.1,
                "option.type_weight": 0.1,
                "option.z_gradient": 0.1,
            }
        ),
    ),
    Named(
        "how images are cropped and flipped is stated nowhere; as in CaffeNet: squeezed to 256, crops of 227 at random, the "
        "middle in tests, horizontal flips; biases learn at the rate of kernels, there at twice it",
        keys=SHOWN,
        holds=lambda t, d, g: (
            (values(d, ".*crop"), values(d, ".*flip")) == ({1.0}, {"horizontal"})
            and (ALEXNET.size, ALEXNET.margin, ALEXNET.resize) == (227, 256 - 227, "stretch")
        ),
    ),
    Named(
        "AlexNet is in one column, without the split of channels over two GPUs",
        holds=lambda t, d, g: {config.from_images for config in t.steps("train-head") if config.weights == "none"} == {"alexnet"},
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def all_tables() -> list[Tabled]:
    return list(tables())


def test_the_protocol_of_every_table_is_written_down(all_tables: list[Tabled]) -> None:
    assert {table.published for table in all_tables} == set(PAPERS) == set(published_tables())
    for table in all_tables:
        assert set(table.rows) == set(PAPERS[table.published]), table.published


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_tables_are_trained_as_their_papers_say_or_name_where_they_are_not(name: str, all_tables: list[Tabled]) -> None:
    (table,) = (table for table in all_tables if table.published == name)
    different = differences(table)
    told: Differences = {}
    for sentence in table.deviations:
        known = [(named, match) for named in DEVIATIONS if (match := re.fullmatch(named.sentence, sentence))]
        assert len(known) == 1, f"{table.file.name}: '{sentence}' is known {len(known)} times to this test"
        ((named, match),) = known
        covered = {
            place: pair
            for place, pair in different.items()
            if named.keys and re.fullmatch(named.rows, place[0]) and re.fullmatch(named.keys, place[1])
        }
        assert covered or named.keys is None or named.elsewhere, (
            f"{table.file.name}: nothing is different as '{sentence}' has it"
        )
        assert named.holds(table, covered, match.groups(default="")), f"{table.file.name}: '{sentence}' is not so"
        told |= covered
    unnamed = {place: pair for place, pair in different.items() if place not in told}
    assert not unnamed, f"{table.file.name} differs from the paper and does not say so: {unnamed}"


def test_papers_are_trained_at_new_weights_without_averages_or_scales(all_tables: list[Tabled]) -> None:
    """Nothing that heads without a preset have: every run steps as its paper says and keeps its best step."""
    seen = set()
    for table in all_tables:
        for config in table.steps("train-head"):
            settings = settings_of(config)
            assert getattr(settings, "solver", "steps") == "steps", f"{table.file.name}, {config.method}"
            seen.add(config.method)
            told = settings.average, settings.selection, settings.feature_scale, getattr(settings, "start", "new")
            assert told == (0, "metric", "none", "new"), f"{table.file.name}, {config.method}"
    assert {"residual", "teacher-student", "veit", "misra", "noisy", "noise-types", "cleannet"} <= seen


def test_figure_4_compares_the_activations_at_one_rate() -> None:
    """Hu 2019, section 4.4: "under the same learning rate (10^-5)", 5 % clean, to 80,000 iterations."""
    plan = read_pipeline(PIPELINES / "hu2019_table2.yaml")
    outputs = {step.output: step for step in plan.steps}
    (figure,) = (step.config for step in plan.steps if step.name == "hu2019-figure4")
    rows = [fact for path in figure.evaluations for fact in protocols([outputs[path]], outputs)]
    assert [row["option.activation"] for row in rows] == ["sigmoid", "tanh", "relu"]
    for row in rows:
        assert (row["rate.joint.head"], row["batch"], row["clean"]) == (1e-5, 32, (0.05,))
        assert row["steps.joint"] >= 80_000


def test_cleaning_nets_that_are_trained_to_convergence_are_looked_at_often(all_tables: list[Tabled]) -> None:
    for table in all_tables:
        for config in table.steps("train-head"):
            if config.options.get("variant") == "pretrained":
                settings = configure(config.method, config.options, config.preset)
                assert config.eval_every * 100 <= settings.pretrain_steps, table.file.name


def test_pipelines_that_share_a_work_directory_mean_the_same_by_a_name() -> None:
    seen: dict[object, object] = {}
    for file in sorted(PIPELINES.glob("*.yaml")):
        for step in read_pipeline(file).steps:
            other = seen.setdefault(step.output, (step.stage.name, step.config))
            assert other == (step.stage.name, step.config), f"{file.name}: {step.name}"


def test_every_open_images_table_knows_the_categories(all_tables: list[Tabled]) -> None:
    built = [config for table in all_tables for config in table.steps("build-openimages")]
    assert len(built) == 6
    assert all(config.groups is not None for config in built)
