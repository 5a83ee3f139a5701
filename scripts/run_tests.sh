#!/usr/bin/env bash
# Run every check of this project, with the real Triton in the loop.
#
#   scripts/run_tests.sh [--require-all] [--fast] [--with-torch | --without-torch] [--workers N] [pytest arguments ...]
#
#   --require-all     fail on what this machine cannot run (CI); without it that is skipped and listed at the end
#   --fast            leave out the tests that install from the package index
#   --with-torch      install torch, which models of the Python backend need, even where pip would take 4 GB of CUDA
#                     packages with it; without this option it is installed where its build for CPU (250 MB) would come
#   --without-torch   do not install it, whatever would come; what needs it is skipped and listed at the end
#   --workers N       run tests in N processes at a time, each with servers of its own (2 to 3 GB of memory); 1 is one after
#                     the other, as when pytest is given arguments. Without it: 2, or 1 on a single core
#   --                everything after it goes to pytest, as does every argument that is not named above
#
# Exit code 0 when everything passed, 1 when something did not. Makes .venv if there is none. The tests of official clients
# make an environment of their own, .run/clients, and say what they download for it (about 210 MB, once).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/console.sh
. scripts/lib/console.sh
# shellcheck source=scripts/lib/requirements.sh
. scripts/lib/requirements.sh
# shellcheck source=scripts/lib/environment.sh
. scripts/lib/environment.sh
# shellcheck source=scripts/lib/torch.sh
. scripts/lib/torch.sh
# shellcheck source=scripts/lib/leftovers.sh
. scripts/lib/leftovers.sh

NEEDED_MIB=4000
DOWNLOAD='310 MB of packages and 100 MB of model files'

require_all='' torch='' workers=''
only_fast=()
pytest_arguments=()
while (($#)); do
  case "$1" in
    -h | --help)
      usage scripts/run_tests.sh
      exit 0
      ;;
    --require-all) require_all=1 ;;
    --fast) only_fast=(-m 'not network') ;;
    --with-torch) torch=with ;;
    --without-torch) torch=without ;;
    --workers)
      workers="${2:-}"
      [[ $workers =~ ^[1-9][0-9]?$ ]] || fail '--workers takes how many, from 1 to 99.'
      shift
      ;;
    --)
      shift
      pytest_arguments+=("$@")
      break
      ;;
    *) pytest_arguments+=("$1") ;;
  esac
  shift
done

if [[ -n $require_all && $torch == without ]]; then
  fail '--require-all means every test, and some need torch: leave --without-torch away.'
fi

# The environment, and torch with it unless that would bring gigabytes that nobody asked for.
install_all() {
  local build=''
  install_environment "$PYTHON_FOUND" embedded,fast,dev,runpod "$DOWNLOAD"
  if [[ $torch == without ]]; then
    say 'Without torch, as asked: tests of models of the Python backend are skipped.'
    return
  fi
  build="$(installed_torch)"
  if [[ -n $build ]]; then
    install_environment "$PYTHON_FOUND" embedded,fast,dev,runpod,torch '20 MB'
    return
  fi
  if ! build="$(offered_torch)" || [[ -z $build ]]; then
    if [[ $torch == with ]]; then fail "pip finds no $TORCH_REQUIREMENT; it says above why."; fi
    leave_torch_out "pip finds no $TORCH_REQUIREMENT."
  elif [[ ${build#* } == cuda && $torch != with ]]; then
    leave_torch_out "pip would take torch ${build% *} with CUDA, about $(torch_download cuda) to download; --with-torch does."
  else
    say "Also torch ${build% *}, about $(torch_download "${build#* }") to download."
    install_torch "$PYTHON_FOUND" embedded,fast,dev,runpod,torch "${build#* }"
  fi
}

# leave_torch_out REASON
leave_torch_out() {
  if [[ -n $require_all ]]; then fail "$1 --require-all means every test, and some need it."; fi
  say "$1 It is left out; the tests that need it are skipped and listed at the end."
}

failed=()
# step NAME COMMAND ...: runs it, says how long it took, remembers a failure and goes on.
step() {
  local name="$1" started
  shift
  started="$(now_ms)"
  if "$@"; then
    say "ok      $name ($(seconds_since "$started"))"
  else
    say "FAILED  $name ($(seconds_since "$started"))"
    failed+=("$name")
  fi
}

quietly() {
  local output
  if ! output="$("$@" 2>&1)"; then
    printf '%s\n' "$output"
    return 1
  fi
}

# Types are checked while one core has nothing else to do; `step` waits for them and shows what they say.
start_types() {
  .venv/bin/mypy >.run/types.log 2>&1 &
  types=$!
  # Ctrl-C does not reach what runs in the background of a script.
  trap 'kill "$types" 2>/dev/null || true' EXIT
}

finish_types() {
  local status=0
  wait "$types" || status=1
  trap - EXIT
  ((status == 0)) || cat .run/types.log
  return "$status"
}

# How many workers run the tests where nobody says so. No more than two: most tests wait for servers of several threads, so
# that two have about two cores to do, and what differs between machines is then how long it takes, not what passes.
default_workers() {
  if ((${#pytest_arguments[@]})) || (($(getconf _NPROCESSORS_ONLN) < 2)); then echo 1; else echo 2; fi
}

run_pytest() {
  local arguments=(-q --junit-xml=.run/tests.xml)
  : "${workers:=$(default_workers)}"
  # tests/support/sharing_out.py says what a worker takes at a time, and in which order.
  if ((workers > 1)); then arguments+=(--numprocesses "$workers" --dist loadfile --no-loadscope-reorder); fi
  rm -f .run/tests.xml
  .venv/bin/pytest "${arguments[@]}" ${only_fast[@]+"${only_fast[@]}"} ${pytest_arguments[@]+"${pytest_arguments[@]}"}
}

# What was skipped, by name; fails under --require-all when that is anything.
list_skipped() {
  [[ -r .run/tests.xml ]] || return 0
  .venv/bin/python - "${require_all:-0}" <<'PYTHON'
import sys
from collections import Counter
from xml.etree import ElementTree

skipped = [
    (case.get("classname", ""), case.get("name", ""), mark.get("message", ""))
    for case in ElementTree.parse(".run/tests.xml").iter("testcase")
    for mark in case.findall("skipped")
    if mark.get("type") != "pytest.xfail"
]
if skipped:
    print("Not run on this machine:")
    for (module, name, reason), count in sorted(Counter(skipped).items()):
        print(f"    {module}.{name}: {reason}")
sys.exit(bool(skipped) and sys.argv[1] == "1")
PYTHON
}

check_requirements . "$NEEDED_MIB" || exit 1
mkdir -p .run
if [[ -n $require_all ]]; then export REQUIRE_ALL=1; fi
before="$(list_leftovers)"

started="$(now_ms)"
install_all
say "ok      environment ($(seconds_since "$started"))"
start_types
step 'model files' quietly .venv/bin/gateway models pull all-MiniLM-L6-v2 cl100k_base
step 'ruff check' quietly .venv/bin/ruff check .
step 'ruff format' quietly .venv/bin/ruff format --check .
step 'import contracts' quietly .venv/bin/lint-imports
step 'rendered configs' quietly .venv/bin/gateway models render --check
step 'rendered reference' quietly .venv/bin/python scripts/render_reference.py --check
step 'mypy' finish_types
step 'tests' run_pytest
step 'skipped tests' list_skipped
step 'nothing left behind' no_new_leftovers "$before"

if ((${#failed[@]})); then
  say "Failed: $(printf '%s, ' "${failed[@]}" | sed 's/, $//')"
  exit 1
fi
say 'All passed.'
