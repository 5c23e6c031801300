"""From a frame to people and faces, on the CPU and on the GPU."""
