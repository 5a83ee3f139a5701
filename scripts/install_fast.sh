#!/usr/bin/env bash
# Install what GATEWAY_PRECISION=fast computes with, OpenVINO, into .venv.
#
#   scripts/install_fast.sh [--check]
#
#   --check   only say whether it is there and this processor can use it; exit code 1 when not
#
# About 60 MB to download and 200 MB of disk. Without it models are served exactly; docs/precision.md says what fast is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/console.sh
. scripts/lib/console.sh
# shellcheck source=scripts/lib/requirements.sh
. scripts/lib/requirements.sh
# shellcheck source=scripts/lib/environment.sh
. scripts/lib/environment.sh
# shellcheck source=scripts/lib/fast.sh
. scripts/lib/fast.sh

NEEDED_MIB=1500

check=''
for option in "$@"; do
  case "$option" in
    -h | --help)
      usage scripts/install_fast.sh
      exit 0
      ;;
    --check) check=1 ;;
    *) fail "Unknown option $option; --help lists what there is." ;;
  esac
done

if [[ -z $check ]]; then
  check_requirements . "$NEEDED_MIB" || exit 1
  install_environment "$PYTHON_FOUND" embedded,fast "$FAST_DOWNLOAD"
fi
if [[ ! -x .venv/bin/python ]] || ! found="$(installed_openvino)"; then
  say 'openvino is not installed: scripts/install_fast.sh'
  exit 1
fi
say "openvino $found is installed."
if ! has_bfloat16; then
  say 'This processor has no instructions for bfloat16, so GATEWAY_PRECISION=fast is refused here.'
  exit 1
fi
say 'Serve with it: GATEWAY_PRECISION=fast .venv/bin/gateway up'
