// Maps: what the kernels read, and its value at any pixel. The Python reference is aggregate.py.
//
// The networks give heatmaps at 1/4 and at 1/2 of their input and tags at 1/4. The decode works on their average,
// resampled to the working size: 1/2 of the input, or the input's own size (PROJECT). No such map is ever written;
// every kernel asks for the pixels it needs, one by one (average_at, tag_at) or a square at a time (tiles.cuh).
//
//   average = (up2(quarter) + half) / 2, then brought to the working size     HigherHRNet, Cheng et al. 2020, sec. 3.4
//   flip:     the mean of that and of the mirror image's, mirrored back with left and right joints swapped
//
// Resampling is bilinear with pixel centres at +0.5 and clamped borders. It is evaluated as OpenCV evaluates it for
// float images on a CPU with FMA: along x and then along y, as fmaf(b - a, weight, a). So the averages are those of the
// reference to the last bit, and plateaus and ties fall out alike.
//
// Configuration, each one a -D of the compilation:
//   NUM_JOINTS  K, 1..255        HALF_MAPS   1: the maps are __half, 0: float; all arithmetic is float
//   PLAIN       1: the maps are averaged already, as decode_poses takes them; PROJECT and FLIP are then 0
//   PROJECT     1: the working size is twice the half maps'    FLIP  1: image 2b is plain, 2b + 1 its mirror image
//   TAG_PLANES  T, the tags per pixel: 1, or 2 with FLIP
#ifndef HEATSTREAM_MAPS_CUH
#define HEATSTREAM_MAPS_CUH

#include "common.cuh"

#if PLAIN && (PROJECT || FLIP)
#error "PLAIN maps are averaged already: PROJECT and FLIP do not apply"
#endif

// Bits of state[image]. An image with any of them set holds nobody.
constexpr int NOT_FINITE = 1;

// ---- Values --------------------------------------------------------------------------------------------------------

// The two source pixels between which a target pixel's centre lies, and how far it lies towards the second.
struct Taps {
    int first, second;
    float weight;
};

// `step` is source px per target px. At 1/2, the usual one, every operation here is exact.
__device__ inline Taps taps_of(int target, float step, int source_size) {
    const float center = fmaf(target + 0.5f, step, -0.5f);
    const int first = static_cast<int>(floorf(center));
    const int last = source_size - 1;
    return {min(max(first, 0), last), min(first + 1, last), center - first};
}

// The value at (y, x) of a plane of twice the size of `plane`, which is (height, width).
__device__ inline float doubled_at(const Real* plane, int height, int width, int y, int x) {
    const Taps down = taps_of(y, 0.5f, height);
    const Taps along = taps_of(x, 0.5f, width);
    const Real* upper = plane + down.first * width;
    const Real* lower = plane + down.second * width;
    return lerp(lerp(to_float(upper[along.first]), to_float(upper[along.second]), along.weight),
                lerp(to_float(lower[along.first]), to_float(lower[along.second]), along.weight), down.weight);
}

// The same between the pixels of something that is evaluated where it is needed: at(y, x).
template <class At>
__device__ inline float between(Taps down, Taps along, At at) {
    return lerp(lerp(at(down.first, along.first), at(down.first, along.second), along.weight),
                lerp(at(down.second, along.first), at(down.second, along.second), along.weight), down.weight);
}

#if PLAIN

// heatmaps (B, K, height, width), tags (B, K, height, width, T).
struct Maps {
    const Real* heatmaps;
    const Real* tags;
    int height, width;
};

__device__ inline size_t plain_index(const Maps& maps, int image, int joint, int y, int x) {
    return ((static_cast<size_t>(image) * NUM_JOINTS + joint) * maps.height + y) * maps.width + x;
}

__device__ inline float average_at(const Maps& maps, int image, int joint, int y, int x) {
    return to_float(maps.heatmaps[plain_index(maps, image, joint, y, x)]);
}

__device__ inline float tag_at(const Maps& maps, int image, int joint, int plane, int y, int x) {
    return to_float(maps.tags[plain_index(maps, image, joint, y, x) * TAG_PLANES + plane]);
}

#else

// What the network gave for N images; N = B, or 2B with FLIP.
struct Maps {
    const Real* quarter;                // (N, K, quarter_height, quarter_width)
    const Real* half;                   // (N, K, 2 quarter_height, 2 quarter_width)
    const Real* tags;                   // (N, K, quarter_height, quarter_width)
    int quarter_height, quarter_width;  // px
    int height, width;                  // the working size, px
    unsigned char partner[NUM_JOINTS];  // each joint's left/right partner, itself without one
};

constexpr float STEP = 0.5f;  // px of the half maps per working px with PROJECT; without, they are the working px
constexpr int VIEWS = FLIP ? 2 : 1;

// Which plane of the network's output holds a joint as a view shows it: view 1 is the mirror image.
__device__ inline size_t plane_of(const Maps& maps, int view, int image, int joint) {
    const size_t row = static_cast<size_t>(image) * VIEWS + view;
    return row * NUM_JOINTS + (view ? maps.partner[joint] : joint);
}

__device__ inline int column_in(const Maps& maps, int view, int x) { return view ? maps.width - 1 - x : x; }

// The average of both resolutions at a pixel of the half maps.
__device__ inline float average_at_half(const Maps& maps, size_t plane, int y, int x) {
    const size_t size = static_cast<size_t>(maps.quarter_height) * maps.quarter_width;
    const float up = doubled_at(maps.quarter + plane * size, maps.quarter_height, maps.quarter_width, y, x);
    return (up + to_float(maps.half[plane * size * 4 + y * (2 * maps.quarter_width) + x])) * 0.5f;
}

__device__ inline float tag_at_half(const Maps& maps, size_t plane, int y, int x) {
    const size_t size = static_cast<size_t>(maps.quarter_height) * maps.quarter_width;
    return doubled_at(maps.tags + plane * size, maps.quarter_height, maps.quarter_width, y, x);
}

// Something known at the pixels of the half maps, at a working pixel.
template <class At>
__device__ inline float at_working(const Maps& maps, int y, int x, At at_half) {
    if (!PROJECT) return at_half(y, x);
    return between(taps_of(y, STEP, 2 * maps.quarter_height), taps_of(x, STEP, 2 * maps.quarter_width), at_half);
}

// The heatmap that the references call heatmaps[image, joint, y, x]: (y, x) must lie inside the working size.
__device__ inline float average_at(const Maps& maps, int image, int joint, int y, int x) {
    float views = 0.0f;
    for (int view = 0; view < VIEWS; ++view) {
        const size_t plane = plane_of(maps, view, image, joint);
        views += at_working(maps, y, column_in(maps, view, x),
                            [&](int row, int column) { return average_at_half(maps, plane, row, column); });
    }
    return FLIP ? views * 0.5f : views;
}

// tags[image, joint, y, x, plane]: plane 1 is the mirror image's.
__device__ inline float tag_at(const Maps& maps, int image, int joint, int plane, int y, int x) {
    const size_t source = plane_of(maps, plane, image, joint);
    return at_working(maps, y, column_in(maps, plane, x),
                      [&](int row, int column) { return tag_at_half(maps, source, row, column); });
}

#endif

#endif
