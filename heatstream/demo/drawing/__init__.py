"""Pictures: skeletons and faces on frames, contact sheets, charts."""
