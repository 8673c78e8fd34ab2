# AnyMAL's service, with the built-in model inside.
#   docker build -t anymal .                                   CUDA wheels, which also run on a CPU
#   docker build -t anymal --build-arg TORCH_INDEX=URL .       the wheels of another index
#   docker run --rm -p 127.0.0.1:8000:8000 anymal
#   docker run --rm -p 127.0.0.1:8000:8000 --gpus all -v "$PWD/runs/mine/bundle:/bundle:ro" anymal --bundle /bundle
# Each start prints a new API key, unless keys are set (docs/serving.md) or -e ANYMAL_OPEN=1 lets everybody ask.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
# PyTorch's default Linux wheels carry CUDA; its smaller CPU wheels live on an index of their own,
# whose address PyTorch's installation page gives.
ARG TORCH_INDEX=
ARG TORCH_VERSION=2.13.0
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/anymal
WORKDIR /src
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/anymal/bin/pip install "torch==${TORCH_VERSION}" ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"}
COPY . ./
# What the service needs, at the locked versions; the tools of development stay out.
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/anymal/bin/pip install --constraint requirements.lock .

FROM python:${PYTHON}-slim
RUN useradd --create-home --uid 10001 anymal
COPY --from=build /opt/anymal /opt/anymal
USER anymal
WORKDIR /home/anymal
ENV PATH=/opt/anymal/bin:$PATH PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 ANYMAL_GENERATE_KEY=1
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["anymal", "serve", "--host", "0.0.0.0", "--port", "8000"]
