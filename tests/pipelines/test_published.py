"""What the papers' tables say: the shipped figures beside transcriptions that were made without looking at them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nlcli.evaluation.comparison.paper_table import published_tables
from nlcli.stages.files import read_json

SECOND = Path(__file__).resolve().parents[3] / "shared" / "published.json"
Cells = dict[tuple[str, str, str], float]

# Read a second time off the papers: of each table a row or two, the first and the last of its cells among them.
BY_HAND: dict[str, Cells] = {
    "hu2018-table2": {
        ("ResNet50 (Noisy)", "any", "mAP"): 45.30,
        ("ResNet50 (Noisy)", "any", "AP_all"): 39.14,
        ("ResNet50 (Noisy-FT-W)", "0.5", "mAP"): 61.95,
        ("ResNet50 (Noisy-FT-M)", "0.05", "AP_all"): 43.43,
        ("Veit et al. (TJ)", "0.3", "mAP"): 47.56,
        ("Proposed (teacher-student)", "0.05", "mAP"): 57.75,
        ("Proposed (teacher-student)", "0.5", "AP_all"): 63.37,
        ("ResNet50 (GT)", "any", "AP_all"): 68.15,
    },
    "hu2018-table3": {
        ("Inception V3 (Noisy-FT-M)", "1", "mAP"): 61.89,
        ("Inception V3 (Noisy-FT-L)", "1", "AP_all"): 89.57,
        ("Proposed (teacher-student)", "1", "mAP"): 67.72,
        ("Proposed (teacher-student)", "1", "AP_all"): 90.47,
    },
    "hu2018-table4": {
        ("Proposed (Linear Feat. Trans.)", "0.05", "mAP"): 56.90,
        ("Proposed (Linear Feat. Trans.)", "0.1", "AP_all"): 59.72,
        ("Proposed", "0.1", "mAP"): 58.92,
        ("Proposed", "0.1", "AP_all"): 60.95,
    },
    "hu2018-table5": {
        ("No pre-training", "0.05", "mAP"): 57.07,
        ("Pre-train label cleaning net alone", "0.1", "mAP"): 58.64,
        ("Pre-train classification net alone", "0.1", "AP_all"): 60.90,
        ("Pre-train both nets", "0.05", "AP_all"): 59.75,
    },
    "hu2018-table6": {
        ("Proposed (soft label)", "0.05", "mAP"): 56.82,
        ("Proposed (soft label)", "0.1", "AP_all"): 60.40,
        ("Proposed (hard label)", "0.1", "mAP"): 58.92,
    },
    "hu2019-table2": {
        ("Backbone (Noisy-FT-W)", "0.05", "mAP"): 54.94,
        ("Backbone (Noisy-FT-L)", "0.2", "AP_all"): 61.18,
        ("Backbone (Noisy-FT-M)", "0.1", "mAP"): 50.13,
        ("Veit et al. (WP)", "0.2", "mAP"): 51.83,
        ("Proposed (sigmoid)", "0.05", "mAP"): 58.28,
        ("Proposed (tanh)", "0.1", "AP_all"): 61.39,
        ("Proposed (ReLU)", "0.2", "AP_all"): 62.44,
        ("Backbone (GT)", "any", "mAP"): 65.16,
    },
    "hu2019-table2-open-images": {
        ("Backbone (Noisy)", "any", "AP_all"): 83.82,
        ("Backbone (Noisy-FT-M)", "1", "mAP"): 61.90,
        ("Veit et al. (WP)", "1", "AP_all"): 87.68,
        ("Proposed (sigmoid)", "1", "mAP"): 69.02,
        ("Proposed (sigmoid)", "1", "AP_all"): 94.08,
    },
    "hu2019-table3": {
        ("Proposed (sigmoid)", "0.1", "mAP"): 65.08,
        ("Proposed (sigmoid)", "0.4", "AP_all"): 93.13,
        ("Proposed (sigmoid)", "0.8", "mAP"): 68.61,
    },
    "hu2019-table4": {
        ("1 ResNet50 (Noisy)", "any", "top_1"): 68.94,
        ("4 Fine-tune, from 3", "any", "top_1"): 79.90,
        ("6 Fine-tune, from 5", "any", "top_1"): 80.38,
        ("7 Proposed (sigmoid)", "any", "top_1"): 79.93,
    },
    "hu2019-table5": {
        ("training h alone", "1", "mAP"): 64.06,
        ("training g alone", "1", "AP_all"): 93.73,
        ("training g, h jointly", "1", "mAP"): 69.02,
    },
    "hu2019-table5-clothing1m": {
        ("training h alone", "any", "top_1"): 67.92,
        ("training g alone", "any", "top_1"): 75.13,
        ("training g, h jointly", "any", "top_1"): 79.93,
    },
    "veit2017-table2": {
        ("Baseline", "any", "AP_all"): 83.82,
        ("Misra et al. visual classifier", "any", "mAP"): 61.85,
        ("Misra et al. relevance classifier", "any", "AP_all"): 83.79,
        ("Fine-Tuning with clean labels", "1", "mAP"): 61.53,
        ("Our Approach with pre-training", "1", "AP_all"): 87.68,
        ("Our Approach trained jointly", "1", "mAP"): 62.38,
    },
    "veit2017-table3": {
        ("Baseline", "any", "mAP vehicles"): 56.92,
        ("Fine-Tuning with mixed labels", "1", "mAP sport"): 63.12,
        ("Fine-Tuning with clean labels", "1", "mAP person"): 58.39,
        ("Our Approach with pre-training", "1", "mAP plant"): 59.45,
        ("Our Approach trained jointly", "1", "mAP art"): 68.98,
    },
    "xiao2015-table2": {
        ("1 AlexNet, clean, random", "validation", "top_1"): 64.28,
        ("3 AlexNet, clean and noisy, random", "test", "top_1"): 74.03,
        ("5 Bottom Up, from 2", "test", "top_1"): 76.22,
        ("6 Ours, from 2", "validation", "top_1"): 77.65,
        ("6 Ours, from 2", "test", "top_1"): 78.24,
    },
    "lee2018-table2": {
        ("naive baseline", "Food-101N", "average_error"): 19.66,
        ("kNN", "Clothing1M", "average_error"): 17.58,
        ("classification filtering", "Food-101N", "average_error"): 16.60,
        ("DRAE", "Clothing1M", "average_error"): 38.95,
        ("CleanNet", "Clothing1M", "average_error"): 15.91,
        ("CleanNet*", "Food-101N", "average_error"): 6.99,
    },
    "lee2018-table3": {
        ("None, Food-101", "any", "top_1"): 81.67,
        ("CleanNet, w_hard", "any", "top_1"): 83.47,
        ("CleanNet, w_soft", "any", "top_1"): 83.95,
    },
    "lee2018-table4": {
        ("3 loss correct., 1M noisy, ImageNet", "any", "top_1"): 69.84,
        ("5 CleanNet, w_hard, 1M noisy, ImageNet", "any", "top_1"): 74.15,
        ("7 None, 50k clean, from 6", "any", "top_1"): 79.90,
    },
    "lee2018-table6": {
        ("baseline", "WebVision 1", "top_1"): 67.76,
        ("every-image", "ILSVRC 2012 validation", "top_5"): 84.59,
        ("semantic-308", "WebVision 1", "top_5"): 86.64,
        ("dogs-118", "ILSVRC 2012 validation", "top_1"): 59.43,
    },
    "lee2018-figure5": {("CleanNet", "50", "held_out_error"): 11.02, ("MLP", "50", "held_out_error"): 10.12},
    "lee2018-figure6": {("CleanNet, w_soft", "50", "top_1"): 83.54},
}


def shipped(table: str) -> Cells:
    """(row, column, metric) to percent, as the package has them."""
    rows = published_tables()[table]["rows"]
    return {
        (row["name"], column, metric): value
        for row in rows
        for column, cells in row["cells"].items()
        for metric, value in cells.items()
    }


@pytest.mark.parametrize("table", sorted(BY_HAND))
def test_the_cells_that_were_read_again_are_as_shipped(table: str) -> None:
    own = shipped(table)
    assert {place: own.get(place) for place in BY_HAND[table]} == BY_HAND[table]


def test_every_table_was_read_again() -> None:
    assert set(published_tables()) == set(BY_HAND)
    assert sum(len(shipped(table)) for table in BY_HAND) == 320


def test_every_published_cell_equals_the_second_transcription() -> None:
    if not SECOND.is_file():
        pytest.skip("the transcription of every cell does not stand beside this checkout")
    second = read_json(SECOND)
    assert set(second) == set(published_tables())
    for table, cells in second.items():
        assert {(cell["row"], cell["column"], cell["figure"]): cell["value"] for cell in cells} == shipped(table), table
