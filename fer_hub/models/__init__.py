"""Models: networks, the `FERModel` that everybody loads and saves, and ONNX."""
