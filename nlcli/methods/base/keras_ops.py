"""``ops``, in which equations are written, without importing Keras before the first of them needs it.

Importing Keras takes seconds. Whoever lists methods, reads their cards or checks their options computes nothing, and
whoever scores cached features computes on arrays, which ``array_ops`` does. What is looked up here is otherwise Keras's
own function; in a compiled graph nothing is slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlcli.methods.base.array_ops import ARRAY_OPS, of_arrays
from nlcli.runtime import quiet_tensorflow

if TYPE_CHECKING:
    from keras import ops as ops
else:

    class _Operations:
        """``keras.ops``, imported when it is first needed, and NumPy on arrays."""

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):  # tools that look at modules ask for these; they are no operations
                raise AttributeError(name)
            operation = _either(name) if name in ARRAY_OPS else _keras(name)
            setattr(self, name, operation)  # the next look-up does not come here
            return operation

    def _keras(name: str) -> Any:
        quiet_tensorflow()
        from keras import ops

        return getattr(ops, name)

    def _either(name: str) -> Any:
        on_arrays, on_tensors = ARRAY_OPS[name], None

        def operation(*args: Any, **options: Any) -> Any:
            nonlocal on_tensors
            if of_arrays((*args, *options.values())):
                return on_arrays(*args, **options)
            if on_tensors is None:
                on_tensors = _keras(name)
            return on_tensors(*args, **options)

        return operation

    ops = _Operations()
