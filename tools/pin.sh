#!/usr/bin/env bash
# Pins every dependency of a checkout, with the hashes of all files of each release, in
# requirements/dev.txt. Run it with the oldest Python supported (PYTHON=python3.11, best a 3.11.0
# to 3.11.2): a backport that only old releases need is then pinned too, and harmless on new ones.
set -euo pipefail

python="${PYTHON:-python3}"
environment="$(mktemp -d)"
trap 'rm -rf "$environment"' EXIT

"$python" -m venv "$environment"
"$environment/bin/python" -m pip install --quiet pip-tools
# No index address, no machine path: the file says what to install, never from where.
CUSTOM_COMPILE_COMMAND="make requirements" "$environment/bin/pip-compile" --quiet "$@" \
  --generate-hashes --allow-unsafe --strip-extras --annotation-style=line \
  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
  --extra cli --extra client --extra embedded --extra server --extra worker \
  --output-file requirements/dev.txt pyproject.toml requirements/dev.in
