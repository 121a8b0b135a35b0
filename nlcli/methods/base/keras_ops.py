"""``ops``, in which equations are written, without importing Keras before the first of them is computed.

Importing Keras takes seconds, and whoever lists methods, reads their cards or checks their options computes
nothing. What is looked up here is Keras's own function, once: in a compiled graph nothing is slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlcli.runtime import quiet_tensorflow

if TYPE_CHECKING:
    from keras import ops as ops
else:

    class _KerasOps:
        """``keras.ops``, imported when it is first asked for something."""

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):  # tools that look at modules ask for these; they are no operations
                raise AttributeError(name)
            quiet_tensorflow()
            from keras import ops

            operation = getattr(ops, name)
            setattr(self, name, operation)  # the next look-up does not come here
            return operation

    ops = _KerasOps()
