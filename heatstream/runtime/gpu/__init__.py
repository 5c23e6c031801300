"""What the GPU pipelines share: device, pinned memory, frames, graphs."""
