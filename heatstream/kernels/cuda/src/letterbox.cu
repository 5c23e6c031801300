// Letterbox: camera frames to the network's input, a batch of frames of any sizes in one launch. The Python reference is
// letterbox.py, the geometry that of geometry.py.
//
//   out[b, c, y, x] = (level / 255 - mean[c]) / std[c]
//   level = the frame at (scale x + shift_x, scale y + shift_y), bilinear, rounded to a grey level, black beyond it
//
// As in the reference programs pixel indices are mapped as they are, without half a pixel, and nothing is smoothed when
// the frame shrinks.
//
// frames: B descriptors in device memory: see frame.cuh.
// out: (B, 3, height, width), R, G, B; __half with -D HALF_OUTPUT=1, else float.
//
// Launch: grid (ceil(width / 64), ceil(height / 8), B), block (32, 8). A thread makes two neighbouring pixels of a row
// and stores them together. Not more: the reads are what the kernel waits for, and the farther apart the threads of a
// warp read, the more cache lines one read touches.
//
// Coordinates and weights are float and are rounded as OpenCV 5 rounds them on a CPU with FMA, so that every grey level
// is the reference's (within 1 in the last columns of a width that is no multiple of 32, which OpenCV does one by one).
// OpenCV 4 rounds its weights to 1/32 and differs by a few levels.
#include "frame.cuh"

constexpr int COLUMNS = 32;  // threads of a block
constexpr int ROWS = 8;

extern "C" __global__ void __launch_bounds__(COLUMNS* ROWS)
    letterbox(const Frame* frames, const __grid_constant__ Normalisation norm, Out* out, int height, int width) {
    const int x = 2 * (blockIdx.x * COLUMNS + threadIdx.x), y = blockIdx.y * ROWS + threadIdx.y;
    if (x >= width || y >= height) return;
    const Frame frame = frames[blockIdx.z];

    const float source_y = __fadd_rn(__fmul_rn(frame.scale, y), frame.shift_y);  // rounded twice, and once in x below
    Colour levels[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const Colour colour = colour_at(frame, fmaf(frame.scale, x + i, frame.shift_x), source_y);
        levels[i] = {rintf(colour.blue), rintf(colour.green), rintf(colour.red)};
    }
    store_pair(levels, norm, out + blockIdx.z * 3 * (static_cast<size_t>(height) * width), x, y, height, width);
}
