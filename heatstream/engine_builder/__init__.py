"""From a network to a file that runs: the self-describing model file, ONNX export, precision, and engines for GPUs.

Only the export needs the `train` extra; reading model files and finding engines needs nothing, building them needs
TensorRT or TensorRT-RTX.
"""

from __future__ import annotations

from heatstream.catalog import CATALOG, CatalogEntry, bundled_path
from heatstream.engine_builder.export.model import ExportReport, export_model
from heatstream.model_info import ModelInfo

__all__ = ["CATALOG", "CatalogEntry", "ExportReport", "ModelInfo", "bundled_path", "export_model"]
