"""Letting ONNX Runtime's CPU kernels run a convolution and its ReLU as one, in FP16 models too.

From operator set 18 on ONNX defines Relu as a function, Max(x, 0). ONNX Runtime has no FP16 Relu for CPUs, so it takes
the function, computes that Max in true FP16, which is slow, and between two convolutions whose layout it would have
kept. Under operator set 17 it computes the Relu in FP32 like everything else, as part of the convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heatstream.extras import require

__all__ = ["OPSET", "make_relu_fusable"]

OPSET = 17

NEWER_ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {
    "Resize": {"antialias": 0, "keep_aspect_ratio_policy": b"stretch"},
    "Split": {"num_outputs": None},
}
"""What operators of set 18 have that those of set 17 have not, and the value that says the same; None for any."""


def make_relu_fusable(model: Any) -> bool:
    """Take a model from operator set 18 to 17, in place, where all its operators mean the same in both.

    Args:
        model: an onnx.ModelProto.

    Returns:
        Whether that was so; the model is left as it is otherwise.
    """
    onnx = require("onnx", extra="train", purpose="exporting networks")
    (opset,) = (entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset.version != OPSET + 1 or not all(_same_in_both(node, onnx) for node in model.graph.node):
        return False
    for node in model.graph.node:
        kept = [one for one in node.attribute if one.name not in NEWER_ATTRIBUTES.get(node.op_type, {})]
        del node.attribute[:]
        node.attribute.extend(kept)
    opset.version = OPSET
    return True


def _same_in_both(node: Any, onnx: Any) -> bool:
    newer = NEWER_ATTRIBUTES.get(node.op_type)
    if newer is None:
        versions = [onnx.defs.get_schema(node.op_type, opset).since_version for opset in (OPSET, OPSET + 1)]
        return bool(versions[0] == versions[1])
    values = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    return "axes" not in values and all(
        usual is None or values.get(name, usual) == usual for name, usual in newer.items()
    )
