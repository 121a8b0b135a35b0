"""Images with any number of tags each: multi-label data sets of one's own.

What is read, and what a data set becomes of it, is told in ``tag_files.py`` (formats), ``tagged_images.py`` (names and
verification) and ``drawn_splits.py``. Images are never copied.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nlcli.console import say
from nlcli.data.config import BuildTags
from nlcli.data.copies import kept_together
from nlcli.data.label_files import write_dataset
from nlcli.data.labels import NONE, SPLITS
from nlcli.data.pictures import pictures_changed, renew_pictures
from nlcli.data.sources.base import (
    TRAIN,
    VALIDATION,
    enumerate_some,
    limited,
    missing_files,
    refuse_missing,
    write_left_out,
)
from nlcli.data.sources.checked_list import match_images, refuse_unmatched
from nlcli.data.sources.drawn_splits import draw_splits, tell_unchecked
from nlcli.data.sources.tag_files import read_tags, tag_files
from nlcli.data.sources.tagged_images import (
    TaggedImages,
    label_table,
    people_are_noisy,
    settle_names,
    settle_verification,
    tell_what_was_read,
    with_checked,
)
from nlcli.data.statistics import label_statistics, write_statistics
from nlcli.errors import NlcliError
from nlcli.stages.files import fingerprint_json
from nlcli.stages.stage import open_stage


def build_tags(config: BuildTags, *, force: bool = False) -> Path:
    """Build a multi-label data set; see the module's docstring.

    Returns:
        The data set directory.

    Raises:
        NlcliError: with the file and the line, or the image, for whatever does not fit.
    """
    files = tag_files(config.table)
    root = config.images or (config.table if config.table.is_dir() else config.table.parent)
    inputs: dict[str, Any] = {"table" if not i else f"table {i + 1}": path for i, path in enumerate(files)}
    inputs |= {"classes": config.classes, "checked": config.checked}
    tagged = read_tags(config.table)
    if tagged.one_label:
        raise NlcliError(
            f"{config.table} says that an image has one label; give it to nlcli build-folders as --table, which does"
        )
    if config.people is None and tagged.people_alone:
        raise NlcliError(
            f"all tags of {config.table} are people's: pass --people noisy if they are the labels to be doubted, or "
            "--people verified if they are what is known to be right"
        )
    if config.people == "noisy":
        tagged = people_are_noisy(tagged)
    unmatched: list[str] = []
    if config.checked is not None:
        tagged, unmatched = _join(tagged, config.checked, root)
    missing = missing_files(root, tagged.paths)
    if missing.any():
        inputs["missing"] = fingerprint_json([tagged.paths[i] for i in np.flatnonzero(missing)])
    stale = partial(pictures_changed, contents=config.check_contents)
    with open_stage(
        "dataset", config, inputs, seed=config.seed, force=force, stale=stale, renew=renew_pictures
    ) as stage:
        if stage.up_to_date:
            return stage.output
        where = str(config.table)
        refuse_missing(missing, tagged.paths, str(root), config.allow_missing)
        tagged, classes = settle_names(tagged, config.class_names, config.classes, where)
        tell_what_was_read(tagged)
        tagged, verification = settle_verification(tagged, config.verified_means, len(classes), where)
        kept = ~missing
        table = label_table(tagged, verification, classes, kept, root)
        shares = (config.validation_share, config.test_share)
        given, group = tagged.split[kept], tagged.group[kept]
        if (given < 0).all() or not (table.split == VALIDATION).any():
            together = kept_together(root, table.paths, group, table.split == TRAIN)
            group = group if together is None else together
        draw_splits(
            table,
            given,
            group,
            shares,
            config.seed,
            unchecked_too=config.draw_from == "all",
        )
        lost = [tagged.paths[i] for i in np.flatnonzero(missing)]
        del tagged
        table = limited(table, config.limit, config.seed)
        tell_unchecked(table)
        bare = np.flatnonzero(np.asarray((table.noisy[table.split == 0] > 0).sum(axis=0)).ravel() == 0)
        if len(bare):
            some = enumerate_some([classes[c] for c in bare[:4]], len(bare))
            say(f"warning: {len(bare):,} of {len(classes):,} classes are no training image's noisy tag ({some})")
        write_dataset(
            stage.work, table, {"name": root.name, "source": "tags of images"}, contents=config.check_contents
        )
        rows = [(path, "table", "missing") for path in lost] + [
            (path, "checked", "no such image") for path in unmatched
        ]
        write_left_out(stage.work, rows)
        statistics = label_statistics(table)
        write_statistics(stage.work, statistics)
        summary: dict[str, Any] = {"images": len(table), "classes": len(classes), "noisy_tags": table.noisy.nnz}
        for number, name in enumerate(SPLITS):
            here = table.split == number
            summary[name] = int(here.sum())
            summary[f"{name}_verified"] = int(np.sum(here & (table.verification > NONE)))
        stage.finish(summary | {"left_out": len(lost)})
    return stage.output


def _join(tagged: TaggedImages, listing: Path, root: Path) -> tuple[TaggedImages, list[str]]:
    """The images with what people saw on those that ``listing`` lists, and the paths there that are none of them."""
    checked = read_tags(listing, checked=True)
    found = match_images(checked.paths, tagged.paths, root, listing)
    refuse_unmatched(checked.paths, found, tagged.paths, root, listing)
    return with_checked(tagged, checked, found), [checked.paths[i] for i in np.flatnonzero(found < 0)]
