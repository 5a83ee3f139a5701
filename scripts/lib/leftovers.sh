# shellcheck shell=bash
# What a Triton of this checkout may leave behind: its processes, and segments in /dev/shm.

# One line each. A process counts when its program lies in this checkout; a segment, which is named after the warden
# that looks after it (gateway-triton-NAMESPACE-PID-START-...), when that process is gone.
list_leftovers() {
  local process program segment pid start
  for process in /proc/[0-9]*; do
    program="$(readlink "$process/exe" 2>/dev/null)" || continue
    case "$program" in
      "$PWD"/*tritonserver* | "$PWD"/*triton_python_backend_stub*) printf 'process %s %s\n' "${process#/proc/}" "$program" ;;
    esac
  done
  for segment in /dev/shm/gateway-triton-*; do
    IFS=- read -r _ _ _ pid start _ <<<"$segment"
    # Without its parenthesised name, which may hold blanks, the start time is the 20th field of stat.
    if [[ -e $segment && $start != "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d ' ' -f 20)" ]]; then
      printf 'segment %s\n' "$segment"
    fi
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
