"""From a model file to a TensorRT or TensorRT-RTX engine."""
