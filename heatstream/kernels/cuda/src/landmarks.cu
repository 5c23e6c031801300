// Landmarks: from a map per landmark to its position. The Python reference is landmarks.py.
//
//   position = stride * sum(w_i * (x_i, y_i)) / sum(w_i),   w_i = exp(v_i - v_0)
//
// over the top_k largest values v_0 >= v_1 >= ... of the map, at the pixels (x_i, y_i): H3R's decoder (Yu & Tao 2021,
// section 3), in which a softmax over the strongest activations stands for the expectation over all. Pixels are
// indices, without half a pixel, as H3R trains them. Equal values are taken in row-major order. A map that is not
// finite gives NaN.
//
// maps: N sets of L maps (height, width), contiguous but for the N, which lie `image_stride` values apart: so a head of
//   two classes (N, 2, L, height, width) is read in place, from its class 1. __half with -D HALF_MAPS=1, else float.
// to_source: (N, 2, 3) float, input px to source px of the crop that each set belongs to; null: input px come out.
// positions: (N, L, 2) float, (x, y).
// peaks: (N, L) float, each map's largest value, by which the host knows how sure the network is without the maps; null:
//   not asked for.
//
// Launch: grid (ceil(L / 4), N), 128 threads: one warp per landmark. Each lane holds the best of its share of the
// pixels that is not yet taken; top_k times the warp takes the best of these, and the lane that held it looks through
// its share anew. The map is then in the L1 cache. top_k is 9 in H3R: a sort of the map would do far more.
#include "common.cuh"

constexpr int WARPS = 4;  // landmarks of a block

// The largest key below `bound` in this lane's share of the map; 0 where there is none.
__device__ inline Key best_below(Key bound, const Real* map, int size, int lane) {
    Key best = 0;
    for (int i = lane; i < size; i += WARP) {
        const Key key = make_key(to_float(map[i]), i);
        if (key < bound && key > best) best = key;
    }
    return best;
}

__device__ inline bool all_finite(const Real* map, int size, int lane) {
    bool finite = true;
    for (int i = lane; i < size; i += WARP) finite &= is_finite(to_float(map[i]));
    return __all_sync(ALL_LANES, finite);
}

extern "C" __global__ void __launch_bounds__(WARPS* WARP)
    decode_landmarks(const Real* maps, long long image_stride, int landmarks, int height, int width, int top_k,
                     float stride, const float* to_source, float* positions, float* peaks) {
    const int lane = threadIdx.x % WARP;
    const int landmark = blockIdx.x * WARPS + threadIdx.x / WARP;
    if (landmark >= landmarks) return;  // the whole warp
    const int size = height * width;
    const Real* map = maps + blockIdx.y * image_stride + static_cast<size_t>(landmark) * size;

    float total = 0.0f, x = not_a_number(), y = x, largest = x;
    if (all_finite(map, size, lane)) {
        x = y = 0.0f;
        Key own = best_below(~0ull, map, size, lane);
        for (int rank = 0; rank < top_k; ++rank) {
            const Key key = warp_max(own);
            if (key == own) own = best_below(key, map, size, lane);
            if (rank == 0) largest = key_value(key);
            const float weight = expf(key_value(key) - largest);
            total += weight;
            x += weight * (key_index(key) % width);
            y += weight * (key_index(key) / width);
        }
        x *= stride / total;
        y *= stride / total;
    }
    if (lane > 0) return;
    const size_t place = static_cast<size_t>(blockIdx.y) * landmarks + landmark;
    if (peaks != nullptr) peaks[place] = largest;
    float* target = positions + 2 * place;
    if (to_source == nullptr) {
        target[0] = x;
        target[1] = y;
    } else {
        const float* affine = to_source + 6 * blockIdx.y;
        target[0] = affine[0] * x + affine[1] * y + affine[2];
        target[1] = affine[3] * x + affine[4] * y + affine[5];
    }
}
