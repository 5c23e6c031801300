"""NumPy arrays go to the reference, and bring no launcher along; for CuPy arrays see the tests of the launchers."""

from __future__ import annotations

import subprocess
import sys


def test_numpy_arrays_stay_with_the_reference() -> None:
    program = (
        "import sys, numpy as np\n"
        "from heatstream import kernels\n"
        "frame, geometry = np.zeros((8, 8, 3), np.uint8), kernels.Geometry.fit((8, 8), (64, 64))\n"
        "assert kernels.letterbox(frame, geometry, (0, 0, 0), (1, 1, 1)).shape == (1, 3, 64, 64)\n"
        "assert len(kernels.decode_poses(np.zeros((1, 17, 8, 8)), np.zeros((1, 17, 8, 8, 1)))) == 1\n"
        "assert kernels.decode_landmarks(np.zeros((1, 2, 8, 8), np.float32)).shape == (1, 2, 2)\n"
        "assert kernels.crop_rotated(frame, np.zeros((1, 2, 3)), (4, 4), (0, 0, 0), (1, 1, 1)).shape == (1, 3, 4, 4)\n"
        "assert not [name for name in sys.modules if name.startswith(('heatstream.kernels.cuda', 'cupy'))]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
