"""What the noisy labels of many images add to what a few verified ones say of classifiers: a control variate.

Which of two classifiers costs less is asked of m verified images, and of few the answer is half chance. What the two
cost by *noisy* labels can be asked of N images more. With d_i, what one costs more than the other by the true label of
an image, and e_i, the same by its noisy label,

    mean_m(d) + a (mean_{m + N}(e) - mean_m(e))

estimates the same for every ``a``, where the verified images are a random part of all, and varies least at
``a = cov(d, e) / var(e)``. Where no label is wrong d = e, ``a`` is 1, and all images judge; where noisy labels say
nothing of true ones ``a`` is 0, and the verified images judge alone. By noisy labels is meant through T: an image with
noisy label j costs ``-log sum_c p(c | x) T[c, j]``; any other e would be as right, and vary more.

References:
    Angelopoulos et al. 2023, prediction-powered inference; with ``a`` its second version, PPI++.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def noisy_scores(log_probabilities: np.ndarray, labels: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """(n,) the logarithm of the probability of each noisy label.

    Args:
        log_probabilities: (n, C) of true classes.
        labels: (n,) int64.
        transition: (C, C) T [true, noisy], no entry 0.
    """
    joint = np.exp(log_probabilities) @ transition
    scores: np.ndarray = np.log(np.maximum(joint[np.arange(len(labels)), labels], 1e-300))
    return scores


def share_believed(true: Sequence[np.ndarray], noisy: Sequence[np.ndarray]) -> float:
    """``a``, one for all: from 0, noisy labels say nothing, to 1.

    Args:
        true: (m,) scores of the same verified images by each classifier; the first is what others are compared with.
        noisy: The same by noisy labels.
    """
    together = spread = 0.0
    for own, other in zip(true[1:], noisy[1:], strict=True):
        d, e = own - true[0], other - noisy[0]
        d, e = d - d.mean(), e - e.mean()
        size = float(d @ d)
        if size > 0:  # each pair counts alike, however far apart its two are
            together, spread = together + float(d @ e) / size, spread + float(e @ e) / size
    return float(np.clip(together / spread, 0.0, 1.0)) if spread > 0 else 0.0


def controlled(true: np.ndarray, noisy: np.ndarray, others: np.ndarray, share: float) -> np.ndarray:
    """(m,) scores of verified images whose mean is the estimate above, and whose spread is that of this estimate.

    The other images are dealt to the verified ones, so that each score holds its part of their mean and of its chance.

    Args:
        true, noisy: (m,) by true and by noisy labels; nan by the noisy label that an image does not have.
        others: (N,) by the noisy labels of images that are not verified.
        share: ``a``.
    """
    there = np.flatnonzero(np.isfinite(noisy))
    if share == 0.0 or not len(there):
        return true
    dealt = np.bincount(np.arange(len(others)) % len(there), weights=others, minlength=len(there)) + noisy[there]
    result = true.astype(np.float64)
    # Images without a noisy label are none of those that the means are over: they keep the score that they have.
    result[there] += share * (dealt * len(there) / (len(there) + len(others)) - noisy[there])
    return result
