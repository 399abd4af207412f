# Every step of the pipelines, the workers of a training and the trigger: build from the root of the repository.
#
#   docker build -f infra/docker/train.Dockerfile --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:... -t rats-train .
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE} AS build
ARG PYTHON_IMAGE
RUN case "${PYTHON_IMAGE}" in *@sha256:*) ;; *) echo "PYTHON_IMAGE needs a digest: name@sha256:..." >&2; exit 1 ;; esac
WORKDIR /src
RUN python -m venv /opt/rats
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY rats_train rats_train
COPY components components
COPY serving serving
COPY pipelines pipelines
ARG EXTRAS=local,gpu,postgres
RUN /opt/rats/bin/python -m pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]"
# The bill of materials: every package with its version and licence, at /opt/rats/sbom.json.
RUN python -m venv /opt/sbom \
 && /opt/sbom/bin/python -m pip install --no-cache-dir cyclonedx-bom==7.1.0 \
 && /opt/sbom/bin/cyclonedx-py environment --output-format JSON --output-file /opt/rats/sbom.json /opt/rats/bin/python

FROM ${PYTHON_IMAGE}
# A C compiler, because Triton compiles kernels when they are first used.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev tini && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/rats /opt/rats
ENV PATH=/opt/rats/bin:$PATH PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false \
    RATS_WORKSPACE=/workspace RATS_CACHE=/workspace/rewards RATS_KEYS=/keys HOME=/tmp
USER 10001:10001
WORKDIR /workspace
# Signals reach the steps, which save before they go.
ENTRYPOINT ["tini", "--"]
CMD ["rats", "--help"]
