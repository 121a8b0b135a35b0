"""What verdicts on entries are worth: counts of every image, and the rates with intervals that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nlcli.data.tag_detection_files import SUREST, MeasuredEntries, MeasuredShare, MeasuredTags
from nlcli.metrics.clustered_shares import Share, clustered_share
from nlcli.stages.files import number


@dataclass(frozen=True, eq=False)
class ImageCounts:
    """Verified entries of images, counted.

    Attributes:
        counts: (n, 2, 4) int64: of each image, by kind (``given``, ``missing``), entries, those whose label is wrong,
            those called wrong, and those that are wrong and called so.
    """

    counts: np.ndarray

    @classmethod
    def of_entries(
        cls, image: np.ndarray, given: np.ndarray, present: np.ndarray, called_present: np.ndarray
    ) -> ImageCounts:
        """Of a list of entries; ``image`` numbers the image of each, the rest are bool."""
        _, position = np.unique(image, return_inverse=True)
        images = int(position.max()) + 1 if len(position) else 0
        wrong, called = given != present, given != called_present
        counts = np.zeros((images, 2, 4), np.int64)
        for kind, of_kind in enumerate((given, ~given)):
            for i, which in enumerate((of_kind, of_kind & wrong, of_kind & called, of_kind & wrong & called)):
                counts[:, kind, i] = np.bincount(position[which], minlength=images)
        return cls(counts)

    @classmethod
    def of_images(cls, given: np.ndarray, present: np.ndarray, called_present: np.ndarray) -> ImageCounts:
        """Of images all of whose classes are known: (n, C) bool each."""
        wrong, called = given != present, given != called_present
        counts = np.empty((len(given), 2, 4), np.int64)
        for kind, of_kind in enumerate((given, ~given)):
            for i, which in enumerate((of_kind, of_kind & wrong, of_kind & called, of_kind & wrong & called)):
                counts[:, kind, i] = which.sum(axis=1)
        return cls(counts)

    def __len__(self) -> int:
        return len(self.counts)

    def measured(
        self, split: str | None, cross_fitted: bool, surest: Sequence[MeasuredShare | None] = (None, None)
    ) -> MeasuredEntries:
        """What ``detection.json`` says of them; ``surest`` of given and of missing tags, see ``surest_share``."""
        entries, wrong, called, caught = (self.counts[:, :, i] for i in range(4))
        after = (wrong - caught + called - caught).sum(axis=1)  # wrong ones missed, right ones called wrong
        return MeasuredEntries(
            split=split,
            images=len(self),
            cross_fitted=cross_fitted,
            given=self._of_kind(0, surest[0]),
            missing=self._of_kind(1, surest[1]),
            error=_told(clustered_share(after, entries.sum(axis=1))),
            naive_error=_told(clustered_share(wrong.sum(axis=1), entries.sum(axis=1))),
        )

    def _of_kind(self, kind: int, surest: MeasuredShare | None) -> MeasuredTags:
        entries, wrong, called, caught = (self.counts[:, kind, i] for i in range(4))
        return MeasuredTags(
            entries=int(entries.sum()),
            wrong=int(wrong.sum()),
            called=int(called.sum()),
            precision=_told(clustered_share(caught, called)),
            recall=_told(clustered_share(caught, wrong)),
            surest=surest,
        )


def surest_share(image: np.ndarray, sureness: np.ndarray, wrong: np.ndarray, most: int = SUREST) -> MeasuredShare:
    """Of the ``most`` entries (n,) with the highest ``sureness`` that they are wrong, those that are.

    Of equal ones at the edge each counts by the chance of being among them.
    """
    part = np.zeros(len(sureness))
    if len(sureness):
        least = np.sort(sureness)[::-1][:most][-1]
        part[sureness > least] = 1.0
        edge = sureness == least
        part[edge] = (min(most, len(sureness)) - part.sum()) / edge.sum()
    _, position = np.unique(image, return_inverse=True)
    images = int(position.max()) + 1 if len(position) else 0
    whole = np.bincount(position, weights=part, minlength=images)
    return _told(clustered_share(np.bincount(position, weights=part * wrong, minlength=images), whole))


def joined_counts(parts: list[ImageCounts]) -> ImageCounts:
    """All images; none of nothing."""
    return ImageCounts(np.concatenate([part.counts for part in parts] or [np.zeros((0, 2, 4), np.int64)]))


def _told(share: Share) -> MeasuredShare:
    return MeasuredShare(value=number(share.value), interval=share.interval, count=share.count, whole=share.whole)
