"""A teacher that cleans labels and a student that learns from it (Hu et al. 2018)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from nlcli.methods.base.contract import Activation, Batch, Phase, Tensor
from nlcli.methods.base.keras_ops import ops
from nlcli.methods.base.losses import Normalise, binary_cross_entropy
from nlcli.methods.base.search_range import Range
from nlcli.methods.base.solved_start import SolvedLogits, StartedConfig, StartedMethod
from nlcli.methods.citations import HU_2018
from nlcli.networks.linear_layer import LinearLayer


class TeacherStudentConfig(StartedConfig):
    """Settings of teacher and student; ``learning_rate`` is the student's."""

    teacher_rate: Annotated[float, Range(1e-4, 1e-1)] = Field(1e-3, gt=0, description="Learning rate of the teacher.")
    activation: Activation = Field("sigmoid", description="Non-linearity of both nets; linear for table 4.")
    hidden: Annotated[int, Range(32, 1024)] = Field(
        512, ge=1, description="Units of both hidden layers (no paper states it)."
    )
    pretrain: Literal["none", "teacher", "student", "both"] = Field(
        "both", description="Which nets are first trained on noisy labels (table 5), where they begin at new weights."
    )
    pretrain_rate: float = Field(1e-3, gt=0, description="Learning rate of that.")
    pretrain_steps: int = Field(800, ge=1, description="Steps of that.")
    targets: Literal["hard", "soft"] = Field(
        "hard", description="What the student gets: the teacher's decisions, or its probabilities (table 6)."
    )
    threshold: Annotated[float, Range(0.2, 0.7, even=True)] = Field(
        0.4, gt=0, lt=1, description="Probability above which a hard target is 1."
    )
    normalise: Normalise = Field(
        "entries",
        description="What losses over verified labels are divided by: verified entries, or all entries of the images.",
    )


class TeacherStudent(StartedMethod):
    """Two non-linear nets of one shape on the same features: teacher ``g`` and student ``h``.

    ``g`` learns from verified labels; ``h`` from these and from what ``g`` says of all other images.
    Single-label data keeps the sigmoid: a threshold on each class makes no distribution.
    """

    name = "teacher-student"
    Config = TeacherStudentConfig
    # Sections 4.2 and 4.3; steps and batch are stated of the fine-tuned variants alone, the length of the pre-training
    # nowhere: a fifth of what follows.
    presets: ClassVar = {
        "coco": {
            "optimizer": "rmsprop",
            "learning_rate": 3e-5,
            "teacher_rate": 3e-4,
            "pretrain_rate": 1e-4,
            "steps": 100_000,
            "pretrain_steps": 20_000,
            "batch_size": 64,
        },
        "open-images": {
            "optimizer": "rmsprop",
            "learning_rate": 1e-5,
            "teacher_rate": 1e-4,
            "pretrain_rate": 1e-4,
            "steps": 4_000_000,
            "pretrain_steps": 800_000,
            "batch_size": 32,
        },
    }
    scores = ("student", "teacher")
    cleans = True
    started_rates = ("learning_rate", "teacher_rate")
    only_new = frozenset({"pretrain", "pretrain_rate", "pretrain_steps"})
    citation = HU_2018
    config: TeacherStudentConfig

    def build(self, init: LinearLayer | None) -> None:
        settings = self.config
        started = self.starts_solved
        shape = settings.hidden, settings.activation
        self.teacher_net = self.nonlinear("teacher", *shape, group="teacher", zeros=started)
        self.student_net = self.nonlinear("student", *shape, group="student", zeros=started)
        if started:
            self.begun = SolvedLogits(self, "start")

    def teacher(self, features: Tensor) -> Tensor:
        """Logits of ``g``."""
        return self.started(self.teacher_net(features), features)

    def student(self, features: Tensor) -> Tensor:
        """Logits of ``h``."""
        return self.started(self.student_net(features), features)

    def phases(self) -> tuple[Phase, ...]:
        settings = self.config
        rates = {"teacher": settings.teacher_rate, "student": settings.learning_rate}
        joint = self.make_phase("joint", "mixed", settings.steps, rates)
        if settings.pretrain == "none" or self.starts_solved:
            return (joint,)
        rates = dict.fromkeys(self._pretrained(), settings.pretrain_rate)
        first = self.make_phase(
            "pretrain", "noisy", settings.pretrain_steps, rates, noisy_labels="all", monitor="L_noise"
        )
        return (first, joint)

    def _pretrained(self) -> tuple[str, ...]:
        return ("teacher", "student") if self.config.pretrain == "both" else (self.config.pretrain,)

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        if phase == "pretrain":
            nets = [{"teacher": self.teacher, "student": self.student}[name] for name in self._pretrained()]
            noise = sum(binary_cross_entropy(net(features), batch.noisy) for net in nets)  # eq. (2)
            return {"loss": noise, "L_noise": noise}
        teacher = self.teacher(features)
        norm = self.config.normalise
        clean = binary_cross_entropy(batch.of_clean(teacher), batch.verified, batch.mask, norm)  # eq. (3)
        cleaned = self.targets(batch.of_noisy(teacher))
        targets = ops.concatenate([batch.verified, cleaned], axis=0)
        mask = ops.concatenate([batch.mask, ops.ones_like(cleaned)], axis=0)
        classify = binary_cross_entropy(self.student(features), targets, mask, norm)  # eq. (4)
        return {"loss": 0.1 * clean + classify, "L_clean": clean, "L_classify": classify}  # section 4.3

    @property
    def averages_classes(self) -> bool:
        return True  # sigmoids, on single-label data, too

    def targets(self, logits: Tensor) -> Tensor:
        """What the student is taught where the teacher says ``logits``; constants (section 3.2)."""
        probabilities = ops.sigmoid(logits)
        if self.config.targets == "hard":
            probabilities = ops.cast(probabilities > self.config.threshold, "float32")
        return ops.stop_gradient(probabilities)

    def cleaned(self, noisy: Tensor, features: Tensor) -> Tensor:
        """What the teacher says, whatever the noisy labels are."""
        return ops.sigmoid(self.teacher(features))

    def score(self, features: Tensor, name: str) -> Tensor:
        return ops.sigmoid(self.student(features) if name == "student" else self.teacher(features))
