"""The builder's process on the fake TensorRT, for an Orin; with HEATSTREAM_TEST_BUILD_HANGS=1 it never ends."""

from __future__ import annotations

import os
import sys
import time

from heatstream.engine_builder.trt.build_process import build_all
from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.errors import HeatstreamError
from tests.fakes.tensorrt import make_tensorrt

if __name__ == "__main__":
    text = sys.stdin.read()
    while os.environ.get("HEATSTREAM_TEST_BUILD_HANGS"):
        time.sleep(0.1)
    try:
        build_all(text, Toolkit("tensorrt", make_tensorrt("10.3.0")), Gpu("Orin", "sm_87"))
    except HeatstreamError as error:
        sys.exit(str(error))
