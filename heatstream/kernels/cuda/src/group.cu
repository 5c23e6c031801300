// Group: which detections belong to one person. One warp per image; the Python reference is group.py.
//
// Detections are matched joint by joint, in the skeleton's order, with the people found so far, by their tags
// (associative embedding, Newell et al. 2017, section 3.2; the official parser of HigherHRNet and SWAHR). With a
// detection's tag t and score s and a person's mean tag m, a pair costs
//
//     100 * round(|t - m|) - s   +   2^-20 * min(|t - m|, threshold)   +   2^-44 * rank of the two indices
//
// where the second and third term decide what the official parser leaves open (group.py tells why), or |t - m| alone
// without use_detection_score. The assignment of least cost is exact (assign.cuh). A pair nearer than the threshold
// joins; every other detection starts a person. Costs are doubles and made of the same operations as the reference's, sums
// of tags, relative to a person's first, are floats in the reference's order: the people are the same, bit for bit.
//
// CAPACITY people take part in the matching. They live in the warp: lane p holds the mean of person p's tags, and a row
// of `held` its detections. People started later can only be started: they hold one detection for ever, and a mask per
// joint (`fresh`) of who started somebody is all that is kept of them. A crowd with missing joints makes hundreds of
// these. There is room for one per detection, so none is lost. At the end all people are written in the order in which
// they started.
//
// Input    counts (B, K) int, scores (B, K, C) and tags (B, K, C, T) float, of select_peaks; scores are positive
//          order (K) int, the joints in the order of the matching
// Output   people (B) int; members (B, K*C, K) unsigned char, index of the person's detection, 255 where it has none;
//          mean_tags (B, K*C, T) and person_scores (B, K*C) float; rows beyond `people` are not written
//          best (B, K*C, K) Key, set to 0 in the rows of the people found: what refine raises and pack reads
// Launch   grid (B), block 32. NUM_JOINTS = K <= 255, CAPACITY = C <= 32, TAG_PLANES = T.
//
// The way is latency, not memory: an image's input is a few KB, read one joint ahead of its use.
#include "assign.cuh"
#include "people.cuh"

constexpr double DISTANCE_WEIGHT = 100.0;
constexpr double TIE_DISTANCE_WEIGHT = 1.0 / (1 << 20);
constexpr double TIE_INDEX_WEIGHT = 1.0 / (1LL << 44);
constexpr double FARTHEST = 1 << 20;  // of two tags: the reference tells why

struct Settings {
    double tag_threshold;
    bool use_detection_score;
    float person_threshold;
};

// The detections of one joint: lane i holds the i-th strongest; zeros beyond `count`.
struct Detections {
    int joint, count;
    float score;
    float tag[TAG_PLANES];
};

__device__ inline Detections read_detections(const int* counts, const float* scores, const float* tags,
                                             const int* order, int step) {
    const int lane = threadIdx.x, joint = order[step];
    Detections found = {joint, min(counts[joint], CAPACITY), 0.0f, {}};
    if (lane < CAPACITY) {
        const int place = joint * CAPACITY + lane;
        found.score = scores[place];
        for (int t = 0; t < TAG_PLANES; ++t) found.tag[t] = tags[place * TAG_PLANES + t];
    }
    return found;
}

// ---- Matching ------------------------------------------------------------------------------------------------------

// |d| is the double sqrt(d * d), exactly.
__device__ inline double tag_distance(const float* a, const float* b) {
    if (TAG_PLANES == 1) return fabs(static_cast<double>(a[0]) - b[0]);
    double sum = 0.0;
    for (int t = 0; t < TAG_PLANES; ++t) {
        const double difference = static_cast<double>(a[t]) - b[t];
        sum += difference * difference;
    }
    return sqrt(sum);
}

// Reference: _official_cost, for detection `row` of `count` and person `column` of `people`.
__device__ inline double official_cost(double distance, float score, double tag_threshold, int row, int column,
                                       int count, int people) {
    const int index_rank = people * row + count * column - row * column;
    const double tie = TIE_DISTANCE_WEIGHT * fmin(distance, tag_threshold) + TIE_INDEX_WEIGHT * index_rank;
    return DISTANCE_WEIGHT * rint(distance) - score + tie;
}

// Which of the first `people` people detection `lane` joins, or NONE. Lane p brings person p's mean tag.
__device__ inline int match_people(const Detections& found, const float* mean, int people, const Settings& settings,
                                   double* cost, int* scratch) {
    const int lane = threadIdx.x;
    // The rows of the assignment are the fewer of the two; each lane is a column.
    const bool rows_are_detections = found.count <= people;
    const int rows = rows_are_detections ? found.count : people;
    const int columns = rows_are_detections ? people : found.count;
    for (int row = 0; row < rows; ++row) {
        float of_row[TAG_PLANES], of_column[TAG_PLANES];
        for (int t = 0; t < TAG_PLANES; ++t) {
            of_row[t] = __shfl_sync(ALL_LANES, rows_are_detections ? found.tag[t] : mean[t], row);
            of_column[t] = rows_are_detections ? mean[t] : found.tag[t];
        }
        const float score_of_row = __shfl_sync(ALL_LANES, found.score, row);
        double value = fmin(tag_distance(of_row, of_column), FARTHEST);
        if (settings.use_detection_score) {
            const float score = rows_are_detections ? score_of_row : found.score;
            const int detection = rows_are_detections ? row : lane, person = rows_are_detections ? lane : row;
            value = official_cost(value, score, settings.tag_threshold, detection, person, found.count, people);
        }
        cost[row * COST_STRIDE + lane] = value;
    }
    __syncwarp();
    const Matching match = assign(cost, rows, columns, scratch);
    __syncwarp();  // the next joint writes over the costs

    const int person = rows_are_detections ? match.column_of_row : match.row_of_column;
    float wanted[TAG_PLANES];
    for (int t = 0; t < TAG_PLANES; ++t) wanted[t] = __shfl_sync(ALL_LANES, mean[t], max(person, 0));
    return person != NONE && tag_distance(found.tag, wanted) < settings.tag_threshold ? person : NONE;
}

// ---- People --------------------------------------------------------------------------------------------------------

// What of one image outlives the joint it was found in; shared by the warp.
struct Image {
    double cost[COST_SIZE];
    int scratch[WARP];
    unsigned fresh[NUM_JOINTS];                // per step of the order: which detections started a person
    unsigned char held[CAPACITY * NUM_JOINTS];  // members of the first CAPACITY people
};

// Reference: the loop of group_by_tag. Returns how many people were started.
__device__ inline int group_joints(const int* counts, const float* scores, const float* tags, const int* order,
                                   const Settings& settings, Image& shared) {
    const int lane = threadIdx.x;
    float first_tag[TAG_PLANES] = {};   // of person `lane`,
    float offset_sum[TAG_PLANES] = {};  // of the tags' differences from it,
    float size = 0.0f;                  // and how many detections the person has
    int people = 0;
    Detections next = read_detections(counts, scores, tags, order, 0);
    for (int step = 0; step < NUM_JOINTS; ++step) {
        const Detections found = next;
        if (step + 1 < NUM_JOINTS) next = read_detections(counts, scores, tags, order, step + 1);

        const int matchable = min(people, CAPACITY);
        int target = NONE;  // the person of detection `lane`
        if (found.count > 0 && matchable > 0) {
            float mean[TAG_PLANES];
            for (int t = 0; t < TAG_PLANES; ++t) mean[t] = lane < matchable ? first_tag[t] + offset_sum[t] / size : 0.0f;
            target = match_people(found, mean, matchable, settings, shared.cost, shared.scratch);
        }
        const unsigned fresh = __ballot_sync(ALL_LANES, lane < found.count && target == NONE);
        if (fresh >> lane & 1u) target = people + __popc(fresh & lower_lanes());
        people += __popc(fresh);

        // Back from detections to people: which detection did person `lane` get?
        shared.scratch[lane] = NONE;
        __syncwarp();
        if (lane < found.count && target < CAPACITY) shared.scratch[target] = lane;
        if (lane == 0) shared.fresh[step] = fresh;
        __syncwarp();
        const int mine = shared.scratch[lane];
        if (lane < CAPACITY) shared.held[lane * NUM_JOINTS + found.joint] = mine == NONE ? NOBODY : mine;
        for (int t = 0; t < TAG_PLANES; ++t) {
            const float tag = __shfl_sync(ALL_LANES, found.tag[t], max(mine, 0));
            if (mine != NONE && size == 0.0f) first_tag[t] = tag;
            if (mine != NONE) offset_sum[t] += tag - first_tag[t];
        }
        if (mine != NONE) size += 1.0f;
    }
    __syncwarp();
    return people;
}

// NumPy's order of a sum over adjacent values: eight partial sums, joined in pairs; longer ones are halved. The value
// of a person must not depend on who adds.
template <int COUNT, class Value>
__device__ inline float pairwise_sum(Value value, int from = 0) {
    if constexpr (COUNT > 128) {
        constexpr int HALF = COUNT / 2 - COUNT / 2 % 8;
        return pairwise_sum<HALF>(value, from) + pairwise_sum<COUNT - HALF>(value, from + HALF);
    } else {
        float sum = 0.0f;
        if constexpr (COUNT >= 8) {
            float part[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) part[i] = value(from + i);
            for (int i = 8; i + 8 <= COUNT; i += 8) {
#pragma unroll
                for (int j = 0; j < 8; ++j) part[j] += value(from + i + j);
            }
            sum = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
        }
        for (int i = COUNT >= 8 ? COUNT / 8 * 8 : 0; i < COUNT; ++i) sum += value(from + i);
        return sum;
    }
}

// The output of one image.
struct People {
    unsigned char* members;
    float* mean_tags;
    float* scores;
};

// Reference: person_scores and mean_tags of _decode_image, which add over the joints in their own order: pairs for one tag
// plane, one joint after the other for several, as NumPy does.
__device__ inline void summarize(const unsigned char* held, const float* scores, const float* tags, float& score,
                                 float* mean_tag) {
    const auto score_of = [&](int joint) {
        return held[joint] == NOBODY ? 0.0f : scores[joint * CAPACITY + held[joint]];
    };
    const auto tag_of = [&](int joint, int t) {
        return held[joint] == NOBODY ? 0.0f : tags[(joint * CAPACITY + held[joint]) * TAG_PLANES + t];
    };
    score = pairwise_sum<NUM_JOINTS>(score_of) / NUM_JOINTS;
    float size = 0.0f;
    int first_joint = NUM_JOINTS - 1;
#pragma unroll 1
    for (int joint = NUM_JOINTS - 1; joint >= 0; --joint) {
        if (held[joint] == NOBODY) continue;
        size += 1.0f;
        first_joint = joint;
    }
    for (int t = 0; t < TAG_PLANES; ++t) {
        const float first = tag_of(first_joint, t);
        const auto offset_of = [&](int joint) { return held[joint] == NOBODY ? 0.0f : tag_of(joint, t) - first; };
        float sum = 0.0f;
        if (TAG_PLANES == 1) sum = pairwise_sum<NUM_JOINTS>(offset_of);
        else for (int joint = 0; joint < NUM_JOINTS; ++joint) sum += offset_of(joint);
        mean_tag[t] = first + sum / size;
    }
}

// The place in the output of this lane's person, or NONE; `written` people come before. Reference: the person_threshold of
// _decode_image.
__device__ inline int place_of(bool exists, float score, const float* mean_tag, float person_threshold,
                               const People& out, int& written) {
    const bool is_kept = exists && (person_threshold <= 0.0f || score >= person_threshold);
    const unsigned kept = __ballot_sync(ALL_LANES, is_kept);
    const int place = written + __popc(kept & lower_lanes());
    written += __popc(kept);
    if (!is_kept) return NONE;
    out.scores[place] = score;
    for (int t = 0; t < TAG_PLANES; ++t) out.mean_tags[place * TAG_PLANES + t] = mean_tag[t];
    return place;
}

// Write the first CAPACITY people; lane p has person p. Returns how many were written.
__device__ inline int write_matched(int people, const float* scores, const float* tags, float person_threshold,
                                    const Image& shared, const People& out) {
    const int lane = threadIdx.x;
    float score = 0.0f, mean_tag[TAG_PLANES] = {};
    const bool exists = lane < min(people, CAPACITY);
    if (exists) summarize(shared.held + lane * NUM_JOINTS, scores, tags, score, mean_tag);
    int written = 0;
    const int place = place_of(exists, score, mean_tag, person_threshold, out, written);
    for (int person = 0; person < CAPACITY; ++person) {
        const int row = __shfl_sync(ALL_LANES, place, person);
        if (row == NONE) continue;
        for (int joint = lane; joint < NUM_JOINTS; joint += WARP)
            out.members[row * NUM_JOINTS + joint] = shared.held[person * NUM_JOINTS + joint];
    }
    return written;
}

// Write the people beyond, each of one detection, after the `written` ones. Returns how many there are in all.
__device__ inline int write_single(int written, const float* scores, const float* tags, const int* order,
                                   float person_threshold, const Image& shared, const People& out) {
    const int lane = threadIdx.x;
    int people = 0;
    for (int step = 0; step < NUM_JOINTS; ++step) {
        const unsigned fresh = shared.fresh[step];
        const bool exists = fresh >> lane & 1u && people + __popc(fresh & lower_lanes()) >= CAPACITY;
        people += __popc(fresh);
        if (people <= CAPACITY || fresh == 0u) continue;

        const int joint = order[step];
        float score = 0.0f, tag[TAG_PLANES] = {};
        if (exists) {
            score = scores[joint * CAPACITY + lane] / NUM_JOINTS;
            for (int t = 0; t < TAG_PLANES; ++t) tag[t] = tags[(joint * CAPACITY + lane) * TAG_PLANES + t];
        }
        const int before = written;
        const int place = place_of(exists, score, tag, person_threshold, out, written);
        for (int i = before * NUM_JOINTS + lane; i < written * NUM_JOINTS; i += WARP) out.members[i] = NOBODY;
        __syncwarp();
        if (place != NONE) out.members[place * NUM_JOINTS + joint] = lane;
    }
    return written;
}

extern "C" __global__ void __launch_bounds__(WARP, 1)  // one block a multiprocessor will do: registers are not spilled
    group(const int* counts, const float* scores, const float* tags, const int* order, double tag_threshold,
          int use_detection_score, float person_threshold, int* people, unsigned char* members, float* mean_tags,
          float* person_scores, Key* best) {
    __shared__ Image shared;
    const int image = blockIdx.x;
    const size_t first = static_cast<size_t>(image) * MOST_PEOPLE;  // detection or person of this image
    counts += image * NUM_JOINTS;
    scores += first;
    tags += first * TAG_PLANES;

    const Settings settings = {tag_threshold, use_detection_score != 0, person_threshold};
    const int started = group_joints(counts, scores, tags, order, settings, shared);
    const People out = {members + first * NUM_JOINTS, mean_tags + first * TAG_PLANES, person_scores + first};
    int written = write_matched(started, scores, tags, person_threshold, shared, out);
    if (started > CAPACITY) written = write_single(written, scores, tags, order, person_threshold, shared, out);

    for (int i = threadIdx.x; i < written * NUM_JOINTS; i += WARP) best[first * NUM_JOINTS + i] = 0;
    if (threadIdx.x == 0) people[image] = written;
}
