// Sub-pixel: from a peak's pixel to a position between pixels, one warp per peak. The Python reference is subpixel.py.
//
//   quarter   a quarter pixel towards the larger neighbour on each axis        SWAHR's parser, after HigherHRNet
//   h3r       the mean of the 25 strongest of the 7 x 7 px around the peak, weighted by value   H3R, Yu & Tao 2021;
//             at the border of a window that is cut on both sides alike, and of as many pixels fewer
//   none      the pixel's index
//
// Positions are (x, y) in map px, pixel centres at +0.5 (but indices with "none", as the official parser gives them).
#ifndef HEATSTREAM_SUBPIXEL_CUH
#define HEATSTREAM_SUBPIXEL_CUH

#include "maps.cuh"

// The values of the -D ADJUST.
constexpr int ADJUST_NONE = 0;
constexpr int ADJUST_QUARTER = 1;
constexpr int ADJUST_H3R = 2;
static_assert(ADJUST >= ADJUST_NONE && ADJUST <= ADJUST_H3R, "a rule without a function in position_of");

constexpr int H3R_RADIUS = 3;
constexpr int H3R_TOP_K = 25;

// Reference: _quarter_offset. Four lanes read the four neighbours; beyond the border the peak is its own neighbour, and
// equal neighbours count as the smaller index.
__device__ inline float2 quarter_offset(const Maps& maps, int image, int joint, int y, int x) {
    const int lane = threadIdx.x % WARP;
    float neighbour = 0.0f;
    if (lane < 4) {
        const int step = lane % 2 ? -1 : 1;  // lanes: right, left, below, above
        const int column = lane < 2 ? min(max(x + step, 0), maps.width - 1) : x;
        const int row = lane < 2 ? y : min(max(y + step, 0), maps.height - 1);
        neighbour = average_at(maps, image, joint, row, column);
    }
    const float right = __shfl_sync(ALL_LANES, neighbour, 0), left = __shfl_sync(ALL_LANES, neighbour, 1);
    const float below = __shfl_sync(ALL_LANES, neighbour, 2), above = __shfl_sync(ALL_LANES, neighbour, 3);
    return make_float2(right > left ? 0.25f : -0.25f, below > above ? 0.25f : -0.25f);
}

// Reference: _expectation. Every lane holds two of the 49 values. A value takes part if fewer than k are larger; that keeps
// all values equal to the k-th, whatever their order. k is 25, and less at the border.
__device__ inline float2 expectation(const Maps& maps, int image, int joint, int y, int x) {
    constexpr int SIDE = 2 * H3R_RADIUS + 1;
    constexpr int PER_LANE = (SIDE * SIDE + WARP - 1) / WARP;
    const int lane = threadIdx.x % WARP;
    const int reach_x = min(min(x, maps.width - 1 - x), H3R_RADIUS), reach_y = min(min(y, maps.height - 1 - y), H3R_RADIUS);
    const int window = (2 * reach_x + 1) * (2 * reach_y + 1);
    const int counted = (2 * H3R_TOP_K * window + SIDE * SIDE) / (2 * SIDE * SIDE);  // rounded
    float values[PER_LANE];
    int larger[PER_LANE];
#pragma unroll
    for (int i = 0; i < PER_LANE; ++i) {
        const int place = i * WARP + lane;
        const int down = place / SIDE - H3R_RADIUS, along = place % SIDE - H3R_RADIUS;
        const bool inside = place < SIDE * SIDE && abs(down) <= reach_y && abs(along) <= reach_x;
        values[i] = inside ? fmaxf(average_at(maps, image, joint, y + down, x + along), 0.0f) : 0.0f;
        larger[i] = 0;
    }
#pragma unroll
    for (int other = 0; other < SIDE * SIDE; ++other) {
        const float value = __shfl_sync(ALL_LANES, values[other / WARP], other % WARP);
#pragma unroll
        for (int i = 0; i < PER_LANE; ++i) larger[i] += value > values[i];
    }
    float total = 0.0f, along = 0.0f, down = 0.0f;
#pragma unroll
    for (int i = 0; i < PER_LANE; ++i) {
        const int place = i * WARP + lane;
        const float weight = larger[i] < counted ? values[i] : 0.0f;
        total += weight;
        along += weight * (place % SIDE - H3R_RADIUS);
        down += weight * (place / SIDE - H3R_RADIUS);
    }
    total = warp_sum(total);
    return make_float2(warp_sum(along) / total, warp_sum(down) / total);
}

// Reference: refine_positions. All lanes of the warp call with the same peak, and all get its position.
__device__ inline float2 position_of(const Maps& maps, int image, int joint, int y, int x, int adjust) {
    if (adjust == ADJUST_NONE) return make_float2(x, y);
    const float2 offset = adjust == ADJUST_QUARTER ? quarter_offset(maps, image, joint, y, x)
                                                   : expectation(maps, image, joint, y, x);
    return make_float2(x + 0.5f + offset.x, y + 0.5f + offset.y);
}

#endif
