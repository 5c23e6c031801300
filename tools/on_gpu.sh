#!/usr/bin/env bash
# Everything that needs a GPU, in one go, every figure and log into one folder:
#
#     tools/on_gpu.sh FOLDER [tests] [engines] [bench] [drift] [kernels] [sanitizers] [training]
#
# All but training when none is named, what tells most first. MODELS names the models of engines and bench (swahr-mobile
# alone when left out), VIDEO a video for drift. Training takes the '.[train]' packages and the photographs that
# recipes/swahr-mobile.toml names; TRAIN_STEPS shortens it to the time there is. A failure does not keep the rest from
# running; the exit code and FOLDER/summary.txt tell. Needs the packages of '.[gpu]' or '.[rtx]' and of the tests (pytest,
# hypothesis), PyTorch with CUDA for the torch engine, and compute-sanitizer from the CUDA toolkit. PYTHON chooses the
# interpreter.
set -uo pipefail
cd "$(dirname "$0")/.."
if [[ $# -lt 1 || $1 == -* ]]; then
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
fi
out=$1
shift
stages=${*:-tests engines bench drift kernels sanitizers}
models=${MODELS:-swahr-mobile}
python=${PYTHON:-python3}
mkdir -p "$out"
: >"$out/summary.txt"
export PYTHONUNBUFFERED=1
failed=0

run() { # name, command...: one log per command, one line in the summary
    local name=$1 start=$SECONDS code
    shift
    "$@" >"$out/$name.log" 2>&1
    code=$?
    ((code == 0)) || failed=1
    printf '%-14s exit code %d, %d s\n' "$name" "$code" "$((SECONDS - start))" | tee -a "$out/summary.txt"
}

run machine bash -c 'nvidia-smi; nvidia-smi -q -d CLOCK,POWER; git rev-parse HEAD; "$0" -m pip list' "$python"
# The sources are compiled once, before anything is timed or watched. A machine without the packages stops here.
run packages "$python" -c 'import cupy, hypothesis, platformdirs, pytest, scipy; print(cupy.show_config())'
((failed == 0)) || { cat "$out/packages.log"; exit 1; }

for stage in $stages; do
    case $stage in
    tests)
        run doctor "$python" -m heatstream doctor
        run tests "$python" -m pytest tests/kernels tests/runtime -m gpu -W default -p no:cacheprovider --durations=10
        # Skipped tests are no passed tests.
        grep -q ' skipped' "$out/tests.log" && { echo 'tests were skipped: see tests.log' | tee -a "$out/summary.txt"; failed=1; }
        ;;
    engines)
        for backend in tensorrt tensorrt-rtx; do
            "$python" -c "import ${backend//-/_}" 2>/dev/null || continue
            for model in $models; do
                run "build-$backend-$(basename "$model")" "$python" -m heatstream build "$model" --backend "$backend" --size 512x512 --report
            done
        done
        ;;
    bench)
        for engine in tensorrt tensorrt-rtx torch; do
            [[ $engine == torch ]] || "$python" -c "import ${engine//-/_}" 2>/dev/null || continue
            # shellcheck disable=SC2086 # several models
            run "bench-$engine" "$python" -m heatstream bench $models --device cuda --engine "$engine" \
                --json "$out/bench-$engine.json" --plot "$out/bench-$engine.png"
        done
        ;;
    drift)
        [[ -n ${VIDEO:-} ]] || { echo 'drift needs VIDEO' | tee -a "$out/summary.txt"; continue; }
        for engine in auto torch; do
            run "drift-$engine" "$python" -m benchmarks.video_drift "$VIDEO" --engine "$engine" --json "$out/drift-$engine.json"
        done
        ;;
    sanitizers)
        sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
        for tool in memcheck racecheck initcheck synccheck; do
            # Every array is an allocation of its own; thousands of runs would take hours.
            HEATSTREAM_TEST_ALLOCATIONS=1 run "$tool" "$sanitizer" --tool "$tool" --error-exitcode 9 \
                "$python" -m pytest tests/gpu/test_kernels.py -m gpu -W default -p no:cacheprovider -q \
                -k 'network_maps or letterbox or landmarks or replayed or (reference_scenes and crowdpose)'
        done
        ;;
    kernels)
        run kernels "$python" -m benchmarks.decode_gpu --out "$out"
        run reference "$python" -m benchmarks.decode
        ;;
    training)
        run training "$python" -m heatstream train recipes/swahr-mobile.toml --out "$out/swahr-mobile" \
            ${TRAIN_STEPS:+--set train.steps="$TRAIN_STEPS"}
        ;;
    *)
        echo "there is no stage $stage: tests, engines, bench, drift, kernels, sanitizers, training" | tee -a "$out/summary.txt"
        failed=1
        ;;
    esac
done
exit "$failed"
