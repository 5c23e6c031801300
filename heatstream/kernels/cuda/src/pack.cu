// Pack: everybody of an image, best first, in one contiguous struct for one copy. The Python reference is pack.py.
//
// Each image's struct is made of 4-byte words, little-endian:
//
//     int32 people             people found; the first min(people, capacity) records hold them
//     int32 peaks_overflow     local maxima beyond CAPACITY that were left out
//     int32 people_overflow    people beyond `capacity`, the ones with the lowest scores, that were left out
//     int32 state              see maps.cuh; 0 is good
//     capacity records, in falling order of score, equal scores in the order of starting; all zero beyond the people:
//         float score          mean over all joints as detected, before refinement
//         int32 started        the person's number in the order in which grouping started them
//         float keypoints[K][3]  x, y in source px and score; (0, 0, 0) where a keypoint is missing
//
// A joint that the person lacks is filled in from the key that refine left, if the heatmap is positive there: adjusted
// even with ADJUST none, as the official parser does (reference: _fill_in of decode.py). Positions go from map px to source
// px by the image's affine transform, in doubles and then rounded, as Geometry.to_source does.
//
// Input    maps (maps.cuh); people (B), members (B, P, K), person_scores (B, P) of group, P = K * CAPACITY; scores
//          (B, K, C) and positions (B, K, C, 2) of select_peaks; best (B, P, K) Key of refine, 0 without it;
//          peaks_overflow (B) and state (B) int; to_source (B, 2, 3) double, map px to source px
// Output   packed (B, 4 + capacity * (2 + 3 K)) 4-byte words
// Launch   grid (max(P, capacity), B), block 128: one block per person, or per empty record
//
// A person's place is the number of people who come before. All count for themselves, so nobody waits for a sort.
#include "people.cuh"
#include "subpixel.cuh"

constexpr int THREADS = 128;
constexpr int NUM_WARPS = THREADS / WARP;
constexpr int HEADER_WORDS = 4;
constexpr int RECORD_WORDS = 2 + 3 * NUM_JOINTS;

struct Keypoint {
    float x, y, score;
};

// How many people come before this one. Every warp counts for itself.
__device__ inline int rank_of(int person, int people, const float* scores) {
    const float own = scores[person];
    int before = 0;
    for (int first = 0; first < people; first += WARP) {
        const int other = first + threadIdx.x % WARP;
        const bool comes_before = other < people && (scores[other] > own || (scores[other] == own && other < person));
        before += __popc(__ballot_sync(ALL_LANES, comes_before));
    }
    return before;
}

// Reference: _fill_in. The keypoint that refine found, in map px; all lanes of a warp call.
__device__ inline Keypoint refined(const Maps& maps, int image, int joint, Key key) {
    const int y = key_index(key) / maps.width, x = key_index(key) % maps.width;
    const float value = average_at(maps, image, joint, y, x);
    if (!(value > 0.0f)) return {};
    const float2 position = position_of(maps, image, joint, y, x, ADJUST == ADJUST_NONE ? ADJUST_QUARTER : ADJUST);
    return {position.x, position.y, value};
}

// Reference: Geometry.to_source.
__device__ inline Keypoint to_source(const Keypoint& point, const double* transform) {
    if (point.score == 0.0f) return {};
    const auto along = [&](const double* row) {
        return static_cast<float>(point.x * row[0] + point.y * row[1] + row[2]);
    };
    return {along(transform), along(transform + 3), point.score};
}

__device__ inline void write_header(int* packed, int people, int capacity, int peaks_overflow, int state) {
    packed[0] = people;
    packed[1] = peaks_overflow;
    packed[2] = max(people - capacity, 0);
    packed[3] = state;
}

// The 1 lets the assembler take registers where it would spill them to run more blocks at once.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    pack(const __grid_constant__ Maps maps, const int* people, const unsigned char* members, const float* person_scores,
         const float* scores, const float* positions, const Key* best, const int* peaks_overflow, const int* state,
         const double* to_source_px, int capacity, int* packed) {
    const int person = blockIdx.x, image = blockIdx.y;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int count = people[image];
    packed += static_cast<size_t>(image) * (HEADER_WORDS + capacity * RECORD_WORDS);
    int* records = packed + HEADER_WORDS;
    if (person == 0 && threadIdx.x == 0) write_header(packed, count, capacity, peaks_overflow[image], state[image]);

    if (person >= count) {
        if (person < capacity)
            for (int i = threadIdx.x; i < RECORD_WORDS; i += THREADS) records[person * RECORD_WORDS + i] = 0;
        return;
    }
    const size_t first = static_cast<size_t>(image) * MOST_PEOPLE;
    const int rank = rank_of(person, count, person_scores + first);
    if (rank >= capacity) return;

    int* record = records + rank * RECORD_WORDS;
    if (threadIdx.x == 0) {
        record[0] = __float_as_int(person_scores[first + person]);
        record[1] = person;
    }
    for (int joint = warp; joint < NUM_JOINTS; joint += NUM_WARPS) {
        const size_t slot = (first + person) * NUM_JOINTS + joint;
        Keypoint point = {};
        if (members[slot] != NOBODY) {
            const size_t place = first + joint * CAPACITY + members[slot];
            point = {positions[2 * place], positions[2 * place + 1], scores[place]};
        } else if (best[slot] != 0) {
            point = refined(maps, image, joint, best[slot]);
        }
        if (lane == 0) {
            point = to_source(point, to_source_px + image * 6);
            int* target = record + 2 + 3 * joint;
            target[0] = __float_as_int(point.x);
            target[1] = __float_as_int(point.y);
            target[2] = __float_as_int(point.score);
        }
    }
}
