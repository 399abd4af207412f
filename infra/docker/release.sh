#!/usr/bin/env bash
# Build the images over one pinned base, push them, and write their digests where the project names them.
#
#   infra/docker/release.sh ghcr.io/rats 0.1.0
#
# Needs docker with buildx, and a login at the registry. What it changed is to be committed: the release is that commit.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ $# -ne 2 ]; then
  echo "usage: infra/docker/release.sh REGISTRY VERSION, such as ghcr.io/rats 0.1.0" >&2
  exit 2
fi
registry=$1 version=$2

# The digest of an image in its registry.
digest() {
  docker buildx imagetools inspect "$1" --format '{{json .Manifest}}' | grep -o 'sha256:[0-9a-f]\{64\}' | head -n 1
}

# Write where image $1 lies and its digest, in place of what is named: pin NAME REPOSITORY DIGEST.
pin() {
  sed -i -E "s#\"[^\"]*/$1@sha256:[0-9a-f]{64}\"#\"$2@$3\"#" components/image.py
  sed -i -E "/^  - name: $1\$/,/digest:/ {s#newName: .*#newName: $2#; s#sha256:[0-9a-f]{64}#$3#}" \
    infra/kubernetes/images/kustomization.yaml
}

base=docker.io/library/python:3.11-slim-bookworm
base_digest=$(digest "$base")
for target in train serve reward; do
  image=$registry/rats-$target
  docker buildx build --file infra/docker/Dockerfile --target "$target" --build-arg "PYTHON_IMAGE=$base@$base_digest" \
    --sbom=true --provenance=mode=max --tag "$image:$version" --push .
  pushed=$(digest "$image:$version")
  pin "rats-$target" "$image" "$pushed"
  echo "$image@$pushed"
done
postgres=docker.io/library/postgres
postgres_digest=$(digest "$postgres:17-bookworm")
pin postgres "$postgres" "$postgres_digest"
