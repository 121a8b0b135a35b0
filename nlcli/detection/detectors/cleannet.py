"""CleanNet: is an image like the references of the class it is labelled as (Lee et al. 2018, section 3)?

The network (``nlcli.detection.cleannet_arrays``) is trained on cached features by the loop that trains heads; on a
GPU its steps are TensorFlow's (``nlcli.detection.cleannet_matching``). Where the paper leaves a choice open or is at
odds with it, the project's description of the method (methods.md) is followed: references are K-means centroids,
features enter as log(1 + x), the autoencoder's last layer is linear, omega is 5.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcli.detection.attention import attended_references, write_attended
from nlcli.detection.base import READ_ROWS, Data, Detector
from nlcli.detection.cleannet_arrays import ArrayMatching, Validation, reference_basis
from nlcli.detection.cleannet_options import CleanNetConfig, matching_phase
from nlcli.detection.noisy_training import train_on_noisy_labels
from nlcli.detection.references import References, class_references
from nlcli.detection.transfer import MarginInstead, Scorer, judged, left_out_sentence, unverified_classes
from nlcli.errors import NlcliError
from nlcli.methods.base.contract import Problem
from nlcli.methods.citations import LEE_2018
from nlcli.runtime import has_gpu, memory_available, quiet_tensorflow
from nlcli.stages.files import write_arrays

if TYPE_CHECKING:
    from nlcli.detection.cleannet_matching import MatchingNetwork
    from nlcli.training.loop.contract import Outcome


class CleanNetDetector(Detector):
    """Cosine of query and class embedding; what it learns of verified classes holds for the others."""

    name = "cleannet"
    title = "CleanNet"
    citation = LEE_2018
    Config = CleanNetConfig
    uses_verification = True
    soft = True
    config: CleanNetConfig
    _instead: MarginInstead | None = None

    def fit(self, data: Data, seed: int, work: Path) -> None:
        if not len(data.train.verified):
            raise NlcliError("cleannet learns from verified noisy labels, and no training image has one; verify some")
        references = class_references(data, self.config.references, seed, work, self._check, self.config.selection)
        network, outcome = self._trained(data, references, seed, work)
        self.notes |= {
            "best_step": outcome.step,
            "steps": outcome.steps,
            "validation": outcome.metrics(),
            "classes_without_images": [data.classes[c] for c in np.flatnonzero(references.counts == 0)],
        }
        self._use(network)
        others = unverified_classes(data)
        if self.config.transfer == "check" and len(others):
            self._check_transfer(data, others, references, seed, work)

    def _trained(self, data: Data, references: References, seed: int, work: Path) -> tuple[ArrayMatching, Outcome]:
        problem = Problem(data.num_features, data.classes, "single-label")
        basis = reference_basis(references, self.config.transform)
        network = ArrayMatching(self.config, problem, references, seed, basis)
        phase = matching_phase(self.config)
        if len(data.train.verified) == len(data.train):  # nothing is left that is not verified
            phase = replace(phase, rows="clean")
        on_gpu = _on_gpu(network) if has_gpu() else None
        now = network.itself if on_gpu is None else on_gpu.give_back
        validation = Validation(now, data, memory_available() // 8)
        outcome = train_on_noisy_labels(
            on_gpu or network,
            self.config.batch_size,
            phase,
            data,
            data.table,
            validation if validation.possible else None,
            seed,
            work,
            "training cleannet",
        )
        return now(), outcome

    def _check_transfer(self, data: Data, others: np.ndarray, references: References, seed: int, work: Path) -> None:
        """Let the margin score the classes that nobody verified, where leaving verified ones out says so."""

        def fitted(part: Data, place: Path) -> Scorer:
            network, _ = self._trained(part, references, seed, place)
            return _in_parts(network.similarities())

        transfer = judged(data, seed, work, fitted)
        if transfer is None:
            self.remarks.append(
                f"too little is verified to see whether what it learns holds for the {len(others):,} classes of which "
                "nothing is: their scores are not checked"
            )
            return
        self.notes["transfer"] = transfer.notes()
        if not transfer.holds:
            scorer = _in_parts(self._similarity)
            self._instead = MarginInstead.of(data, seed, work / "instead", others, scorer)
            self.remarks.append(left_out_sentence(data.train, others, transfer))

    def score(self, features: np.ndarray, noisy: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        self._check(features)
        score = _in_parts(self._similarity)(features, noisy)
        if self._instead is not None:
            which = np.flatnonzero(self._instead.classes[noisy])
            if len(which):
                asked = None if rows is None else rows[which]
                score[which] = self._instead.score(features[which], noisy[which], asked)
        return score

    def write_more(self, data: Data, seed: int, work: Path) -> None:
        classes = attended_references(data, self.network.raw, self.network.attention(), seed)
        if classes:
            write_attended(work, classes, data.table)

    def _use(self, network: ArrayMatching) -> None:
        self.network, self._instead = network, None
        # Unverified images at or above the margin are taken for relevant in training (eq. 8).
        self.natural_threshold = self.config.margin
        self._similarity = network.similarities()

    def _check(self, features: np.ndarray) -> None:
        if self.config.transform == "log" and len(features) and features.min() < 0:
            raise NlcliError(
                "cleannet takes log(1 + x) of features, and these reach below zero; pass --set transform=l2"
            )

    # --- kept ---

    def save(self, path: Path | str) -> None:
        """Write what it has learned, references and options, as one NumPy archive; not what scores in its place."""
        network = self.network
        arrays: dict[str, Any] = {f"weights/{name}": v.numpy() for name, v in network.weights().items()}
        record = {
            "options": self.config.model_dump(mode="json"),
            "classes": list(network.problem.classes),
            "num_features": network.problem.num_features,
        }
        if network.basis is not None:
            arrays["basis"] = network.basis
        path = Path(path)
        told = {"record": np.asarray(json.dumps(record)), "vectors": network.raw.vectors, "counts": network.raw.counts}
        write_arrays(path, told | arrays)

    @classmethod
    def load(cls, path: Path | str) -> CleanNetDetector:
        """What ``save`` wrote, ready to score.

        Raises:
            NlcliError: the file cannot be read, or is not one of CleanNet.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                record = json.loads(str(arrays["record"]))
                config = CleanNetConfig(**record["options"])
                problem = Problem(int(record["num_features"]), tuple(record["classes"]), "single-label")
                references = References(arrays["vectors"], arrays["counts"])
                shape = (problem.num_classes, config.references, problem.num_features)
                if references.vectors.shape != shape or references.counts.shape != shape[:1]:
                    raise ValueError(f"references have shape {references.vectors.shape}, expected {shape}")
                # 0.1.0 saved no basis.
                network = ArrayMatching(config, problem, references, basis=arrays.get("basis"))
                # What trained on a GPU saved the state of its dropout, too.
                for name, variable in network.weights().items():
                    variable.assign(arrays[f"weights/{name}"])
        except Exception as error:  # damaged archives raise many kinds
            raise NlcliError(f"{path} is not a saved CleanNet ({error}); save it again") from error
        detector = cls(config)
        detector._use(network)
        return detector


def _on_gpu(network: ArrayMatching) -> MatchingNetwork:
    """The same network where TensorFlow takes its steps."""
    quiet_tensorflow()
    from nlcli.detection.cleannet_matching import MatchingNetwork

    return MatchingNetwork(network)


def _in_parts(similarity: Scorer) -> Scorer:
    """The same, of some thousand images at a time."""

    def score(features: np.ndarray, noisy: np.ndarray) -> np.ndarray:
        starts = range(0, len(features), READ_ROWS)
        parts = [similarity(features[i : i + READ_ROWS], noisy[i : i + READ_ROWS]) for i in starts]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    return score
