"""What is a frame, and what is told of everything that is none: the conversion that makes it one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heatstream.errors import InputError
from heatstream.frames import check_frame, lies_on_gpu

FRAME = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)


class OnGpu:
    """As CuPy's arrays and torch's tensors on a GPU tell of themselves."""

    def __init__(self, protocol: str) -> None:
        if protocol == "dlpack":
            self.__dlpack_device__ = lambda: (2, 0)
        else:
            self.__cuda_array_interface__: dict[str, Any] = {}


def test_a_frame_is_taken_as_it_is() -> None:
    assert check_frame(FRAME) is FRAME
    turned = FRAME[:, ::-1]
    assert check_frame(turned) is turned


def test_a_tensor_of_torch_in_the_hosts_memory_is_taken_without_a_copy() -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra train")
    tensor = torch.from_numpy(FRAME.copy())
    taken = check_frame(tensor)
    tensor[0, 0, 0] = 77
    assert taken[0, 0, 0] == 77
    with pytest.raises(InputError, match=r"cannot be taken: .* require gradient"):
        check_frame(tensor.float().requires_grad_())


def test_a_picture_of_pillow_is_refused_with_what_makes_it_a_frame() -> None:
    image_module = pytest.importorskip("PIL.Image", reason="Pillow comes with matplotlib, of the extra plot")
    picture = image_module.fromarray(FRAME[:, :, ::-1])
    with pytest.raises(InputError, match=r"np\.asarray\(picture\.convert\('RGB'\)\)\[:, :, ::-1\] is one"):
        check_frame(picture)
    np.testing.assert_array_equal(check_frame(np.asarray(picture.convert("RGB"))[:, :, ::-1]), FRAME)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, r"got None, which cv2\.imread gives"),
        ([FRAME, FRAME], r"got a list of 2: pipeline\.batch\(frames\) takes several"),
        (np.stack([FRAME, FRAME]), r"pipeline\.batch\(list\(frames\)\) takes several"),
        (FRAME[:, :, 0], r"cv2\.cvtColor\(frame, cv2\.COLOR_GRAY2BGR\) is one"),
        (FRAME[:, :, :1], r"COLOR_GRAY2BGR"),
        (np.zeros((4, 4, 4), np.uint8), r"of BGRA, frame\[:, :, :3\] is one"),
        (FRAME.transpose(2, 0, 1), r"frame\.transpose\(1, 2, 0\) is one"),
        (FRAME.astype(np.float32), r"\(255 \* frame\)\.round\(\)\.astype\(np\.uint8\)"),
        (FRAME.astype(np.uint16), r"\(frame // 256\)\.astype\(np\.uint8\)"),
        (FRAME.astype(bool), r"uint8 BGR, got \(48, 64, 3\) bool$"),
        (np.zeros((0, 4, 3), np.uint8), "must hold pixels"),
        ("frame.png", "got str$"),
        (OnGpu("dlpack"), r"lies on a GPU .* device='cuda', .* frame\.cpu\(\)"),
        (OnGpu("cuda_array_interface"), r"cupy\.asnumpy\(frame\)"),
    ],
)
def test_what_is_no_frame_is_refused_with_a_remedy(wrong: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_frame(wrong)


def test_what_lies_on_a_gpu_is_told_by_its_protocols() -> None:
    assert lies_on_gpu(OnGpu("dlpack"))
    assert lies_on_gpu(OnGpu("cuda_array_interface"))
    assert not lies_on_gpu(FRAME)
    assert not lies_on_gpu("frame")
