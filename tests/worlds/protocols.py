"""The protocols of the papers' tables, written by hand from the papers, and those of the shipped pipelines read off them.

A protocol is a flat mapping of facts, so that two of them can be compared entry by entry:

=================== =======================================================================================
``method``          of train-head or detect-noise; ``network on noisy labels`` and the like of pretrain-backbone
``optimizer``       ``batch``: images in a step; ``weight_decay``
``steps.PHASE``     or ``CONVERGED`` of a phase that ends where validation no longer improves
``rate.PHASE.GROUP`` initial learning rates; ``trunk`` is a network that is trained along
``decay.PHASE``     (factor, every, unit) or None
``start``           weights it begins with: ``imagenet``, ``none``, or the stage whose network it goes on from
``clean``           parts of the clean set; ``seeds``: how many runs a cell is the mean of
``noisy.PHASE``     of which images a phase on noisy labels alone reads them: ``all`` of training, or ``T``, those outside
                    the clean set
``select``          what chooses a step, on validation; ``score``: which of its classifiers is scored; ``split``
``option.X``        an option of the method, or of how images are shown to it
``detection.X``     an option of a detector, or of that which weighs the images of train-head
=================== =======================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.stages.pipeline import Plan, read_pipeline

PIPELINES = Path(__file__).parents[2] / "pipelines"
Facts = dict[str, Any]


class Unstated:
    """What a paper does not state: no value equals it."""

    def __repr__(self) -> str:
        return "UNSTATED"


UNSTATED = Unstated()
CONVERGED = "until it converges"

# --- the papers ------------------------------------------------------------------------------

EPOCHS_2 = (0.9, 2.0, "epochs")
NO_DECAY = None


def facts(
    method: str,
    optimizer: Any = UNSTATED,
    batch: Any = UNSTATED,
    *,
    steps: Mapping[str, Any],
    rates: Mapping[str, Mapping[str, Any]],
    decay: Any = NO_DECAY,
    start: Any = None,
    clean: Any = None,
    seeds: Any = UNSTATED,
    select: Any = UNSTATED,
    score: str = "classifier",
    split: Any = ("test",),
    noisy: Mapping[str, str] | None = None,
    **options: Any,
) -> Facts:
    """A protocol as the table above has it; ``decay`` is of every phase, or by phase, ``noisy`` by phase."""
    found: Facts = {"method": method, "optimizer": optimizer, "batch": batch, "start": start, "clean": clean}
    found |= {"seeds": seeds, "select": select, "score": score, "split": split}
    found |= {f"steps.{phase}": count for phase, count in steps.items()}
    found |= {f"rate.{phase}.{group}": rate for phase, of in rates.items() for group, rate in of.items()}
    found |= {f"decay.{phase}": decay[phase] if isinstance(decay, dict) else decay for phase in steps}
    found |= {f"noisy.{phase}": of for phase, of in (noisy or {}).items()}
    return found | {f"option.{name}": value for name, value in options.items()}


def _coco(year: int) -> dict[str, Facts]:
    """Rows that tables of Hu 2018 and Hu 2019 on extended MS-COCO share (section 4.2 of both)."""
    # "ResNet50 ... 64 as batch size ... learning rate as 1e-4 ... decay of 0.9 every 2 epochs ... 20,000 iterations."
    backbone: dict[str, Any] = {"optimizer": "rmsprop", "batch": 64, "decay": EPOCHS_2}
    # 2018: "random flipped horizontally and vertically", "early stopping based on AP_all on the validation set", and no
    # word on what it starts from. 2019, section 3.3: "the weights of ImageNet pre-trained model".
    told_2018 = {"flip": "both", "select": "AP_all", "start": UNSTATED}
    backbone |= told_2018 if year == 2018 else {"start": "imagenet", "flip": UNSTATED}
    return {
        "noisy": facts(
            "network on noisy labels",
            **backbone,
            steps={"noisy": 20_000},
            rates={"noisy": {"network": 1e-4}},
            noisy={"noisy": "all"},  # "the entire training dataset" (2018), "all the images" (2019)
        ),
        "ground truth": facts(
            "network on verified labels",
            **backbone,
            steps={"verified": 20_000},
            rates={"verified": {"network": 1e-4}},
            clean=(1.0,),
        ),
    }


def _finetuned(start: str, **common: Any) -> dict[str, Facts]:
    """FT-W, FT-L and FT-M, all with the same settings."""
    steps, rate = common.pop("steps"), common.pop("rate")
    common = {"flip": UNSTATED} | common
    return {
        "FT-W": facts(
            "network on verified labels",
            **common,
            steps={"verified": steps},
            rates={"verified": {"network": rate}},
            start=start,
        ),
        "FT-L": facts(
            "finetune-last", **common, steps={"clean": steps}, rates={"clean": {"head": rate}}, start=f"features of {start}"
        ),
        "FT-M": facts(
            "finetune-mixed", **common, steps={"mixed": steps}, rates={"mixed": {"head": rate}}, start=f"features of {start}",
            clean_share=0.1,
        ),
    }  # fmt: skip


ALL_2018, ALL_2019 = (0.05, 0.1, 0.2, 0.3, 0.5), (0.05, 0.1, 0.2)
FEATURES = "features of backbone"


def _teacher_student(clean: Sequence[float], **options: Any) -> Facts:
    """Hu 2018, sections 3.1 and 4.3; iterations and batch are those that 4.2 states of "variants of fine-tuning".

    There too: "In the training phase, the images are random flipped horizontally and vertically." Section 3.2: nets are
    pre-trained "using all the training data and the noisy labels".
    """
    told = {"activation": "sigmoid", "targets": "hard", "threshold": 0.4, "pretrain": "both"} | options
    nets = ("teacher", "student") if told["pretrain"] == "both" else (told["pretrain"],)
    first = {} if told["pretrain"] == "none" else {"pretrain": UNSTATED}
    return facts(
        "teacher-student",
        "rmsprop",
        64,
        steps={**first, "joint": 100_000},
        rates={
            **({"pretrain": dict.fromkeys(nets, 1e-4)} if first else {}),
            "joint": {"teacher": 3e-4, "student": 3e-5},
        },
        start=FEATURES,
        clean=clean,
        select="AP_all",
        score="student",
        clean_share=0.1,
        hidden=UNSTATED,
        flip="both",
        noisy=dict.fromkeys(first, "all"),
        **told,
    )


VEIT_SIZES = {"embedding": UNSTATED, "hidden": UNSTATED}


def _veit(
    variant: str, clean: Any, optimizer: str, batch: int, cleaning: float, rate: float, steps: int, **more: Any
) -> Facts:
    """Veit 2017, section 4.4: cleaning net and classifier; pre-trained "until convergence", then at the joint rates.

    ``steps`` are those of the joint training: "4 million batches each", Hu 2019's "200,000 iterations".
    """
    first = variant == "pretrained"
    decay = more.pop("decay", NO_DECAY)
    alone = more.pop("alone", cleaning)
    return facts(
        "veit",
        optimizer,
        batch,
        steps={**({"cleaning": CONVERGED} if first else {}), "joint": steps},
        rates={**({"cleaning": {"cleaning": alone}} if first else {}), "joint": {"cleaning": cleaning, "classifier": rate}},
        decay={"cleaning": NO_DECAY, "joint": decay},
        start=FEATURES,
        clean=clean,
        variant=variant,
        clean_share=0.1,
        **VEIT_SIZES,
        **{"flip": UNSTATED, **more},
    )  # fmt: skip


def _residual_coco(activation: str, rate: float) -> Facts:
    """Hu 2019, sections 3.3 and 4.2."""
    return facts(
        "residual",
        "adam",
        32,
        steps={"joint": 100_000},
        rates={"joint": {"head": rate}},
        start=FEATURES,
        clean=ALL_2019,
        score="clean",
        activation=activation,
        alpha=0.2,
        train="joint",
        clean_share=0.1,
        hidden=UNSTATED,
        flip=UNSTATED,
    )


COCO_2018, COCO_2019 = _coco(2018), _coco(2019)
FT_2018 = _finetuned(
    "backbone", optimizer="rmsprop", batch=64, steps=100_000, rate=1e-4, clean=ALL_2018, select="AP_all", flip="both"
)
FT_2019 = _finetuned("backbone", optimizer="adam", batch=32, steps=50_000, rate=1e-4, clean=ALL_2019)

# Veit 2017, section 4.4: RMSProp 0.045, 0.94 every 2 epochs, 49 million steps of 32; fine-tuned for another 4 million,
# last layer from 0.001, cleaning net from 0.015, and 0.001 once it is pre-trained. Two epochs of the 9,011,219 images.
# The network is trained "from scratch using noisy labels" (section 2).
OI_DECAY, OI_EPOCHS = (0.94, 2.0, "epochs"), (0.94, 563_200, "steps")
OI_BACKBONE = facts(
    "network on noisy labels",
    "rmsprop",
    32,
    steps={"noisy": 49_000_000},
    rates={"noisy": {"network": 0.045}},
    decay=OI_DECAY,
    start="none",
    select=None,
    flip=UNSTATED,
    noisy={"noisy": "T"},  # "using the noisy labels from the Open Images training set"
)
# Hu 2019, section 3.3: "We initialize the backbone CNN by the weights of ImageNet pre-trained model ... first fine-tune the
# backbone CNN by using the noisy labeled data"; section 4.2 says no more of it on Open Images.
OI_NETWORK_2019 = OI_BACKBONE | {
    "start": "imagenet",
    **dict.fromkeys(("optimizer", "batch", "steps.noisy", "rate.noisy.network", "decay.noisy"), UNSTATED),
}
# Sums over images: eq. (2) and (3) of Veit 2017, (3) and (4) of Hu 2018, (6) of Hu 2019. Every class of an image of
# MS-COCO is verified, so that it is all the same there.
OI_VEIT = {
    "WP": _veit(
        "pretrained",
        (1.0,),
        "rmsprop",
        32,
        1e-3,
        1e-3,
        4_000_000,
        decay=OI_EPOCHS,
        alone=0.015,
        select=None,
        normalise="images",
    ),
    "TJ": _veit(
        "joint", (1.0,), "rmsprop", 32, 0.015, 1e-3, 4_000_000, decay=OI_EPOCHS, select=None, normalise="images"
    ),
}
OI_FT_2017 = _finetuned(
    "backbone", optimizer="rmsprop", batch=32, steps=4_000_000, rate=1e-3, decay=OI_EPOCHS, clean=(1.0,), select=None
)
# Hu 2018, section 4.2: "fine-tuning ... learning rate of 1e-4 ... additional 4 million iterations with a batch size of 32
# ... early stopping based on AP_all on the validation set".
OI_FT_2018 = _finetuned(
    "backbone", optimizer="rmsprop", batch=32, steps=4_000_000, rate=1e-4, clean=(1.0,), select="AP_all"
)


def _misra(score: str) -> Facts:
    return facts(
        "misra",
        steps={"joint": UNSTATED},
        rates={"joint": {"visual": UNSTATED, "relevance": UNSTATED}},
        decay=UNSTATED,
        start=FEATURES,
        score=score,
        select=None,
        flip=UNSTATED,
        noisy={"joint": "T"},
        labelled_if_present=UNSTATED,
        labelled_if_absent=UNSTATED,
    )


def _residual_open_images(clean: tuple[float, ...], train: str = "joint", score: str = "clean") -> Facts:
    """Hu 2019, section 4.2: "10^-3 using RMSProp ... a batch size of 32 and up to 2M iterations", alpha 0.1.

    Of h alone (section 4.6, "i.e., alpha = 0") equation 5 remains, which is of the noisy set.
    """
    share = {"clean_share": 0.1} if train == "joint" else {}
    return facts(
        "residual",
        "rmsprop",
        32,
        steps={train: 2_000_000},
        rates={train: {"head": 1e-3}},
        start=FEATURES,
        clean=clean,
        select=None,
        score=score,
        activation="sigmoid",
        alpha=0.1,
        train=train,
        normalise="images",
        hidden=UNSTATED,
        flip=UNSTATED,
        noisy={train: "T"} if train == "noise-only" else {},
        **share,
    )


ON_NOISY = ("noisy", "corrected", "weighted")
"""Phases on noisy labels alone."""


def _clothing(method: str, start: Any, phase: str, *, noisy: str = "T", **options: Any) -> Facts:
    """A ResNet50 of Lee 2018's or Hu 2019's table whose training neither states.

    Args:
        noisy: Whose noisy labels: of Clothing1M "1M noisy", which its clean set is not among, by its counts; in Food-101N
            and WebVision what is verified are noisy labels, and ``all`` of them are trained on.
    """
    return facts(
        method,
        noisy={phase: noisy} if phase in ON_NOISY else {},
        steps={phase: UNSTATED},
        rates={phase: {"head": UNSTATED, "trunk": UNSTATED}},
        decay=UNSTATED,
        start=start,
        crop=UNSTATED,
        flip=UNSTATED,
        weight_decay=UNSTATED,
        **options,
    )


def _residual_clothing(train: str = "joint", score: str = "clean") -> Facts:
    """Hu 2019, section 4.2: "10^-4 ... Adam using a batch size of 32, and up to 120,000 iterations", alpha 0.2."""
    return facts(
        "residual",
        "adam",
        32,
        steps={train: 120_000},
        rates={train: {"head": 1e-4, "trunk": 1e-4}},
        start="imagenet",
        clean=(1.0,),
        score=score,
        activation="sigmoid",
        alpha=0.2,
        train=train,
        hidden=UNSTATED,
        crop=UNSTATED,
        flip=UNSTATED,
        noisy={train: "T"} if train == "noise-only" else {},
        **({"clean_share": 0.1} if train == "joint" else {}),
    )


def _alexnet(method: str, phase: str, start: str) -> Facts:
    """Xiao 2015, table 1 and section 5.2: 0.001, times 0.1 every 50,000 iterations, until it converges."""
    return facts(
        method,
        "sgd",
        steps={phase: UNSTATED},
        rates={phase: {"head": 1e-3, "trunk": 1e-3}},
        decay=(0.1, 50_000, "steps"),
        start=start,
        clean=(1.0,),
        split=("validation", "test"),
        crop=UNSTATED,
        flip=UNSTATED,
        weight_decay=UNSTATED,
    )


def _mixed_alexnet(method: str, phases: Sequence[str], groups: Mapping[str, Sequence[str]], **options: Any) -> Facts:
    """Rows 5 and 6, from model 2; the clean images "to half amount of the noisy data" (section 4), each like any other."""
    return facts(
        method,
        "sgd",
        steps=dict.fromkeys(phases, UNSTATED),
        rates={phase: dict.fromkeys((*groups[phase], "trunk"), 1e-3) for phase in phases},
        decay=(0.1, 50_000, "steps"),
        start="alexnet-imagenet-clean",
        clean=(1.0,),
        split=("validation", "test"),
        crop=UNSTATED,
        flip=UNSTATED,
        weight_decay=UNSTATED,
        clean_ratio=0.5,
        clean_weight=0.5,
        **options,
    )


def _detector(method: str, features: Any = None, **options: Any) -> Facts:
    """Lee 2018, section 4.2: on pool5 features of a ResNet50 fine-tuned on the noisy labels."""
    start = features or ("features of food101n-network-0", "features of clothing1m-network-0")
    told: Facts = {"method": method, "start": start, "seeds": UNSTATED, "clean": (1.0,)}
    return told | {f"detection.{name}": value for name, value in options.items()}


def _unstated(*options: str) -> Facts:
    return dict.fromkeys(options, UNSTATED)


# "2-layer MLP", "implementations of kNN, SVM, label prop, and label spread are from scikit-learn", "we reimplemented DRAE".
MLP = _unstated("hidden", "weight_decay", "iterations")
KNN = _unstated("neighbours", "weights")
SVM = _unstated("kernel", "c", "images")
LABEL_PROP = _unstated("neighbours", "unlabelled", "iterations")
FILTER = _unstated("folds", "l2")
LISTED = {"hold_out": "listed"}  # "Lists of the held-out classes are available in the Food-101N dataset."
DRAE = _unstated("hidden", "steps", "learning_rate", "discrimination", "images")


# Lee 2018, section 3.1: 50 centroids, rho 0.1, beta and gamma 0.1.
CLEANNET = {
    "references": 50,
    "selection": "kmeans",  # "since the K-means approach shows slightly better result"
    "margin": 0.1,
    "reconstruction": 0.1,
    "reinforcement": 0.1,
    "negative_weight": UNSTATED,
    "steps": UNSTATED,
    "optimizer": UNSTATED,
    "learning_rate": UNSTATED,
    "transform": UNSTATED,
    "batch_size": UNSTATED,
    "weight_decay": UNSTATED,
    "dropout": UNSTATED,
    "class_images": "all",  # "K-means on the extracted features of all images in class c"
}
WEIGHED = {"detection.method": "cleannet"} | {f"detection.{name}": value for name, value in CLEANNET.items()}
FOOD_FEATURES = ("features of food101n-network-0",)


BEFORE = "features of (Noisy)"
"""In the place of a row: the network on whose features a table's heads learn, where it has no row of its own."""

PAPERS: dict[str, dict[str, Facts]] = {
    "hu2018-table2": {
        "ResNet50 (Noisy)": COCO_2018["noisy"],
        "ResNet50 (Noisy-FT-W)": FT_2018["FT-W"],
        "ResNet50 (Noisy-FT-L)": FT_2018["FT-L"],
        "ResNet50 (Noisy-FT-M)": FT_2018["FT-M"],
        # RMSProp and 64 as for all models; "we implement their method": no rates, no length.
        **{
            f"Veit et al. ({name})": _veit(variant, ALL_2018, "rmsprop", 64, 1, 1, 1)
            | dict.fromkeys(
                ("steps.joint", "rate.joint.cleaning", "rate.joint.classifier")
                + (("rate.cleaning.cleaning",) if name == "WP" else ()),
                UNSTATED,
            )
            | {"select": "AP_all", "option.flip": "both"}
            for name, variant in (("WP", "pretrained"), ("TJ", "joint"))
        },
        "Proposed (teacher-student)": _teacher_student(ALL_2018),
        "ResNet50 (GT)": COCO_2018["ground truth"],
    },
    "hu2018-table3": {
        "Inception V3 (Noisy)": OI_BACKBONE,
        "Inception V3 (Noisy-FT-W)": OI_FT_2018["FT-W"],
        "Inception V3 (Noisy-FT-L)": OI_FT_2018["FT-L"],
        "Inception V3 (Noisy-FT-M)": OI_FT_2018["FT-M"],
        "Veit et al. (WP)": OI_VEIT["WP"],
        "Veit et al. (TJ)": OI_VEIT["TJ"],
        "Proposed (teacher-student)": _teacher_student((1.0,))
        | {"batch": 32, "steps.joint": 4_000_000, "rate.joint.teacher": 1e-4, "rate.joint.student": 1e-5}
        | {"option.normalise": "images", "option.flip": UNSTATED},
    },
    "hu2018-table4": {
        "Proposed (Linear Feat. Trans.)": _teacher_student((0.05, 0.1), activation="linear"),
        "Proposed": _teacher_student((0.05, 0.1)),
        "ResNet50 (GT)": COCO_2018["ground truth"],
        "ResNet50 (Noisy)": COCO_2018["noisy"],
    },
    "hu2018-table5": {
        "No pre-training": _teacher_student((0.05, 0.1), pretrain="none"),
        "Pre-train label cleaning net alone": _teacher_student((0.05, 0.1), pretrain="teacher"),
        "Pre-train classification net alone": _teacher_student((0.05, 0.1), pretrain="student"),
        "Pre-train both nets": _teacher_student((0.05, 0.1)),
        BEFORE: COCO_2018["noisy"],
    },
    "hu2018-table6": {
        "Proposed (soft label)": _teacher_student((0.05, 0.1), targets="soft"),
        "Proposed (hard label)": _teacher_student((0.05, 0.1)),
        BEFORE: COCO_2018["noisy"],
    },
    "hu2019-table2": {
        "Backbone (Noisy)": COCO_2019["noisy"],
        "Backbone (Noisy-FT-W)": FT_2019["FT-W"],
        "Backbone (Noisy-FT-L)": FT_2019["FT-L"],
        "Backbone (Noisy-FT-M)": FT_2019["FT-M"],
        # "(10^-4, 10^-5) for 5 %, 10 %, (10^-3, 10^-4) for 20 % ... for 200,000 iterations"; here those of 5 and 10 %.
        "Veit et al. (WP)": _veit("pretrained", ALL_2019, "adam", 32, 1e-4, 1e-5, 200_000),
        "Veit et al. (TJ)": _veit("joint", ALL_2019, "adam", 32, 1e-4, 1e-5, 200_000),
        "Proposed (sigmoid)": _residual_coco("sigmoid", 1e-4),
        "Proposed (tanh)": _residual_coco("tanh", 1e-5),
        "Proposed (ReLU)": _residual_coco("relu", 1e-5),
        "Backbone (GT)": COCO_2019["ground truth"],
    },
    "hu2019-table2-open-images": {
        "Backbone (Noisy)": OI_BACKBONE,
        "Backbone (Noisy-FT-W)": OI_FT_2018["FT-W"],
        "Backbone (Noisy-FT-L)": OI_FT_2018["FT-L"],
        "Backbone (Noisy-FT-M)": OI_FT_2017["FT-M"],  # "the reported results" of Veit 2017: 61.90, 84.80
        "Veit et al. (WP)": OI_VEIT["WP"],
        "Veit et al. (TJ)": OI_VEIT["TJ"],
        "Proposed (sigmoid)": _residual_open_images((1.0,)),
    },
    "hu2019-table3": {
        "Proposed (sigmoid)": _residual_open_images((0.1, 0.2, 0.4, 0.6, 0.8, 1.0)),
        BEFORE: OI_NETWORK_2019,
    },
    "hu2019-table4": {
        "1 ResNet50 (Noisy)": _clothing("noisy", "imagenet", "noisy"),
        "2 ResNet50 (Clean)": _clothing("clean", "imagenet", "clean", clean=(1.0,)),
        "3 CleanNet-wsoft": _clothing("cleannet", "imagenet", "weighted", weights="soft") | WEIGHED,
        "4 Fine-tune, from 3": _clothing("finetune-whole", "clothing1m-network-1", "verified", clean=(1.0,)),
        "5 Forward": _clothing("forward", "imagenet", "corrected", transition="pairs"),
        "6 Fine-tune, from 5": _clothing("finetune-whole", "clothing1m-forward", "verified", clean=(1.0,)),
        "7 Proposed (sigmoid)": _residual_clothing(),
    },
    "hu2019-table5": {
        "Backbone (Noisy)": OI_BACKBONE,
        "training h alone": _residual_open_images((1.0,), "noise-only", "noisy"),
        "training g alone": _residual_open_images((1.0,), "clean-only"),
        "training g, h jointly": _residual_open_images((1.0,)),
    },
    "hu2019-table5-clothing1m": {
        "Backbone (Noisy)": _clothing("noisy", "imagenet", "noisy"),
        "training h alone": _residual_clothing("noise-only", "noisy"),
        "training g alone": _residual_clothing("clean-only"),
        "training g, h jointly": _residual_clothing(),
    },
    "veit2017-table2": {
        "Baseline": OI_BACKBONE,
        "Misra et al. visual classifier": _misra("visual"),
        "Misra et al. relevance classifier": _misra("relevance"),
        "Fine-Tuning with mixed labels": OI_FT_2017["FT-M"],
        "Fine-Tuning with clean labels": OI_FT_2017["FT-L"],
        "Our Approach with pre-training": OI_VEIT["WP"],
        "Our Approach trained jointly": OI_VEIT["TJ"],
    },
    "veit2017-table3": {
        "Baseline": OI_BACKBONE,
        "Fine-Tuning with mixed labels": OI_FT_2017["FT-M"],
        "Fine-Tuning with clean labels": OI_FT_2017["FT-L"],
        "Our Approach with pre-training": OI_VEIT["WP"],
        "Our Approach trained jointly": OI_VEIT["TJ"],
    },
    "xiao2015-table2": {
        "1 AlexNet, clean, random": _alexnet("clean", "clean", "none"),
        "2 AlexNet, clean, ImageNet": _alexnet("clean", "clean", "caffenet"),
        "3 AlexNet, clean and noisy, random": _alexnet("clean-and-noisy", "mixed", "none"),
        "4 AlexNet, clean and noisy, ImageNet": _alexnet("clean-and-noisy", "mixed", "caffenet"),
        # Table 1: initialised by model 2, which the clean set has trained. Q is "Figure 6", of images that are not named.
        "5 Bottom Up, from 2": _mixed_alexnet("bottom-up", ("mixed",), {"mixed": ["head"]}, pairs_of=UNSTATED),
        # "Pretrain each CNN component with strongly supervised data" (section 4), C from D_c (3.2), the training set (5.1).
        # Both kinds of gradients are added as they are; the losses are means over their rows.
        "6 Ours, from 2": _mixed_alexnet(
            "noise-types",
            ("pretrain", "em"),
            {"pretrain": ["head", "types"], "em": ["head", "types"]},
            pairs_of="train",
            type_weight=0.5,
            z_gradient=1.0,
        ),
    },
    "lee2018-table2": {
        "naive baseline": _detector("naive"),
        "MLP": _detector("mlp", **MLP),
        "kNN": _detector("knn", **KNN),
        "SVM": _detector("svm", **SVM),
        "label prop": _detector("label-propagation", **LABEL_PROP),
        "label spread": _detector("label-spreading", **LABEL_PROP, alpha=UNSTATED),
        "classification filtering": _detector("classification-filter", **FILTER),
        "DRAE": _detector("drae", **DRAE),
        # "averages reference features": those of CleanNet.
        "average baseline": _detector("average", references=50, selection="kmeans", class_images="all"),
        "CleanNet": _detector("cleannet", **CLEANNET),
        "CleanNet*": _detector(
            "cleannet", ("features of food101n-network-1", "features of clothing1m-network-1"), **CLEANNET
        ),
    },
    "lee2018-table3": {
        "None, Food-101": _clothing("clean", "imagenet", "clean", clean=UNSTATED),
        "None, Food-101N": _clothing("noisy", "imagenet", "noisy", noisy="all"),
        "CleanNet, w_hard": _clothing("cleannet", "food101n-network-0", "weighted", noisy="all", weights="hard")
        | WEIGHED,
        "CleanNet, w_soft": _clothing("cleannet", "food101n-network-0", "weighted", noisy="all", weights="soft")
        | WEIGHED,
    },
    "lee2018-table4": {
        "1 None, 1M noisy, ImageNet": _clothing("noisy", "imagenet", "noisy"),
        "2 None, 50k clean, ImageNet": _clothing("clean", "imagenet", "clean", clean=(1.0,)),
        "3 loss correct., 1M noisy, ImageNet": _clothing("forward", "imagenet", "corrected", transition="pairs"),
        "4 None, 50k clean, from 3": _clothing("finetune-whole", "clothing1m-forward", "verified", clean=(1.0,)),
        # Section 3.3: step 3 fine-tunes the classifier of step 1.
        "5 CleanNet, w_hard, 1M noisy, ImageNet": _clothing(
            "cleannet", "clothing1m-network-0", "weighted", weights="hard"
        )
        | WEIGHED,
        "6 CleanNet, w_soft, 1M noisy, ImageNet": _clothing(
            "cleannet", "clothing1m-network-0", "weighted", weights="soft"
        )
        | WEIGHED,
        "7 None, 50k clean, from 6": _clothing("finetune-whole", "clothing1m-network-1", "verified", clean=(1.0,)),
    },
    "lee2018-table6": {
        "baseline": _clothing("noisy", UNSTATED, "noisy", noisy="all"),
        "every-image": _clothing("finetune-whole", "network-none", "verified", clean=UNSTATED),
        **{
            condition: _clothing("cleannet", "network-none", "weighted", noisy="all", weights="soft") | WEIGHED
            for condition in ("all-1000", "semantic-308", "random-308", "random-118", "dogs-118")
        },
    },
    "lee2018-figure5": {
        "CleanNet": _detector("cleannet", FOOD_FEATURES, **CLEANNET, **LISTED, use_held_out=False, transfer="trust"),
        "MLP": _detector("mlp", FOOD_FEATURES, **MLP, **LISTED, use_held_out=True),
        "classification filtering": _detector(
            "classification-filter", FOOD_FEATURES, **FILTER, **LISTED, use_held_out=UNSTATED
        ),
    },
    "lee2018-figure6": {
        "CleanNet, w_soft": _clothing("cleannet", "food101n-network-0", "weighted", noisy="all", weights="soft")
        | WEIGHED
        | {"detection.hold_out": "listed"},
        "None": _clothing("noisy", "imagenet", "noisy", noisy="all"),
    },
}

VEIT_20 = {"cleaning": 1e-3, "classifier": 1e-4}
"""Rates of Veit et al. on extended MS-COCO with 20 % of the clean set (Hu 2019, section 4.2)."""


# --- the pipelines ---------------------------------------------------------------------------


ON_NOISY_LABELS = "network on noisy labels"


@dataclass(frozen=True)
class Tabled:
    """A table stage: its plan, its options, and the protocols of its rows (a row may have several)."""

    file: Path
    plan: Plan
    published: str
    deviations: tuple[str, ...]
    rows: dict[str, list[Facts]]

    def steps(self, command: str) -> list[Any]:
        """Configurations of the plan's stages that run ``command``."""
        return [step.config for step in self.plan.steps if step.stage.name == command]


def tables() -> Iterator[Tabled]:
    """Every shipped table of a paper, once."""
    for file in sorted(PIPELINES.glob("*.yaml")):
        plan = read_pipeline(file)
        outputs = {step.output: step for step in plan.steps}
        for step in plan.steps:
            if step.stage.name == "table" and step.config.published:
                rows = {
                    name: protocols([outputs[path] for path in paths], outputs) for name, paths in step.config.rows.items()
                }  # fmt: skip
                networks = [each.output for each in plan.steps if each.stage.name == "pretrain-backbone"]
                if networks and not any(fact["method"] == ON_NOISY_LABELS for row in rows.values() for fact in row):
                    tested = (
                        each for each in plan.steps if each.stage.name == "eval" and each.config.model in networks
                    )
                    rows[BEFORE] = protocols(list(tested), outputs)
                yield Tabled(file, plan, step.config.published, step.config.deviations, rows)


def protocols(evaluations: Sequence[Any], outputs: Mapping[Path, Any]) -> list[Facts]:
    """Protocols of a row: one for every set of settings, with the parts of the clean set and seeds that share it."""
    merged: list[Facts] = []
    for evaluation in evaluations:
        found = of_model(outputs[evaluation.config.model], outputs)
        if "split" in found:
            found |= {"score": evaluation.config.score or found["score"], "split": (evaluation.config.split or "test",)}
        for other in merged:
            together = ("clean", "seeds", "split", "start")
            if {k: v for k, v in other.items() if k not in together} == {
                k: v for k, v in found.items() if k not in together
            }:
                for key in together[:1] + together[2:]:
                    if key in found and found[key] is not None:
                        other[key] = tuple(dict.fromkeys((*_tuple(other.get(key)), *_tuple(found[key]))))
                other["seeds"] |= found["seeds"]
                break
        else:
            merged.append(found)
    for found in merged:
        found["seeds"] = len(found["seeds"])
        if "split" in found and isinstance(found["start"], tuple):  # a detection's stays a list: a column each
            (found["start"],) = found["start"]
    return merged


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def of_model(step: Any, outputs: Mapping[Path, Any]) -> Facts:
    """The protocol of what a stage trained."""
    return {"pretrain-backbone": _of_network, "train-head": _of_head, "detect-noise": _of_detection}[step.stage.name](
        step.config, outputs
    )


def _of_network(config: Any, outputs: Mapping[Path, Any]) -> Facts:
    decay = None if config.decay == 1.0 else (config.decay, config.decay_epochs, "epochs")
    verified = config.labels == "verified"
    return facts(
        f"network on {config.labels} labels",
        config.optimizer,
        config.batch_size,
        steps={config.labels: config.steps},
        rates={config.labels: {"network": config.learning_rate}},
        decay=decay,
        start=_origin(config.weights, outputs),
        clean=(config.clean_fraction,) if verified else None,
        seeds={config.seed},
        select=_selected(config, outputs),
        split=(),
        flip=config.flip,
        crop=config.crop,
        noisy={} if verified else {"noisy": "all"},
    )


def settings_of(config: Any) -> Any:
    """The method's settings as ``train-head`` decides them, of a run whose inputs are not there."""
    from nlcli.training.train_head import method_settings

    return method_settings(config.model_copy(update={"init": None}))


def _of_head(config: Any, outputs: Mapping[Path, Any]) -> Facts:
    from nlcli.methods import get_method
    from nlcli.methods.base.contract import Problem
    from nlcli.networks.linear_layer import LinearLayer

    cls, settings = get_method(config.method), settings_of(config)
    task = "multi-label" if "multi-label" in cls.tasks and config.from_images is None else "single-label"
    classes = ("a", "b", "c")
    pairs = np.array([[4, 1, 0], [0, 4, 1], [2, 0, 4]]) if cls.uses_pairs(settings) else None
    layer = LinearLayer.zeros(4, classes) if cls.needs_last_layer or cls.accepts_last_layer else None
    method = cls(settings, Problem(4, classes, task, pairs), layer)
    phases = method.phases()
    common = {"steps", "batch_size", "optimizer", "learning_rate", "decay", "decay_epochs", "decay_steps", "start"}
    told = {k: v for k, v in settings.model_dump().items() if k not in common and not k.endswith(("_rate", "_steps"))}
    if any(phase.rows == "mixed" for phase in phases):
        told["clean_share"] = phases[-1].clean_share
    told["flip"] = "none" if config.from_images is None else config.flip
    if config.from_images is not None:
        told |= {"crop": config.crop, "trunk": config.trunk}
    rates = {phase.name: {g: rate.initial for g, rate in phase.rates.items()} for phase in phases}
    if config.from_images is not None and config.trunk == "trained":
        for phase in phases:
            rates[phase.name]["trunk"] = (config.trunk_rate or method.trunk_rate()) * phase.trunk_factor
    decays = {}
    for phase in phases:
        (decays[phase.name],) = {
            (rate.factor, rate.every, rate.unit) if rate.every else None for rate in phase.rates.values()
        }
    if config.from_images is None:
        start = f"features of {_origin(outputs[config.features].config.backbone, outputs)}"
    elif Path(config.from_images).parent in outputs:
        start = _origin(config.from_images, outputs)
    else:
        start = _origin(config.weights, outputs)
    detection: Facts = {}
    if config.detection is not None:
        of = _of_detection(outputs[config.detection].config, outputs)
        detection = {"detection.method": of["method"]} | {k: v for k, v in of.items() if k.startswith("detection.")}
    uses_clean = cls.uses_pairs(settings) or any(phase.rows != "noisy" for phase in phases) or "train" in told
    return (
        facts(
            config.method,
            settings.optimizer,
            settings.batch_size,
            steps={phase.name: CONVERGED if phase.patience else phase.steps for phase in phases},
            rates=rates,
            decay=decays,
            start=start,
            clean=(config.clean_fraction,) if uses_clean and config.method != "forward" else None,
            seeds={config.seed},
            select=_selected(config, outputs),
            score=method.offered()[0],
            split=(),
            noisy={phase.name: "all" for phase in phases if phase.rows == "noisy"},
            **told,
        )
        | detection
    )


MOST_IMAGES = 3_000_000
"""More than any data set of Lee 2018 has: WebVision's are 2.4 million."""


def _of_detection(config: Any, outputs: Mapping[Path, Any]) -> Facts:
    from nlcli.detection import make_detector

    told = make_detector(config.method, config.options).config.model_dump() | {"use_held_out": config.use_held_out}
    if config.hold_out or config.hold_out_classes:
        told["hold_out"] = "listed" if config.hold_out_classes else "drawn"
    if "references" in told:
        told["class_images"] = "all" if config.class_images >= MOST_IMAGES else config.class_images
    partly = config.hold_out or outputs[config.dataset].stage.name == "build-webvision"
    if not partly:  # every class has verified images, and nothing is there to be checked
        told.pop("transfer", None)
    start = (f"features of {_origin(outputs[config.features].config.backbone, outputs)}",)
    found = {"method": config.method, "start": start, "seeds": {config.seed}, "clean": (config.clean_fraction,)}
    return found | {f"detection.{name}": value for name, value in told.items()}


def _origin(weights: str, outputs: Mapping[Path, Any]) -> str:
    path = Path(weights)
    for where in (path, path.parent):
        if where in outputs:
            return str(outputs[where].name)
    return "weights file" if re.search(r"\.(h5|keras)$", str(weights)) else str(weights)


def _selected(config: Any, outputs: Mapping[Path, Any]) -> str | None:
    """What chooses the step on the data set's validation images, None where nothing of them is verified."""
    build = outputs[config.dataset]
    kind = build.stage.name
    if kind == "build-openimages":
        return "AP_all" if build.config.validation_share else None
    if kind == "build-webvision":
        return "top_1" if build.config.predictions is not None else None
    return "AP_all" if kind == "build-coco" else "top_1"
