#!/usr/bin/env bash
# Pins the dependencies, with the hashes of all files of each release:
#   requirements/dev.txt      a checkout: everything but what the examples need
#   requirements/examples.txt what the applications under examples/ need beside it
#   requirements/node.txt     Node, where there is none, for the TypeScript client
#   requirements/runtime.txt  the container image: what the gateway, workers and command line need
#   requirements/build.txt    building the wheel
# Run it with the oldest Python supported (PYTHON=python3.11, best a 3.11.0 to 3.11.2): a backport
# that only old releases need is then pinned too, and harmless on new ones. Arguments go to
# pip-compile for dev.txt and examples.txt (--upgrade); the others follow dev.txt.
set -euo pipefail

python="${PYTHON:-python3}"
environment="$(mktemp -d)"
trap 'rm -rf "$environment"' EXIT

"$python" -m venv "$environment"
"$environment/bin/python" -m pip install --quiet pip-tools

# No index address, no machine path: the files say what to install, never from where.
pin() {
  local output="$1"
  shift
  echo "requirements/$output"
  CUSTOM_COMPILE_COMMAND="make requirements" "$environment/bin/pip-compile" --quiet \
    --generate-hashes --allow-unsafe --strip-extras --annotation-style=line \
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
    --output-file "requirements/$output" "$@"
}

roles=(--extra cli --extra client --extra server --extra worker)
pin dev.txt "$@" "${roles[@]}" --extra embedded pyproject.toml requirements/dev.in
pin examples.txt "$@" --constraint requirements/dev.txt requirements/examples.in
pin node.txt "$@" requirements/node.in
pin runtime.txt "${roles[@]}" --constraint requirements/dev.txt pyproject.toml
pin build.txt --only-build-deps --build-deps-for wheel --constraint requirements/dev.txt \
  pyproject.toml
