"""The embedded data: scenes of real handwritten digits, in COCO's own format, made offline.

The directory that is written stands for what a user of COCO has on disk:

``images/train``, ``images/val``
    JPEG scenes with one to five digits and some shapes that are not digits.
``annotations/instances_train.json``, ``instances_val.json``
    COCO annotations: boxes, polygons, areas; ten digit and four shape categories.
``classifier/``, ``class_map.csv``
    A trained classifier with another, finer vocabulary, and the map from its classes to the ten
    digits, for ``build-coco`` to annotate the scenes with.

The noise arises as it does for COCO. The classifier knows a digit by its style (thin or bold, light
or dark), has learned from pictures of a single large object, and has classes that mean no digit;
two of the ten digits it knows in a single style only. Small, crowded, faint and overlapped digits
are missed, and what resembles another digit is taken for it.

The 1,797 digit images are parted three ways, so that none is in two of the training scenes, the
validation and test scenes, and the classifier's training pictures.

``--kind single`` writes another data set, pictures of one digit each: see ``digit_folders``. ``--kind pile`` and
``--kind scene-pile`` write what ``nlcli clean`` takes: see ``digit_piles``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nlcli.data.config import BuildDigits
from nlcli.data.sources.digit_classifier import make_classifier, vocabulary, write_class_map
from nlcli.data.sources.digit_folders import write_folders
from nlcli.data.sources.digit_painting import DIGITS
from nlcli.data.sources.digit_piles import write_digit_pile, write_scene_pile
from nlcli.data.sources.digit_scenes import part_digits, write_scenes
from nlcli.stages.stage import open_stage


def build_digits(config: BuildDigits, *, force: bool = False) -> Path:
    """Draw the images and, for scenes, train the classifier; see the module's docstring for what is written.

    The same configuration gives the same files, to the bit on the same machine.
    """
    with open_stage("digits", config, {}, seed=config.seed, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        if config.kind == "single":
            half = config.val_images // 2
            counts = {"train": config.train_images, "validation": half, "test": config.val_images - half}
            classes = write_folders(stage.work, counts, config.side, config.seed)
            stage.finish({"images": counts, "classes": classes})
            return stage.output
        parts = part_digits(config.seed)
        if config.kind != "scenes":
            write = write_digit_pile if config.kind == "pile" else write_scene_pile
            digits = np.sort(np.concatenate([parts["train"], parts["val"]]))
            counts = write(stage.work, digits, config.train_images, config.side, config.checked, config.seed)
            fingerprint = make_classifier(stage.work / "network", parts["single"], config.side, config.seed)
            stage.finish(counts, content={"network/model.keras": fingerprint})
            return stage.output
        counts = {"train": config.train_images, "val": config.val_images}
        objects = write_scenes(stage.work, parts, counts, config.side, config.seed)
        write_class_map(stage.work / "class_map.csv")
        fingerprint = make_classifier(stage.work / "classifier", parts["single"], config.side, config.seed)
        stage.finish(
            {"images": counts, "objects": objects, "classes": list(DIGITS), "source_classes": len(vocabulary())},
            content={"classifier/model.keras": fingerprint},  # the file itself carries the time of its writing
        )
    return stage.output
