# heatstream on a CPU:  docker build -f docker/cpu.Dockerfile -t heatstream .
#                       docker run --rm -v "$PWD:/data" heatstream run clip.mp4 --jsonl out.jsonl
# A camera: --device /dev/video0. Its PyAV contains FFmpeg with x264, which is GPL: see docs/outputs.md before you ship it.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim-bookworm
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
# OpenCV's usual build needs the X libraries; its headless build does all but windows, from the same folder.
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt /wheels/*.whl \
    && pip uninstall --yes opencv-python \
    && pip install --no-cache-dir --no-deps --constraint /wheels/constraints.txt opencv-python-headless \
    && rm -r /wheels \
    && useradd --create-home --uid 1000 --groups video heatstream
USER 1000
WORKDIR /data
ENTRYPOINT ["heatstream"]
CMD ["--help"]
