"""The head of posterior relabelling: what it is given, and what it falls back to."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from nlcli.estimation.design import ArrayBlocks
from nlcli.estimation.linear_search import Checked
from nlcli.methods import get_method
from nlcli.methods.base.contract import Problem
from nlcli.methods.base.solution import Labelled
from nlcli.methods.posterior import PosteriorConfig, observed_of
from nlcli.seeds import stream

COUNT, WIDTH, CLASSES, CLEAN = 900, 10, 4, 60
CHANNEL = np.array([[0.6, 0.4, 0.0, 0.0], [0.0, 0.6, 0.4, 0.0], [0.0, 0.0, 0.6, 0.4], [0.3, 0.0, 0.0, 0.7]])


def data(labels: np.ndarray, true: np.ndarray, features: np.ndarray, **changes: object) -> Labelled:
    every = np.arange(COUNT + 1)
    clean = np.arange(COUNT) < CLEAN
    values = np.ones(COUNT, np.float32)
    verified = csr_array((values * clean, true, every.copy()), shape=(COUNT, CLASSES))
    verified.eliminate_zeros()
    known = csr_array(np.repeat(clean[:, None], CLASSES, axis=1).astype(np.float32))
    rows = np.flatnonzero(clean)
    given: dict[str, object] = {
        "design": ArrayBlocks(features),
        "task": "single-label",
        "classes": CLASSES,
        "noisy": csr_array((values, labels, every), shape=(COUNT, CLASSES)),
        "of_noisy": ~clean,
        "weights": None,
        "verified": verified,
        "known": known,
        "of_clean": clean,
        "checked": Checked(np.eye(CLASSES)[true[rows]], np.ones((CLEAN, CLASSES)), rows=rows),
        "unverified": False,
        "measure": lambda logits: {},
    }
    return Labelled(**(given | changes))  # type: ignore[arg-type]


def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = stream(3, "posterior head")
    true = random.integers(CLASSES, size=COUNT)
    features = 1.1 * random.normal(size=(CLASSES, WIDTH))[true] + random.normal(size=(COUNT, WIDTH))
    noisy = (CHANNEL[true].cumsum(axis=1) > random.random(COUNT)[:, None]).argmax(axis=1)
    return features, true, noisy


def method(name: str = "posterior"):  # type: ignore[no-untyped-def]
    cls = get_method(name)
    config = cls.decided(cls.Config(), (), stepped=False)
    return cls(config, Problem(WIDTH, ("a", "b", "c", "d"), "single-label"))


def right(head: object, features: np.ndarray, true: np.ndarray) -> float:
    kernel, bias = (np.asarray(w) for w in head.classifier.get_weights())  # type: ignore[attr-defined]
    return float(np.mean((features @ kernel + bias).argmax(axis=1) == true))


def test_it_is_better_than_the_labels_as_they_are_and_tells_how_they_go_wrong() -> None:
    features, true, noisy = world()
    head, plain = method(), method("clean-and-noisy")
    solved = head.solve(data(noisy, true, features))
    plain.solve(data(noisy, true, features))
    assert solved.details["corrected"]
    assert right(head, features, true) > right(plain, features, true) + 0.02
    assert np.abs(np.array(solved.details["transition"]) - CHANNEL).max() < 0.2
    point = solved.points[solved.chosen]
    assert point.candidate == "posterior"
    assert point.cost == min(p.cost for p in solved.points if p.candidate.startswith("corrected"))
    assert point.cost < solved.details["cost_of_labels_as_they_are"]


def test_images_with_a_wrong_label_and_no_class_or_no_label_at_all() -> None:
    """Of ten it is known that their label is wrong, ten verified ones have none: they count as that, and nothing fails."""
    features, true, noisy = world()
    whole = data(noisy, true, features)
    labels, verified, known = whole.noisy.toarray(), whole.verified.toarray(), whole.known.toarray()
    labels[:10] = 0.0
    wrong = np.flatnonzero((noisy != true) & whole.of_clean)[5:15]
    verified[wrong] = 0.0
    known[wrong] = labels[wrong]
    some = data(noisy, true, features, noisy=csr_array(labels), verified=csr_array(verified), known=csr_array(known))
    observed = observed_of(some)
    assert (observed.noisy[:10] == -1).all()
    assert np.flatnonzero(observed.wrong).tolist() == sorted(set(wrong.tolist()) - set(range(10)))
    assert observed.pairs().sum() == CLEAN - len(set(wrong.tolist()) | set(range(10)))
    assert method().solve(some).converged


def test_it_takes_no_steps() -> None:
    assert PosteriorConfig().solver == "solved"
    assert not get_method("posterior").stepped
