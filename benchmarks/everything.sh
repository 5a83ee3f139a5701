#!/usr/bin/env bash
# Measure everything that benchmarks/README.md claims, on a machine that does nothing else.
#
#   benchmarks/everything.sh [--name NAME] [--yes] [--soak] [--without-infinity] [--repeats COUNT]
#
#   --name              of the results, benchmarks/results/DATE-NAME-*.json and .html (default: this machine's name)
#   --yes               install Infinity 0.0.78 into .run/infinity without asking: about 1.6 GB with torch for CPU
#   --without-infinity  leave out what it is compared in
#   --soak              ten minutes of the largest requests as well
#   --repeats           of each measurement (default: 5, what is quoted)
#
# About 40 minutes, with --soak ten more. Installs OpenVINO first, which `fast` is measured with (scripts/install_fast.sh, 200 MB
# of disk); where that cannot be, `fast` is left out. In the end it writes what was measured of each claim as a table into
# benchmarks/README.md. What each precision costs comes last and is in DATE-NAME-precision.json. Exit code 1 where a run was
# void, which the table leaves out, failed, or could not be made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/console.sh
. scripts/lib/console.sh

name="$(uname -n)" yes='' soak='' infinity=1 repeats=5
while (($#)); do
  case "$1" in
    -h | --help)
      usage benchmarks/everything.sh
      exit 0
      ;;
    --name | --repeats)
      (($# > 1)) || fail "$1 needs a value; --help lists the options."
      if [[ $1 == --name ]]; then name="$2"; else repeats="$2"; fi
      shift
      ;;
    --yes) yes=1 ;;
    --soak) soak=1 ;;
    --without-infinity) infinity='' ;;
    *) fail "Unknown option $1; --help lists what there is." ;;
  esac
  shift
done
[[ -x .venv/bin/python ]] || fail "There is no .venv here; run scripts/quick_start.sh first."

start="benchmarks/results/$(date -u +%Y-%m-%d)-$name" status=0 written=() has_fast=1
# Now, and not after a quarter of an hour.
scripts/install_fast.sh || { has_fast='' status=1 && say 'What is fast is left out.'; }

# measure PART COMMAND...: one run, whose document and page are named after PART.
measure() {
  local part="$1"
  shift
  say "== $part: $*"
  rm -f "$start-$part.json" # of an earlier run that day: where this one fails, nothing is claimed
  written+=("$start-$part.json")
  "$@" --repeats "$repeats" --json "$start-$part.json" --html "$start-$part.html" || status=1
}

bench=(.venv/bin/python -m gateway bench)
fast=(--variant fast=GATEWAY_PRECISION=fast)
workloads=()
for workload in single added many bulk long mixed interference poisson encoding; do
  workloads+=(--workload "$workload")
done

# Alone: a second stack would answer its own canary now and then, which a 99th percentile sees.
measure exact "${bench[@]}" "${workloads[@]}"
if [[ -n $infinity ]]; then
  beside=(.venv/bin/python -m benchmarks.against_infinity ${yes:+--yes} --workload single --workload many --workload bulk)
  # Apart: beside a second stack a lone query finds the caches emptied twice.
  measure against-infinity "${beside[@]}"
  if [[ -n $has_fast ]]; then measure fast-against-infinity "${beside[@]}" "${fast[@]}"; fi
elif [[ -n $has_fast ]]; then
  measure fast "${bench[@]}" "${fast[@]}" --workload single --workload many --workload bulk --workload long
fi
measure cache "${bench[@]}" --variant cached=GATEWAY_CACHE_BYTES=268435456 --workload duplicates
measure scaling "${bench[@]}" --workload scaling
if [[ -n $soak ]]; then measure soak "${bench[@]}" --workload soak; fi

if [[ -n $has_fast ]]; then
  say "== precision"
  .venv/bin/python -m benchmarks.precision --repeats "$repeats" --json "$start-precision.json" || status=1
fi

.venv/bin/python -m benchmarks.claims --into benchmarks/README.md "${written[@]}"
say 'The table of claims is in benchmarks/README.md.'
exit "$status"
