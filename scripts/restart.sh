#!/usr/bin/env bash
# Stop what runs in this checkout and start it again in the background.
#
#   scripts/restart.sh [options of `gateway up` ...]
#
# The same as scripts/stop.sh, then scripts/quick_start.sh --detach with the options given here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/console.sh
. scripts/lib/console.sh

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  usage scripts/restart.sh
  exit 0
fi
scripts/stop.sh
exec scripts/quick_start.sh --detach "$@"
