# Triton behind the gateway, as `rats serve` starts them: build from the root of the repository.
#
#   docker build -f infra/docker/serve.Dockerfile --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:... -t rats-serve .
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
RUN /opt/rats/bin/python -m pip install --no-cache-dir --constraint constraints.txt ".[local,gpu]"
# The bill of materials: every package with its version and licence, at /opt/rats/sbom.json.
RUN python -m venv /opt/sbom \
 && /opt/sbom/bin/python -m pip install --no-cache-dir cyclonedx-bom==7.1.0 \
 && /opt/sbom/bin/cyclonedx-py environment --output-format JSON --output-file /opt/rats/sbom.json /opt/rats/bin/python

FROM ${PYTHON_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/rats /opt/rats
ENV PATH=/opt/rats/bin:$PATH PYTHONUNBUFFERED=1 RATS_KEYS=/keys HOME=/tmp
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["tini", "--"]
CMD ["rats", "serve", "--repo", "/models", "--host", "0.0.0.0"]
