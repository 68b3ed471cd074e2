#!/usr/bin/env bash
# Generates the Python code of the contract into a folder (default: gen).
# usage: tools/generate.sh [FOLDER]      needs the virtual environment first on PATH
set -euo pipefail

out="${1:-gen}"
package="$out/penstock/v1"

# Files of a proto that no longer exists must not survive it.
rm -rf "$package"
mkdir -p "$package"
# `out` in buf.gen.yaml is relative to --output, hence the move out of its "gen".
staging="$(mktemp -d)"
trap 'rm -rf "$staging"' EXIT
buf generate --output "$staging"
cp -R "$staging/gen/penstock/v1/." "$package/"
printf '"""Generated from protos/penstock/v1 by `make proto`; never edited."""\n' >"$package/__init__.py"
touch "$package/py.typed"
