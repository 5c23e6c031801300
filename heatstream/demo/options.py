"""Options that several commands have, and what they are without being given."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "CONFIDENCE",
    "FACE_MODEL",
    "MODEL",
    "TRACKED",
    "ConfidenceOption",
    "DeviceOption",
    "EngineOption",
    "FaceModelOption",
    "FacesOption",
    "ModelOption",
    "ShortSideOption",
    "ThreadsOption",
]

MODEL = "swahr-small"

FACE_MODEL = "h3r-mobile-68"

CONFIDENCE = 0.3
"""Score from which people are shown. In a crowded street false people are fewer than right ones then."""

TRACKED = 0.08
"""Score from which people are looked at, because doubtful ones keep the ids of those who are shown; the tracker's."""

ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A name that `heatstream models` lists, a model file, or a checkpoint.")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads per frame; by default all cores.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, or cuda:1 for the second GPU.")]
EngineOption = Annotated[str, typer.Option("--engine", help="auto, onnx (CPU), tensorrt, tensorrt-rtx (GPU) or torch.")]
FacesOption = Annotated[bool, typer.Option("--faces", help="Find the landmarks of everyone's face too.")]
FaceModelOption = Annotated[
    str, typer.Option("--face-model", help="With --faces: a name or model file that finds landmarks.")
]
ShortSideOption = Annotated[
    int | None,
    typer.Option(
        "--short-side",
        metavar="PX",
        help="Bring every frame's short side to so many px, a multiple of 64: more finds smaller people and takes "
        "longer. For models of any size.",
        show_default="the model's",
    ),
]
ConfidenceOption = Annotated[
    float, typer.Option("--conf", min=0, max=1, help="Leave out people of a lower score; 0 keeps everybody.")
]
