#!/usr/bin/env bash
# Refuses a change of the contract that breaks its wire or JSON form (buf breaking, WIRE_JSON).
# The measure is the newest release, and before the first release the parent commit; a shallow
# clone or an export may hold neither, and then there is nothing to compare with.
set -euo pipefail

baseline="$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null \
  || git rev-parse --quiet --verify 'HEAD~1^{commit}' 2>/dev/null || true)"
if [[ -z "$baseline" ]] || ! git cat-file -e "$baseline:protos" 2>/dev/null; then
  echo 'buf breaking: no earlier contract to compare with'
  exit 0
fi
# An archive, as buf's own git input cannot read a worktree's or a partial clone's .git.
earlier="$(mktemp -d)"
trap 'rm -rf "$earlier"' EXIT
git archive "$baseline" buf.yaml protos | tar -x -C "$earlier"
buf breaking --against "$earlier"
