"""Losses, one pure function an equation, in Keras operations only.

Arguments are tensors of shape (rows, classes) unless said otherwise; every function returns a
float32 scalar. ``mask`` is 1 where a person looked at that class on that image: entries outside it
have no influence on the value or the gradient, and the mean is over the entries inside it.
"""

from __future__ import annotations

from typing import Literal

from nlcli.data.labels import Task
from nlcli.methods.base.contract import Tensor
from nlcli.methods.base.keras_ops import ops

Normalise = Literal["entries", "images"]
"""What a sum over verified entries is divided by: their number, or that of all entries of the images.

The papers' sums divide by images, and so does ``images`` but for the number of classes, which the losses on noisy
labels are divided by as well. Where 12 of 6,012 classes of an image are verified, ``entries`` weighs 501 times as much.
"""


def masked_mean(values: Tensor, mask: Tensor | None = None, normalise: Normalise = "entries") -> Tensor:
    """Mean of ``values`` over the entries where ``mask`` is 1; 0 where there are none.

    With ``images`` what is outside the mask counts as 0.
    """
    if mask is None:
        return ops.mean(values)
    if normalise == "images":
        return ops.mean(values * mask)
    # A batch can hold no verified entry at all: 0 / 1 keeps the gradient finite there.
    return ops.sum(values * mask) / ops.maximum(ops.sum(mask), 1.0)


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None, normalise: Normalise = "entries"
) -> Tensor:
    """Mean binary cross-entropy, both halves, from logits.

    ``-(t log p + (1 - t) log(1 - p))`` with ``p = sigmoid(logits)``, averaged over entries.

    Args:
        logits: before the sigmoid.
        targets: in [0, 1], hard or soft.
        mask: 1 for entries that count; all of them when None.

    References:
        Hu et al. 2019, eq. (5) and (6), each divided by the number of classes so that it is a mean
        over entries. Hu et al. 2018 print eq. (2)-(4) without the second half; their text says
        binary cross-entropy, which is what this is.
    """
    # log p = -softplus(-x) and log(1-p) = -softplus(x), and softplus(-x) = softplus(x) - x: no
    # logarithm of a probability that rounded to 0 or 1, and the gradient is sigmoid(x) - t exactly.
    return masked_mean(ops.softplus(logits) - targets * logits, mask, normalise)


def softmax_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over rows of ``-sum_c t_c log softmax(logits)_c``.

    Args:
        targets: rows that sum to 1, or to 0 where a row has no label (it then counts nothing).
        weights: (rows,), 1 for rows that count; all of them when None.
    """
    return masked_mean(cross_entropy(logits, targets), weights)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """``-sum_c t_c log softmax(logits)_c`` of each row, (rows,)."""
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)


def weighted_softmax_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean over all rows of ``-w sum_c t_c log softmax(logits)_c``.

    Unlike ``softmax_cross_entropy`` it is divided by the number of rows, not by the sum of their
    weights: a batch of doubtful labels is to move the classifier little.

    Args:
        targets: rows that sum to 1.
        weights: (rows,) from 0 on.

    References:
        Lee et al. 2018, eq. (14) and (15).
    """
    return ops.mean(-weights * ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1))


def verified_softmax_cross_entropy(logits: Tensor, verified: Tensor, mask: Tensor) -> Tensor:
    """Softmax cross-entropy over the rows on which a person named the class.

    A row verified only as "the noisy label is wrong" names no class and is left out, as its mask
    leaves all other classes unverified.
    """
    present = verified * mask
    count = ops.sum(present, axis=-1)
    targets = present / ops.maximum(count, 1.0)[:, None]
    return softmax_cross_entropy(logits, targets, ops.cast(count > 0, "float32"))


def classification_loss(task: Task, logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Binary cross-entropy on multi-label data, softmax cross-entropy on single-label data.

    With ``mask`` the targets are verified labels, without they are noisy ones.
    """
    if task == "multi-label":
        return binary_cross_entropy(logits, targets, mask)
    if mask is None:
        return softmax_cross_entropy(logits, targets)
    return verified_softmax_cross_entropy(logits, targets, mask)


def clipped_absolute_error(
    values: Tensor, targets: Tensor, mask: Tensor | None = None, normalise: Normalise = "entries"
) -> Tensor:
    """Mean of ``|clip(values, 0, 1) - t|``, with a gradient that clipping does not stop.

    Noisy labels are 0 and 1, where clipping begins: a label that is wrong and is pushed out of
    [0, 1] by a first bad step would have no gradient and stay wrong. The gradient here is the sign
    of the error, clipped or not. For ``t`` of 0 or 1 that is the gradient of ``max(values, 0)`` or
    ``max(1 - values, 0)``: convex, and zero exactly where the loss is.

    Args:
        values: before clipping.
        targets: in {0, 1}.
        mask: 1 for entries that count; all of them when None.

    References:
        Veit et al. 2017, eq. (1) and (2), divided by the number of verified entries.
    """
    error = ops.stop_gradient(ops.clip(values, 0.0, 1.0) - targets)
    # The difference is 0; only its gradient counts.
    return masked_mean(ops.abs(error) + ops.sign(error) * (values - ops.stop_gradient(values)), mask, normalise)


def mixture_cross_entropy(visible: Tensor, if_present: Tensor, if_absent: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy of ``h = r1 z + r0 (1 - z)``, all three given as logits.

    Args:
        visible: logits of ``z``, that a class is there.
        if_present, if_absent: logits of ``r1`` and ``r0``, that it is labelled if it is there or not.
        targets: noisy labels in {0, 1}.

    References:
        Misra et al. 2016, after Veit et al. 2017, section 4.3.
    """
    # log h and log(1 - h) are sums of two probabilities each, added as logarithms: no probability is
    # rounded to 0 before its logarithm is taken.
    there, not_there = ops.log_sigmoid(visible), ops.log_sigmoid(-visible)
    labelled = _log_add(ops.log_sigmoid(if_present) + there, ops.log_sigmoid(if_absent) + not_there)
    unlabelled = _log_add(ops.log_sigmoid(-if_present) + there, ops.log_sigmoid(-if_absent) + not_there)
    return -ops.mean(targets * labelled + (1.0 - targets) * unlabelled)


def _log_add(a: Tensor, b: Tensor) -> Tensor:
    return ops.logsumexp(ops.stack([a, b]), axis=0)


def transition_cross_entropy(logits: Tensor, targets: Tensor, noise: Tensor) -> Tensor:
    """Mean over rows of ``-log p(n | x)`` with ``p(n | x) = sum_y p(n | y) softmax(logits)_y``.

    A row without a label, or with one that no true class can have by ``noise``, says nothing about the
    true class and is left out.

    Args:
        targets: noisy labels, rows with a single 1, or with none.
        noise: (L, L) ``p(n | y)``, [noisy, true]; its columns sum to 1.

    References:
        Sukhbaatar and Fergus 2014, ``Q p`` (the bottom-up model); Patrini et al. 2017, ``p T`` (forward
        correction), ``noise`` being Q and the transpose of T.
    """
    of_label = ops.matmul(targets, noise)  # p(n | y) of each row's n
    possible = ops.any(of_label > 0, axis=-1)
    # Added as logarithms: where p of the classes that may have the label rounds to 0, the gradient stays.
    terms = ops.log_softmax(logits, axis=-1) + log_probability(ops.where(possible[:, None], of_label, 1.0))
    return masked_mean(-ops.logsumexp(terms, axis=-1), ops.cast(possible, logits.dtype))


def log_probability(p: Tensor) -> Tensor:
    """``log p``, and a number that no sum of logarithms makes up for where ``p`` is 0: finite, as is its gradient."""
    impossible = p <= 0
    return ops.where(impossible, -1e30, ops.log(ops.where(impossible, 1.0, p)))
