"""A last phase on verified labels alone: the rows "+ fine-tune" of the papers' single-label tables."""

from __future__ import annotations

from pydantic import Field

from nlcli.methods.base.contract import Batch, MethodConfig, Phase, Tensor
from nlcli.methods.base.method import Method

FINETUNE = "finetune"


class FinetuningConfig(MethodConfig):
    """Settings of a method that can go on with verified labels after it has learnt from noisy ones."""

    finetune_steps: int = Field(0, ge=0, description="Steps on verified labels alone, after all others (0: none).")
    finetune_rate: float = Field(1e-4, gt=0, description="Learning rate of that.")


class FinetuningMethod(Method):
    """A method whose classifier may be fine-tuned on the clean set at the end.

    ``phases`` ends with ``*self.finetuning()``, and ``losses`` of the phase ``FINETUNE`` are
    ``self.finetuning_losses`` of the classifier's logits.
    """

    config: FinetuningConfig

    def finetuning(self, group: str = "head") -> tuple[Phase, ...]:
        """The last phase, which trains the variables of ``group``; none where it was not asked for.

        A backbone that is trained along is slowed down by the same factor as the classifier.
        """
        settings = self.config
        if not settings.finetune_steps:
            return ()
        return (
            self.make_phase(
                FINETUNE,
                "clean",
                settings.finetune_steps,
                {group: settings.finetune_rate},
                clean_rows="named",
                trunk_factor=settings.finetune_rate / settings.learning_rate,
            ),
        )

    def finetuning_losses(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The classification loss on the verified labels of a batch of V."""
        loss = self.classification_loss(logits, batch.verified, batch.mask)
        return {"loss": loss, "L_clean": loss}
