"""Results drawn onto frames by OpenCV: anti-aliased, at sub-pixel places, in a millisecond for a few people."""

from heatstream.drawing.faces import draw_faces
from heatstream.drawing.poses import MIN_SCORE, Colors, Label, draw_poses, draw_text
from heatstream.drawing.result import draw

__all__ = ["MIN_SCORE", "Colors", "Label", "draw", "draw_faces", "draw_poses", "draw_text"]
