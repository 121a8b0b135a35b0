"""The restore-labels stage: a cleaned data set gets the labels back that it had before, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from nlcli.cleaning.cleaning_record import CLEANING, CleaningRecord
from nlcli.cleaning.config import RestoreDataset
from nlcli.cleaning.label_changes import read_made, rewritten
from nlcli.data.label_files import labels_fingerprint, read_dataset, write_dataset
from nlcli.data.labels import LabelTable
from nlcli.data.score_chosen import carry_score_chosen, write_sample_statistics
from nlcli.data.true_tags import carry_truth
from nlcli.errors import NlcliError
from nlcli.stages.files import fingerprint_file
from nlcli.stages.stage import open_stage, read_stage


def restore_labels(config: RestoreDataset, *, force: bool = False) -> Path:
    """Write the data set as it was before ``clean_labels``.

    Its ``images.parquet`` is that of the parent byte for byte where the same pyarrow writes it, and says the same in
    any case.

    Raises:
        NlcliError: see ``labels_before``.
    """
    cleaned = read_stage(config.dataset, "dataset")
    if not (cleaned.path / CLEANING).is_file():
        raise NlcliError(f"{config.dataset} was not made by nlcli clean-labels, so there is nothing to give back")
    with open_stage("dataset", config, {"dataset": cleaned}, force=force) as stage:
        if stage.up_to_date:
            return stage.output
        record = CleaningRecord.read(cleaned.path / CLEANING)
        before, changed = labels_before(cleaned.path)
        carry_truth(cleaned.path, stage.work, before)
        carry_score_chosen(cleaned.path, stage.work, before)
        write_dataset(stage.work, before, dict(record.parent), derived=True)
        statistics = write_sample_statistics(stage.work, before)
        same = fingerprint_file(stage.work / "images.parquet") == record.parent_images
        told: dict[str, Any] = {"restored": changed, "same_bytes": same}
        stage.finish(statistics | told)
    return stage.output


def labels_before(directory: Path) -> tuple[LabelTable, int]:
    """The table of a cleaned data set as it was before, and how many labels were changed.

    Raises:
        NlcliError: its changes no longer belong to it: a hash of the labels before is compared.
    """
    table, record = read_dataset(directory), CleaningRecord.read(directory / CLEANING)
    row, gone, come, confidence = read_made(directory, table)
    before = replace(table, noisy=rewritten(table, row, come, gone, confidence), info={}, fingerprint="")
    if labels_fingerprint(before) != record.parent_labels:
        raise NlcliError(
            f"the changes of {directory} do not give the labels back that it was made from; a file of it was changed: "
            "make it again with nlcli clean-labels"
        )
    return before, len(row)
