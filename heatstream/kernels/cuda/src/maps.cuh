// Maps: what the kernels read, and its value at any pixel. The Python reference is aggregate.py.
//
// The networks give heatmaps at 1/4 and at 1/2 of their input and tags at 1/4. The decode works on their average,
// resampled to the working size: 1/2 of the input, or the input's own size (PROJECT). No such map is ever written;
// every kernel asks for the pixels it needs, one by one (average_at, tag_at) or a square at a time (tiles.cuh).
//
//   average = (up2(quarter) + half) / 2, then brought to the working size     HigherHRNet, Cheng et al. 2020, sec. 3.4
//   flip:     the mean of that and of the mirror image's, mirrored back with left and right joints swapped
//   passes:   the mean over the sizes of a multi-scale test; the tags are those of the pass at scale 1
//
// Resampling is bilinear with pixel centres at +0.5 and clamped borders. It is evaluated as OpenCV evaluates it for
// float images on a CPU with FMA: along x and then along y, as fmaf(b - a, weight, a). So the averages are those of the
// reference to the last bit, and plateaus and ties fall out alike.
//
// Configuration, each one a -D of the compilation:
//   NUM_JOINTS  K, 1..255        HALF_MAPS   1: the maps are __half, 0: float; all arithmetic is float
//   PLAIN       1: the maps are averaged already, as decode_poses takes them; the three below are then 0, 0, 1
//   PROJECT     1: the working size is twice the half maps'    FLIP  1: image 2b is plain, 2b + 1 its mirror image
//   NUM_PASSES  sizes of a multi-scale test, 1 without one     TAG_PLANES  T, the tags per pixel: 1, or 2 with FLIP
#ifndef HEATSTREAM_MAPS_CUH
#define HEATSTREAM_MAPS_CUH

#include "common.cuh"

#ifndef NUM_PASSES
#define NUM_PASSES 1
#endif
#if PLAIN && (PROJECT || FLIP || NUM_PASSES != 1)
#error "PLAIN maps are averaged already: PROJECT, FLIP and NUM_PASSES do not apply"
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

// One run of the network: quarter (N, K, height, width), half (N, K, 2 height, 2 width); N = B, or 2B with FLIP.
struct Pass {
    const Real* quarter;
    const Real* half;
    int height, width;      // of the quarter maps, px
    float step_y, step_x;   // px of the half maps per working px; 1 where they have the working size
};

struct Maps {
    Pass passes[NUM_PASSES];
    const Real* tags;                   // (N, K, height, width) of passes[tag_pass]
    int tag_pass;
    int height, width;                  // the working size, px
    unsigned char partner[NUM_JOINTS];  // each joint's left/right partner, itself without one
};

// With one pass and no projection the half maps have the working size, and the second resampling falls away.
constexpr bool RESAMPLED = PROJECT || NUM_PASSES > 1;
constexpr int VIEWS = FLIP ? 2 : 1;

// Which plane of the network's output holds a joint as a view shows it: view 1 is the mirror image.
__device__ inline size_t plane_of(const Maps& maps, int view, int image, int joint) {
    const size_t row = static_cast<size_t>(image) * VIEWS + view;
    return row * NUM_JOINTS + (view ? maps.partner[joint] : joint);
}

__device__ inline int column_in(const Maps& maps, int view, int x) { return view ? maps.width - 1 - x : x; }

// The average of both resolutions at a pixel of the half maps.
__device__ inline float average_at_half(const Pass& pass, size_t plane, int y, int x) {
    const size_t size = static_cast<size_t>(pass.height) * pass.width;
    const float up = doubled_at(pass.quarter + plane * size, pass.height, pass.width, y, x);
    return (up + to_float(pass.half[plane * size * 4 + y * (2 * pass.width) + x])) * 0.5f;
}

__device__ inline float tag_at_half(const Maps& maps, size_t plane, int y, int x) {
    const Pass& pass = maps.passes[maps.tag_pass];
    const size_t size = static_cast<size_t>(pass.height) * pass.width;
    return doubled_at(maps.tags + plane * size, pass.height, pass.width, y, x);
}

// Something known at the pixels of a pass's half maps, at a working pixel.
template <class At>
__device__ inline float at_working(const Pass& pass, int y, int x, At at_half) {
    if (!RESAMPLED || (pass.step_y == 1.0f && pass.step_x == 1.0f)) return at_half(y, x);
    return between(taps_of(y, pass.step_y, 2 * pass.height), taps_of(x, pass.step_x, 2 * pass.width), at_half);
}

// One pass's heatmap: the mean over its views.
__device__ inline float pass_average_at(const Maps& maps, const Pass& pass, int image, int joint, int y, int x) {
    float views = 0.0f;
    for (int view = 0; view < VIEWS; ++view) {
        const size_t plane = plane_of(maps, view, image, joint);
        views += at_working(pass, y, column_in(maps, view, x),
                            [&](int row, int column) { return average_at_half(pass, plane, row, column); });
    }
    return FLIP ? views * 0.5f : views;
}

// The heatmap that the references call heatmaps[image, joint, y, x]: (y, x) must lie inside the working size.
__device__ inline float average_at(const Maps& maps, int image, int joint, int y, int x) {
    float total = 0.0f;
    for (int p = 0; p < NUM_PASSES; ++p) total += pass_average_at(maps, maps.passes[p], image, joint, y, x);
    return NUM_PASSES > 1 ? total / NUM_PASSES : total;
}

// tags[image, joint, y, x, plane]: plane 1 is the mirror image's.
__device__ inline float tag_at(const Maps& maps, int image, int joint, int plane, int y, int x) {
    const size_t source = plane_of(maps, plane, image, joint);
    return at_working(maps.passes[maps.tag_pass], y, column_in(maps, plane, x),
                      [&](int row, int column) { return tag_at_half(maps, source, row, column); });
}

#endif

#endif
