// Assign: exact minimum-cost assignment in one warp, up to 32 rows x 32 columns. The Python reference is SciPy's
// linear_sum_assignment, which grouping calls.
//
// Shortest augmenting paths with dual variables (Jonker & Volgenant 1987, in the form of Crouse 2016, "On implementing
// 2D rectangular assignment algorithms"). Rows are added one by one. Adding a row is Dijkstra's search over the columns
// with the reduced costs
//
//     length(row, column) = cost(row, column) - u(row) - v(column) >= 0
//
// from the new row to the nearest free column; then the pairs along that path change partners, and the duals of all
// that the search settled move so that every pair stays at reduced cost 0. The sum is minimal after every row.
//
// One lane is column `lane` and row `lane` at once: its shortest path so far, its parent and both duals live in
// registers, and the lanes together are the inner loop. A step of the search is one cost from shared memory, three
// additions and one minimum over the warp. An assignment takes no step at all where all rows want different columns,
// and n^2 / 2 at worst.
//
// Which of several optimal assignments comes out, and what the rounding inside the duals does to almost equal ones,
// depends on the order of the operations. It is SciPy's order, to the last addition and to its rule for ties, and so is
// the result.
#ifndef HEATSTREAM_ASSIGN_CUH
#define HEATSTREAM_ASSIGN_CUH

#include "common.cuh"

constexpr int NONE = -1;

// Doubles from one row of a cost matrix to the next. The odd number lets a warp read rows and columns without
// conflicts.
constexpr int COST_STRIDE = WARP + 1;
constexpr int COST_SIZE = WARP * COST_STRIDE;

struct Matching {
    int row_of_column;  // of column `lane`; NONE if it is free
    int column_of_row;  // of row `lane`
};

// Which lanes are below this one.
__device__ inline unsigned lower_lanes() { return (1u << threadIdx.x % WARP) - 1u; }

// The smallest value of the lanes below `lanes`; what the others get is of no use.
__device__ inline double smallest(double value, int lanes) {
    for (int step = 1; step < lanes; step *= 2) value = fmin(value, __shfl_xor_sync(ALL_LANES, value, step));
    return value;
}

// Give every row its cheapest column, up to the first row whose cheapest column an earlier row has or that has two of
// them; it and all later rows are left to the search. For the rows before, each search would end at its first step and
// leave the duals of the columns at 0: so all rows may look at once, and where people are far apart nothing is left to
// search.
//
// `partner` is 32 ints of scratch in shared memory. Returns how many rows are done.
__device__ inline int take_first_choices(const double* cost, int rows, int columns, int* partner, Matching& match,
                                         double& row_dual) {
    const int lane = threadIdx.x % WARP;
    double lowest = infinity();
    int choice = NONE;
    bool tied = true;
    if (lane < rows) {
        for (int column = 0; column < columns; ++column) {
            const double value = cost[lane * COST_STRIDE + column];
            tied = value < lowest ? false : tied || value == lowest;
            choice = value < lowest ? column : choice;
            lowest = fmin(lowest, value);
        }
    }
    const unsigned rivals = __match_any_sync(ALL_LANES, choice) & lower_lanes();
    const unsigned stuck = __ballot_sync(ALL_LANES, tied || rivals);  // a lane without a row is tied with nothing
    const int done = stuck ? __ffs(stuck) - 1 : WARP;

    partner[lane] = NONE;
    __syncwarp();
    if (lane < done) {
        partner[choice] = lane;
        match.column_of_row = choice;
        row_dual = lowest;
    }
    __syncwarp();
    match.row_of_column = partner[lane];
    return done;
}

// Which of the open columns at the shortest distance the search settles next. SciPy keeps the open columns in a list
// and walks it from `place` 0; it takes the last free column among equals, or the first if none is free.
__device__ inline int next_column(unsigned equals, bool is_free, int place) {
    if ((equals & (equals - 1u)) == 0u) return __ffs(equals) - 1;
    const int lane = threadIdx.x % WARP;
    const int rank = equals >> lane & 1u ? (is_free ? WARP - 1 - place : WARP + place) : 2 * WARP;
    int first = rank;
    for (int step = 1; step < WARP; step *= 2) first = min(first, __shfl_xor_sync(ALL_LANES, first, step));
    return __ffs(__ballot_sync(ALL_LANES, rank == first)) - 1;
}

// Assign every row its own column such that the sum of the costs is smallest. All 32 lanes call.
//
// `cost` is (rows, columns) doubles in shared memory, COST_STRIDE apart, visible to all lanes; rows <= columns <= 32: a
// tall matrix is given transposed, as SciPy does. `partner` is 32 ints of scratch in shared memory. A row that can have
// no column of finite cost ends the assignment and stays without one, as do all later rows (SciPy raises).
__device__ inline Matching assign(const double* cost, int rows, int columns, int* partner) {
    const int lane = threadIdx.x % WARP;
    Matching match = {NONE, NONE};
    double u = 0.0, v = 0.0;  // duals of row `lane` and of column `lane`

    for (int row = take_first_choices(cost, rows, columns, partner, match, u); row < rows; ++row) {
        // The search. All variables that are not of this lane's column are equal in all lanes that have one.
        double shortest = infinity();  // length of the shortest path known to column `lane`,
        int parent = NONE;             // and the row before it on that path
        bool open = lane < columns;    // not settled yet
        int place = columns - 1 - lane, num_open = columns;
        unsigned settled_rows = 0;
        double reached = 0.0;
        int current = row, sink = NONE;
        while (sink == NONE) {
            settled_rows |= 1u << current;
            const double dual = __shfl_sync(ALL_LANES, u, current);
            if (open) {
                const double length = reached + cost[current * COST_STRIDE + lane] - dual - v;
                if (length < shortest) {
                    shortest = length;
                    parent = current;
                }
            }
            reached = smallest(open ? shortest : infinity(), columns);
            const unsigned equals = __ballot_sync(ALL_LANES, open && shortest == reached && shortest < infinity());
            if (equals == 0u) return match;  // no way out
            const int column = next_column(equals, match.row_of_column == NONE, place);
            const int owner = __shfl_sync(ALL_LANES, match.row_of_column, column);
            const int hole = __shfl_sync(ALL_LANES, place, column);
            --num_open;
            if (place == num_open) place = hole;  // the last of SciPy's list fills the hole
            if (lane == column) open = false;
            if (owner == NONE) sink = column;
            current = owner;
        }

        // The duals: all that was settled moves by how much nearer it was than the sink.
        reached = __shfl_sync(ALL_LANES, reached, sink);
        const double own = __shfl_sync(ALL_LANES, shortest, max(match.column_of_row, 0));
        if (lane == row) u += reached;
        else if (settled_rows >> lane & 1u) u += reached - own;
        if (lane < columns && !open) v -= reached - shortest;

        // The path back: every row on it takes the column it leads to.
        int column = sink, taker = NONE;
        while (taker != row) {
            taker = __shfl_sync(ALL_LANES, parent, column);
            const int left = __shfl_sync(ALL_LANES, match.column_of_row, taker);
            if (lane == column) match.row_of_column = taker;
            if (lane == taker) match.column_of_row = column;
            column = left;
        }
    }
    return match;
}

#endif
