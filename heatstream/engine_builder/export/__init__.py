"""From a network to an ONNX model file, in FP32, FP16 or INT8."""
