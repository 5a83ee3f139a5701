#!/usr/bin/env bash
# Stop what runs in this checkout and start it again in the background.
#
#   scripts/restart.sh [options of `gateway up` ...]
#
# The same as scripts/stop.sh, then scripts/quick_start.sh --detach with the options given here. What runs goes on where
# a model is named that is not known.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/console.sh
. scripts/lib/console.sh
# shellcheck source=scripts/lib/model_files.sh
. scripts/lib/model_files.sh

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  usage scripts/restart.sh
  exit 0
fi
if [[ -x .venv/bin/gateway ]]; then
  use_repository_of "$@"
  mapfile -t models < <(options_naming --model "$@")
  if ((${#models[@]} == 0)); then mapfile -t models < <(.venv/bin/python -I scripts/lib/stack.py settings | tail -n +4); fi
  if ((${#models[@]})); then .venv/bin/gateway models resolve --to-serve "${models[@]}" >/dev/null; fi
fi
scripts/stop.sh
exec scripts/quick_start.sh --detach "$@"
