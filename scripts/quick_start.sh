#!/usr/bin/env bash
# From a fresh clone to a served embedding, with Triton on this machine and no container.
#
#   scripts/quick_start.sh [--detach] [--check] [options of `gateway up` ...]
#
#   --detach   come back once it serves, and leave it running: scripts/stop.sh ends it
#   --check    only look whether this machine has what is needed
#   --model NAME   the model to get and to serve, instead of all-MiniLM-L6-v2; may be repeated. Also GATEWAY_MODELS
#   --precision fast   compute in bfloat16, 1.6 to 1.8 times as fast, with OpenVINO (60 MB more to download)
#   --auto-ports, --port N, ... go to `gateway up`; `.venv/bin/gateway up --help` lists them
#
# Checks the machine, makes .venv, gets the models and the token-id vocabulary, starts Triton and the gateway, prints one
# real embedding and the curl line that repeats it, and stays in the foreground until Ctrl-C. Run again, it only starts.
# PYTHON=... picks the interpreter (3.11 or 3.12). Exit code 0 after a clean stop, 1 when something is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/console.sh
. scripts/lib/console.sh
# shellcheck source=scripts/lib/requirements.sh
. scripts/lib/requirements.sh
# shellcheck source=scripts/lib/environment.sh
. scripts/lib/environment.sh
# shellcheck source=scripts/lib/model_files.sh
. scripts/lib/model_files.sh

# shellcheck source=scripts/lib/fast.sh
. scripts/lib/fast.sh

MODEL=all-MiniLM-L6-v2
NEEDED_MIB=1500
DOWNLOAD='160 MB of packages, then the model files (all-MiniLM-L6-v2: 100 MB)'

detach='' check='' up_options=()
for option in "$@"; do
  case "$option" in
    -h | --help)
      usage scripts/quick_start.sh
      exit 0
      ;;
    --detach) detach=1 ;;
    --check) check=1 ;;
    *) up_options+=("$option") ;;
  esac
done

check_requirements . "$NEEDED_MIB" || exit 1
if [[ -n $check ]]; then
  say "This machine has what is needed ($PYTHON_FOUND)."
  exit 0
fi

if wants_fast ${up_options[@]+"${up_options[@]}"}; then
  install_environment "$PYTHON_FOUND" embedded,fast "$FAST_DOWNLOAD, then the model files (all-MiniLM-L6-v2: 100 MB)"
else
  install_environment "$PYTHON_FOUND" embedded "$DOWNLOAD"
fi

use_repository_of ${up_options[@]+"${up_options[@]}"}

stack() { .venv/bin/python -I scripts/lib/stack.py "$@"; }

if address="$(stack address)"; then
  say "It is running already: $address"
  if ((${#up_options[@]})); then
    warn "It was started before, so ${up_options[*]} changed nothing; scripts/restart.sh takes options."
  fi
  stack first-embedding
  say "Stop it:  scripts/stop.sh"
  exit 0
fi

mapfile -t settings < <(stack settings)
run_folder="${settings[0]}" repository="${settings[1]}"
mapfile -t models < <(options_naming --model ${up_options[@]+"${up_options[@]}"})
if ((${#models[@]} == 0)); then models=("${settings[@]:3}"); fi
if ((${#models[@]} == 0)) && has_card "$repository" "$MODEL"; then models=("$MODEL"); fi
if ((${#models[@]})); then
  get_models "${settings[@]:0:3}" "${models[@]}"
else
  say "$repository does not know $MODEL, so what is installed there is served; --model NAME gets another one."
fi

if [[ -n $detach ]]; then
  log="$run_folder/gateway.log"
  if ! { mkdir -p "$run_folder" && : >"$log"; } 2>/dev/null; then
    fail "$log cannot be written to. Mend its rights, or set GATEWAY_RUN_FOLDER."
  fi
  setsid nohup .venv/bin/gateway up ${up_options[@]+"${up_options[@]}"} >"$log" 2>&1 </dev/null &
  gateway=$!
  # Until it serves, it is not left running by itself.
  trap 'kill -TERM "$gateway" 2>/dev/null; exit 130' INT TERM HUP
  if ! stack first-embedding --process "$gateway"; then
    warn "It did not start. The end of $log:"
    tail -n 20 "$log" >&2
    kill -TERM "$gateway" 2>/dev/null || true
    exit 1
  fi
  trap - INT TERM HUP
  say "Process:  $gateway, log in $log"
  say "Stop it:  scripts/stop.sh"
  exit 0
fi

# `gateway up` prints the addresses and the curl line itself, takes this script's place and with it Ctrl-C.
stack first-embedding --brief --process "$$" &
exec .venv/bin/gateway up ${up_options[@]+"${up_options[@]}"}
