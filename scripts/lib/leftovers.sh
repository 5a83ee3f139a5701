# shellcheck shell=bash
# What a Triton of this checkout may leave behind: its processes, and segments in /dev/shm.

# One line each. A process counts when its program lies in this checkout; a segment when a Triton named it.
list_leftovers() {
  local process program segment
  for process in /proc/[0-9]*; do
    program="$(readlink "$process/exe" 2>/dev/null)" || continue
    case "$program" in
      "$PWD"/*tritonserver* | "$PWD"/*triton_python_backend_stub*) printf 'process %s %s\n' "${process#/proc/}" "$program" ;;
    esac
  done
  for segment in /dev/shm/gateway-triton-* /dev/shm/triton_*; do
    if [[ -e $segment ]]; then printf 'segment %s\n' "$segment"; fi
  done
}

# no_new_leftovers BEFORE: fails and lists what was not there before.
no_new_leftovers() {
  local left
  left="$(comm -13 <(sort <<<"$1") <(list_leftovers | sort))"
  if [[ -z $left ]]; then return 0; fi
  printf 'Left behind:\n%s\n' "$left"
  return 1
}
