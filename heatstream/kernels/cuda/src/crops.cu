// Crops: faces (or bodies) cut from one frame into the network's input, turned with them, all in one launch. The Python
// reference is crop_rotated of crops.py, which states the rule:
//
//   out[b, c, y, x] = (level / 255 - mean[c]) / std[c]
//   level = the mean of n x m bilinear samples of the frame, spread over what the pixel covers there, black beyond it
//
// where n and m make the samples at most a source px apart, up to MAX_SAMPLES. Nothing is rounded to grey levels.
//
// frame: one descriptor in device memory: see frame.cuh. The letterbox's will do; its geometry is not read.
// transforms: (capacity, 2, 3) float in device memory, input px to source px, those by which decode_landmarks goes back.
//   One that is not finite gives a black crop.
// count: how many of them are meant, in device memory, so that a captured graph cuts as many faces as the frame has. The
//   others' images are left as they are.
// out: (capacity, 3, height, width), R, G, B; __half with -D HALF_OUTPUT=1, else float.
//
// Launch: grid (ceil(width / 64), ceil(height / 8), capacity), block (32, 8); two neighbouring pixels a thread, as in
// the letterbox. Coordinates are float: 0.0005 px off in a frame of 4,096 px, the reference's likewise.
#include "frame.cuh"

constexpr int COLUMNS = 32;  // threads of a block
constexpr int ROWS = 8;
constexpr float MAX_SAMPLES = 8.0f;

// Along one axis of the crop: `step` source px between samples, `axis` of length 1.
struct Axis {
    int samples;
    float step_x, step_y, axis_x, axis_y;
};

__device__ inline Axis along(float x, float y) {
    const float length = sqrtf(x * x + y * y);
    // What is hardly above a whole number has got there by rounding.
    const float samples = fminf(fmaxf(ceilf(length - 1e-3f), 1.0f), MAX_SAMPLES);
    const float unit = 1.0f / fmaxf(length, 1e-30f);
    return {static_cast<int>(samples), x / samples, y / samples, x * unit, y * unit};
}

// Beyond the frame by two px all is black; an index stays one whatever the transform.
__device__ inline float near_frame(float coordinate, int size) {
    return fminf(fmaxf(coordinate, -2.0f), static_cast<float>(size + 1));
}

// The frame's mean over one pixel of the crop, whose samples begin at (x, y).
__device__ inline Colour mean_over_pixel(const Frame& frame, const Axis& right, const Axis& down, float x, float y) {
    Colour sum = {0.0f, 0.0f, 0.0f};
    for (int j = 0; j < down.samples; ++j) {
        const float row_x = fmaf(down.step_x, j, x), row_y = fmaf(down.step_y, j, y);
        for (int i = 0; i < right.samples; ++i) {
            const Colour colour = colour_at(frame, near_frame(fmaf(right.step_x, i, row_x), frame.width),
                                            near_frame(fmaf(right.step_y, i, row_y), frame.height));
            sum = {sum.blue + colour.blue, sum.green + colour.green, sum.red + colour.red};
        }
    }
    const float share = 1.0f / (right.samples * down.samples);
    return {sum.blue * share, sum.green * share, sum.red * share};
}

extern "C" __global__ void __launch_bounds__(COLUMNS* ROWS)
    crops(const Frame* frames, const float* transforms, const int* count, const __grid_constant__ Normalisation norm,
          Out* out, int height, int width) {
    const int x = 2 * (blockIdx.x * COLUMNS + threadIdx.x), y = blockIdx.y * ROWS + threadIdx.y;
    const int crop = blockIdx.z;
    if (crop >= *count || x >= width || y >= height) return;
    const Frame frame = *frames;

    const float* transform = transforms + 6 * crop;
    const Axis right = along(transform[0], transform[3]), down = along(transform[1], transform[4]);
    // The first sample of pixel (x, y): half a step into it, less the half that leads to the index of a source pixel.
    const float first_x = fmaf(transform[0], x, fmaf(transform[1], y, transform[2])) +
                          0.5f * (right.step_x + down.step_x - right.axis_x - down.axis_x);
    const float first_y = fmaf(transform[3], x, fmaf(transform[4], y, transform[5])) +
                          0.5f * (right.step_y + down.step_y - right.axis_y - down.axis_y);
    const Colour levels[2] = {mean_over_pixel(frame, right, down, first_x, first_y),
                              mean_over_pixel(frame, right, down, first_x + transform[0], first_y + transform[3])};
    store_pair(levels, norm, out + crop * 3 * (static_cast<size_t>(height) * width), x, y, height, width);
}
