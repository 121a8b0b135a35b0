"""What verdicts on entries are worth: counts of every image, and the rates with intervals that come of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nlcli.data.tag_detection_files import MeasuredEntries, MeasuredShare, MeasuredTags
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

    def measured(self, split: str | None, cross_fitted: bool) -> MeasuredEntries:
        """What ``detection.json`` says of them."""
        entries, wrong, called, caught = (self.counts[:, :, i] for i in range(4))
        after = (wrong - caught + called - caught).sum(axis=1)  # wrong ones missed, right ones called wrong
        return MeasuredEntries(
            split=split,
            images=len(self),
            cross_fitted=cross_fitted,
            given=self._of_kind(0),
            missing=self._of_kind(1),
            error=_told(clustered_share(after, entries.sum(axis=1))),
            naive_error=_told(clustered_share(wrong.sum(axis=1), entries.sum(axis=1))),
        )

    def _of_kind(self, kind: int) -> MeasuredTags:
        entries, wrong, called, caught = (self.counts[:, kind, i] for i in range(4))
        return MeasuredTags(
            entries=int(entries.sum()),
            wrong=int(wrong.sum()),
            called=int(called.sum()),
            precision=_told(clustered_share(caught, called)),
            recall=_told(clustered_share(caught, wrong)),
        )


def joined_counts(parts: list[ImageCounts]) -> ImageCounts:
    """All images; none of nothing."""
    return ImageCounts(np.concatenate([part.counts for part in parts] or [np.zeros((0, 2, 4), np.int64)]))


def _told(share: Share) -> MeasuredShare:
    return MeasuredShare(value=number(share.value), interval=share.interval, count=share.count, whole=share.whole)
