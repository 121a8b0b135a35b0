"""Stage ``report``: what stages made, on one page that needs no server, no network and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlcli.console import print_pairs, say
from nlcli.data.pictures import require_pictures, tell_changed
from nlcli.data.tag_detection_files import detects_tags
from nlcli.errors import NlcliError
from nlcli.reporting.cards import Card, with_pictures
from nlcli.reporting.changes import Changes, read_changes
from nlcli.reporting.config import Report
from nlcli.reporting.content import Content
from nlcli.reporting.facts import five_facts, print_facts
from nlcli.reporting.given import Given, read_given
from nlcli.reporting.label_verdicts import read_labels
from nlcli.reporting.labels import Labels, count_labels
from nlcli.reporting.models import look_closer, read_curves, read_tables
from nlcli.reporting.next_images import NextImages, read_queue
from nlcli.reporting.origins import tell_origins
from nlcli.reporting.rendered import rendered
from nlcli.reporting.tag_verdicts import read_tags
from nlcli.reporting.taken_answers import read_taken_answers
from nlcli.reporting.verdicts import Verdicts
from nlcli.stages.page import open_page
from nlcli.stages.publishing import place_of
from nlcli.stages.stage import StageRecord, read_stage

FORMAT = 1


def write_report(config: Report, *, force: bool = False) -> Path:
    """Write the page, and return its path.

    Raises:
        NlcliError: nothing is given, or something that nlcli did not make, or one of its files is damaged.
    """
    given = read_given(config.directories)
    inputs: dict[str, StageRecord | Path | str | None] = {f"stage {i}": r for i, r in enumerate(given.records, 1)}
    with open_page("page", config, inputs, force=force, format=FORMAT) as stage:
        if not stage.up_to_date:
            content = _content(config, given, stage.output)
            before, after = rendered(content)
            stage.finish(before, after, _summary(content))
    return stage.output


@dataclass(frozen=True)
class _Galleries:
    """Cards of the parts of a page that show pictures, with their pictures."""

    verdicts: tuple[Card, ...]
    changes: tuple[Card, ...]
    queue: tuple[Card, ...]


def _content(config: Report, given: Given, page: Path) -> Content:
    dataset = given.dataset
    labels = None if dataset is None else count_labels(dataset)
    most = config.thumbnails
    detection = given.detections[0] if given.detections else None
    verdicts = None if detection is None else read_detection(detection, most)
    changes = None if given.cleaned is None else read_changes(given.cleaned, most)
    queue = None if given.queue is None else read_queue(given.queue, most)
    taken = read_taken_answers(given.steps)
    galleries = _galleries(verdicts, changes, queue, most, dataset, labels)
    tables = read_tables(given.of_kind("evaluation"), given.of_kind("report"))
    of_classifiers = next((table for table in tables if not table.of_detectors), None)
    metric, curves, without_curve = read_curves(given.runs)
    place = place_of(page)
    return Content(
        title=config.title or (labels.name if labels is not None else "Report"),
        facts=five_facts(labels, verdicts, taken, of_classifiers, changes, queue, place),
        labels=labels,
        verdicts=verdicts,
        suspects=galleries.verdicts,
        changes=changes,
        changed=galleries.changes,
        taken=taken,
        tables=tuple(tables),
        closer=None if of_classifiers is None else look_closer(of_classifiers),
        curve_metric=metric,
        curves=curves,
        without_curve=without_curve,
        queue=queue,
        queued=galleries.queue,
        pictures_gone=labels is not None and not labels.root.is_dir(),
        origins=tell_origins(given.steps, place),
        other_detections=tuple(record.path.name for record in given.detections[1:]),
        page=place,
    )


def read_detection(record: StageRecord, most: int) -> Verdicts:
    """A detection of either kind with cards of at most ``most`` images; see ``read_labels`` and ``read_tags``."""
    return (read_tags if detects_tags(record.path) else read_labels)(record, most)


def _galleries(
    verdicts: Verdicts | None,
    changes: Changes | None,
    queue: NextImages | None,
    most: int,
    dataset: StageRecord | None,
    labels: Labels | None,
) -> _Galleries:
    """At most ``most`` pictures, as many for each part; suspects are left out that are among the changes."""
    changed = () if changes is None else changes.cards
    queued = () if queue is None else queue.cards
    suspects = () if verdicts is None else verdicts.cards
    parts = sum(map(bool, (changed, suspects, queued)))
    share = most // max(1, parts)
    changed, queued = changed[:share], queued[:share]
    shown = {card.key for card in changed}
    suspects = tuple(card for card in suspects if card.key not in shown)[: most - len(changed) - len(queued)]
    root = _root(labels, dataset)
    changed, suspects, queued = (with_pictures(cards, dataset, root) for cards in (changed, suspects, queued))
    return _Galleries(suspects, changed, queued)


def _root(labels: Labels | None, dataset: StageRecord | None) -> Path | None:
    """The folder of the pictures; None where it is gone, which is said."""
    if labels is None or dataset is None:
        return None
    try:
        require_pictures(labels.root, dataset.path)
    except NlcliError as error:
        say(f"without pictures: {error}")
        return None
    tell_changed(dataset.path)
    return labels.root


def _summary(content: Content) -> dict[str, Any]:
    pictures = (*content.suspects, *content.changed, *content.queued)
    return {
        "title": content.title,
        "stages": len(content.origins.stages),
        "pictures": sum(card.picture is not None for card in pictures),
        "pictures_unreadable": sum(card.picture is None for card in pictures),
        "called_wrong": None if content.verdicts is None else content.verdicts.called,
        "changes": None if content.changes is None else content.changes.made,
        "models": sum(len(table.comparison.rows) for table in content.tables),
        "facts": [
            {
                "question": fact.question,
                "answer": fact.answer,
                "told": list(fact.told),
                "known": fact.known,
                "place": None if fact.place is None else fact.place.told,
            }
            for fact in content.facts
        ],
    }


def show_page(outputs: Sequence[Path]) -> None:
    """Print the facts of a page, and where it lies."""
    for output in outputs:
        summary = read_stage(output).summary
        print_facts(summary["facts"], output.parent)
        print_pairs({"page": output, **{name: value for name, value in summary.items() if name != "facts"}})
