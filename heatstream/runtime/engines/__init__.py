"""Engines that run a model file: ONNX Runtime, TensorRT, torch."""
