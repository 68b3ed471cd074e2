#!/usr/bin/env bash
# Runs a command with what the TypeScript client is built with first on PATH, installing that once.
# usage: tools/with_node.sh NOTICE COMMAND [ARGUMENT...]
# Without Node 20.19 or newer it prints the notice instead, and succeeds; NODE=required makes it fail.
set -euo pipefail

notice="$1"
shift
client=clients/typescript
stamp="$client/node_modules/.installed"

new_enough='const [major, minor] = process.versions.node.split(".").map(Number);
  process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'
if ! command -v npm >/dev/null || ! node -e "$new_enough" 2>/dev/null; then
  echo "Node 20.19 or newer not found: $notice" >&2
  [[ "${NODE:-}" != required ]]
  exit
fi

if [[ "$client/package-lock.json" -nt "$stamp" ]]; then
  npm ci --prefix "$client" --silent --no-progress
  touch "$stamp"
fi
PATH="$PWD/$client/node_modules/.bin:$PATH" "$@"
