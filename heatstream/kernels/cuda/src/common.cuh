// What all kernels share: the type of network outputs, keys that order values, sums and maxima over a warp.
//
// -D HALF_MAPS=1: network outputs are __half, 0: float. All arithmetic is float.
#ifndef HEATSTREAM_COMMON_CUH
#define HEATSTREAM_COMMON_CUH

#include <cuda_fp16.h>

#if HALF_MAPS
typedef __half Real;
__device__ inline float to_float(Real value) { return __half2float(value); }
#else
typedef float Real;
__device__ inline float to_float(Real value) { return value; }
#endif

// NVRTC has no INFINITY and NAN.
__device__ inline float infinity() { return __uint_as_float(0x7f800000u); }
__device__ inline float not_a_number() { return __uint_as_float(0x7fc00000u); }

// Infinity less itself is not a number, and neither is anything that was none before.
__device__ inline bool is_finite(float value) { return value - value == 0.0f; }

__device__ inline float lerp(float a, float b, float weight) { return fmaf(b - a, weight, a); }

// ---- Keys: order by value, then by place --------------------------------------------------------------------------

typedef unsigned long long Key;

// A larger key has the larger value, and among equal values the smaller index. Keys of one map are unique, so that an
// order by keys, a maximum or an atomicMax does not depend on the order of threads. No key of a finite value is 0.
__device__ inline Key make_key(float value, int index) {
    const unsigned bits = __float_as_uint(value + 0.0f);  // -0 equals 0 and becomes it
    const unsigned ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return static_cast<Key>(ordered) << 32 | static_cast<unsigned>(~index);
}

__device__ inline float key_value(Key key) {
    const unsigned ordered = static_cast<unsigned>(key >> 32);
    return __uint_as_float(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}

__device__ inline int key_index(Key key) { return static_cast<int>(~static_cast<unsigned>(key)); }

// ---- Warps: all 32 lanes call, all get the result -------------------------------------------------------------------

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

__device__ inline float warp_sum(float value) {
    for (int step = WARP / 2; step > 0; step /= 2) value += __shfl_xor_sync(ALL_LANES, value, step);
    return value;
}

__device__ inline Key warp_max(Key key) {
    for (int step = WARP / 2; step > 0; step /= 2) {
        const Key other = __shfl_xor_sync(ALL_LANES, key, step);
        key = other > key ? other : key;
    }
    return key;
}

#endif
