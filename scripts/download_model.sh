#!/usr/bin/env bash
# Get models' files, or the token-id vocabulary, into this checkout.
#
#   scripts/download_model.sh [NAME ...] [--variant V]    default: all-MiniLM-L6-v2 and cl100k_base
#   scripts/download_model.sh --list                      the models that can be had, with their variants
#
#   scripts/download_model.sh jina-embeddings-v3 --variant fp16
#   scripts/download_model.sh jina-embeddings-v5-text-nano            the models of all its tasks
#   scripts/download_model.sh jina-embeddings-v5-text-nano-retrieval  one of them
#
# --variant picks the precision (fp32, fp16, quantized, ...) of the models named; exactly one is installed at a time.
# Sizes and sha256 are checked; what is there already is not fetched again. Needs .venv, which
# scripts/quick_start.sh makes; without it, and with docker, the compose file does the same in a container.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/console.sh
. scripts/lib/console.sh

if [[ ${1:-} == --help || ${1:-} == -h ]]; then
  usage scripts/download_model.sh
  exit 0
fi

if [[ -x .venv/bin/gateway ]]; then
  gateway=(.venv/bin/gateway)
elif command -v docker >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
  gateway=(docker compose run --rm pull-all-minilm-l6-v2)
else
  fail "There is neither .venv nor docker compose. scripts/quick_start.sh makes the first."
fi

if [[ ${1:-} == --list ]]; then exec "${gateway[@]}" models list; fi
if (($# == 0)); then set -- all-MiniLM-L6-v2 cl100k_base; fi
exec "${gateway[@]}" models pull "$@"
