// Camera frames as kernels read them, and the network's input as they write it: for the letterbox and for crops.
//
// A frame is described in device memory, so that a captured graph finds the next frame behind the same address. It is
// BGR, (height, width, 3) uint8 with rows any number of bytes apart.
//
// -D HALF_OUTPUT=1: the network's input is __half, 0: float.
#ifndef HEATSTREAM_FRAME_CUH
#define HEATSTREAM_FRAME_CUH

#include "common.cuh"

struct Frame {
    const unsigned char* pixels;
    long long row_bytes;
    int height, width;
    float scale, shift_x, shift_y;  // the letterbox's, input px to source px
};

struct Colour {
    float blue, green, red;
};

__device__ inline Colour lerp(Colour a, Colour b, float weight) {
    return {lerp(a.blue, b.blue, weight), lerp(a.green, b.green, weight), lerp(a.red, b.red, weight)};
}

// One pixel of the frame; black beyond it.
__device__ inline Colour pixel_at(const Frame& frame, int y, int x) {
    if (y < 0 || y >= frame.height || x < 0 || x >= frame.width) return {0.0f, 0.0f, 0.0f};
    const unsigned char* bgr = frame.pixels + y * frame.row_bytes + 3 * x;
    return {static_cast<float>(bgr[0]), static_cast<float>(bgr[1]), static_cast<float>(bgr[2])};
}

// Bits 8 i .. 8 i + 7.
__device__ inline float byte_of(unsigned long long bytes, int i) { return static_cast<int>(bytes >> 8 * i & 255); }

// The frame at row y, between the columns x and x + 1.
__device__ inline Colour between_columns(const Frame& frame, int y, int x, float weight) {
    const bool inside = y >= 0 && y < frame.height && x >= 0 && x + 3 <= frame.width;
    if (!inside) return lerp(pixel_at(frame, y, x), pixel_at(frame, y, x + 1), weight);
    // Both pixels of the row, six bytes, in two or three aligned words instead of six reads. The last word may reach
    // three bytes beyond them, into the pixel after; hence x + 3 above.
    const size_t address = reinterpret_cast<size_t>(frame.pixels + y * frame.row_bytes + 3 * x);
    const unsigned* words = reinterpret_cast<const unsigned*>(address & ~static_cast<size_t>(3));
    const int skipped = address & 3;
    unsigned long long bytes = (static_cast<unsigned long long>(words[1]) << 32 | words[0]) >> 8 * skipped;
    if (skipped == 3) bytes |= static_cast<unsigned long long>(words[2] & 255) << 40;
    const Colour left = {byte_of(bytes, 0), byte_of(bytes, 1), byte_of(bytes, 2)};
    const Colour right = {byte_of(bytes, 3), byte_of(bytes, 4), byte_of(bytes, 5)};
    return lerp(left, right, weight);
}

// The frame between its pixels, bilinear; pixel indices, black beyond the frame.
__device__ inline Colour colour_at(const Frame& frame, float x, float y) {
    const int column = static_cast<int>(floorf(x)), row = static_cast<int>(floorf(y));
    const float along = x - column;
    return lerp(between_columns(frame, row, column, along), between_columns(frame, row + 1, column, along), y - row);
}

// ---- The network's input --------------------------------------------------------------------------------------------

#if HALF_OUTPUT
typedef __half Out;
struct __align__(4) Pair {
    Out first, second;
};
__device__ inline Out to_out(float value) { return __float2half(value); }
#else
typedef float Out;
struct __align__(8) Pair {
    Out first, second;
};
__device__ inline Out to_out(float value) { return value; }
#endif

struct Normalisation {
    float scale[3], shift[3];  // R, G, B: scale * level + shift
};

// Two neighbouring pixels of a row, normalised, to the planes R, G, B of one image; x is even, and x + 1 may lie beyond
// the row. The image begins at an address that a Pair can be written to.
__device__ inline void store_pair(const Colour (&levels)[2], const Normalisation& norm, Out* image, int x, int y,
                                  int height, int width) {
    const float planes[3][2] = {
        {levels[0].red, levels[1].red}, {levels[0].green, levels[1].green}, {levels[0].blue, levels[1].blue}};
    const size_t plane = static_cast<size_t>(height) * width;
    Out* target = image + static_cast<size_t>(y) * width + x;
#pragma unroll
    for (int c = 0; c < 3; ++c) {
        const Pair pair = {to_out(fmaf(planes[c][0], norm.scale[c], norm.shift[c])),
                           to_out(fmaf(planes[c][1], norm.scale[c], norm.shift[c]))};
        if (width % 2 == 0) {  // then every row begins at an even index
            *reinterpret_cast<Pair*>(target) = pair;
        } else {
            target[0] = pair.first;
            if (x + 1 < width) target[1] = pair.second;
        }
        target += plane;
    }
}

#endif
