"""Results as Parquet: a row per frame, with the fields of the JSON message that differ from frame to frame.

The header message is JSON in the file's metadata, under ``heatstream``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from heatstream.extras import require
from heatstream.results import Result

__all__ = ["write_parquet"]

ROWS = 10_000
"""Frames in memory at a time."""


def write_parquet(path: Path, header: Mapping[str, Any], results: Iterator[Result]) -> None:
    """Write results, compressed by zstd.

    Args:
        path: of the file.
        header: of :func:`heatstream.messages.header_message`.
        results: in order.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = require("pyarrow", extra="parquet", purpose="results in Parquet")
    parquet = require("pyarrow.parquet", extra="parquet", purpose="results in Parquet")
    schema = _schema(arrow).with_metadata({"heatstream": json.dumps(header)})
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while rows := [result.to_dict() for result in islice(results, ROWS)]:
            writer.write_table(arrow.Table.from_pylist(rows, schema))


def _schema(arrow: Any) -> Any:
    point = arrow.list_(arrow.float32())
    person = {"id": arrow.int64(), "score": arrow.float32(), "keypoints": arrow.list_(point)}
    face = {
        "person": arrow.int64(),
        "score": arrow.float32(),
        "box": arrow.list_(arrow.float32()),
        "angle": arrow.float32(),
        "landmarks": arrow.list_(point),
    }
    return arrow.schema(
        {
            "frame_index": arrow.int64(),
            "capture_time": arrow.float64(),
            "frame_size": arrow.list_(arrow.int32()),
            "skeleton": arrow.string(),
            "people": arrow.list_(arrow.struct(person)),
            "face_skeleton": arrow.string(),
            "faces": arrow.list_(arrow.struct(face)),
        }
    )
