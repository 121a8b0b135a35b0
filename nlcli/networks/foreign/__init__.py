"""Networks that other libraries run: ONNX Runtime, KerasHub and timm, each with the preprocessing that it states."""
