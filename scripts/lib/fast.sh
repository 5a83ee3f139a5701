# shellcheck shell=bash
# What models are computed with under GATEWAY_PRECISION=fast. Needs console.sh and environment.sh.

# shellcheck disable=SC2034  # for whoever reads this file in
FAST_DOWNLOAD='220 MB of packages, OpenVINO (60 MB) among them'

# The version in .venv; fails where there is none.
installed_openvino() {
  .venv/bin/python -I -c 'import importlib.metadata as m; print(m.version("openvino"))' 2>/dev/null
}

has_bfloat16() { grep -q -m 1 -w -e avx512_bf16 -e amx_bf16 /proc/cpuinfo 2>/dev/null; }

# wants_fast [OPTION ...]: whether these options of `gateway up`, or the environment, ask for it.
wants_fast() {
  local before='' option asked="${GATEWAY_PRECISION:-}"
  for option in "$@"; do
    if [[ $before == --precision ]]; then asked="$option"; fi
    if [[ $option == --precision=* ]]; then asked="${option#*=}"; fi
    before="$option"
  done
  [[ $asked == fast ]]
}
