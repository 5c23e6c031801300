"""Makes the photographs of README and of the first page: `python tools/docs_pictures.py`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

import heatstream

REPOSITORY = Path(__file__).resolve().parent.parent
FACE_WIDTH = 495  # px
AROUND = 0.6  # of the face's size, to every side
QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 88]


def main() -> None:
    photograph = cv2.imread(str(REPOSITORY / "heatstream" / "demo" / "astronaut.jpg"))
    assert photograph is not None
    with heatstream.load("swahr-small", faces="h3r-mobile-68", confidence=0.3) as pipeline:
        result = pipeline(photograph)
        assert result.faces is not None
        images = REPOSITORY / "docs" / "images"
        people = heatstream.draw(photograph, heatstream.Result(result.poses, result.timing))
        cv2.imwrite(str(images / "astronaut.jpg"), people, QUALITY)
        landmarks = result.faces.landmarks[0]
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        reach = AROUND * float((high - low).max())
        left, top = np.maximum(low - reach, 0).astype(int).tolist()
        right, bottom = (high + reach).astype(int).tolist()
        factor = FACE_WIDTH / (right - left)
        # Drawn after it is enlarged, so that lines stay thin.
        close = cv2.resize(
            photograph[top:bottom, left:right], None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC
        )
        moved = heatstream.Faces(
            ((result.faces.landmarks - (left, top)) * factor)[:1],
            result.faces.scores[:1],
            ((result.faces.boxes - (left, top, left, top)) * factor)[:1],
            result.faces.angles[:1],
            np.array([-1]),
            result.faces.skeleton,
        )
        nobody = heatstream.Poses.empty(result.poses.skeleton)
        drawn = heatstream.draw(close, heatstream.Result(nobody, result.timing, moved))
        cv2.imwrite(str(images / "astronaut-face.jpg"), drawn, QUALITY)


if __name__ == "__main__":
    main()
