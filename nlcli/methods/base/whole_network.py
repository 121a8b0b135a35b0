"""What methods that train the backbone along with its last layer share."""

from __future__ import annotations

from pydantic import Field

from nlcli.methods.base.contract import Batch, MethodConfig, Tensor
from nlcli.methods.base.linear import LinearMethod


class WholeNetworkConfig(MethodConfig):
    """Settings of training a whole network."""

    learning_rate: float = Field(1e-4, gt=0, description="Initial learning rate of the whole network.")


class WholeNetworkMethod(LinearMethod):
    """The last layer on a backbone that is trained with it, on verified labels alone."""

    # Named as in nlcli.training.pretrain_backbone, so that both draw the same batches.
    phase = ("verified", "clean")
    accepts_last_layer = True
    whole_network = True
    config: WholeNetworkConfig

    def losses(self, phase: str, features: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.verified_loss(features, batch)}
