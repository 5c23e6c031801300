"""Archives: many videos to results, with all cores or a cluster, and again from where it stopped.

::

    videos ── plan ──> segments ── find ──> checkpoints ── merge ──> a file of results per video
              (plan)               (finder,  (archive)     (archive: ids, smoothing)
                                    local or ray_cluster)

Segments of a video are looked at side by side, each from a key frame of its own; what follows people from frame to
frame happens when a video's segments are merged in order. So the results are those of one run over the whole video.
"""

from heatstream.runtime.archive.archive import FORMATS, Archive, Format
from heatstream.runtime.archive.finder import FinderSettings
from heatstream.runtime.archive.plan import Video, find_videos
from heatstream.runtime.archive.process import ArchiveProgress, Report, process_videos

__all__ = [
    "FORMATS",
    "Archive",
    "ArchiveProgress",
    "FinderSettings",
    "Format",
    "Report",
    "Video",
    "find_videos",
    "process_videos",
]
