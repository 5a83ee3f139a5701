#!/usr/bin/env bash
# Stop the gateway and its Triton, as started by scripts/quick_start.sh or `gateway up` in this checkout.
#
#   scripts/stop.sh
#
# Signals only the process recorded in .run/up.json, and only while it is still that process. Exit code 0 when nothing
# runs afterwards, 1 when it would not end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/console.sh
. scripts/lib/console.sh

case "${1:-}" in
  -h | --help)
    usage scripts/stop.sh
    exit 0
    ;;
  '') ;;
  *) fail "Unknown option $1; --help lists what there is." ;;
esac

if [[ ! -x .venv/bin/python ]]; then
  say 'Nothing is running: there is no .venv.'
  exit 0
fi
exec .venv/bin/python -I scripts/lib/stack.py stop
