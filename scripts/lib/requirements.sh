# shellcheck shell=bash
# What the embedded Triton needs from this machine, checked before anything is downloaded.
# Everything apt can mend is collected into one command; what it cannot mend names the compose file instead.

MINIMUM_GLIBC=2.35
COMPOSE_COMMAND='docker compose --profile all-MiniLM-L6-v2 up -d'

# The interpreter that fits best, or nothing. PYTHON=... wins, then .venv's own; a complete one beats a newer one. The
# distribution's comes before others on PATH: version managers build without the compiler's profile, and the gateway then
# takes 13 to 24 % more processor time for a short request.
find_python() {
  local candidate first='' system="${SYSTEM_BIN:-/usr/bin}"
  for candidate in ${PYTHON:+"$PYTHON"} .venv/bin/python "$system/python3.12" "$system/python3.11" python3.12 python3.11 python3; do
    if python_is_supported "$candidate"; then
      first="${first:-$candidate}"
      if [[ -n ${PYTHON:-} ]] || { python_has_venv "$candidate" && python_has_library "$candidate"; }; then
        printf '%s\n' "$candidate"
        return
      fi
    fi
    if [[ -n ${PYTHON:-} ]]; then break; fi
  done
  if [[ -n $first ]]; then printf '%s\n' "$first"; fi
}

# Runs it: a version manager's shim can be on PATH and still refuse.
python_is_supported() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

python_has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Triton's Python stub is linked against the shared library, which an interpreter alone does not bring.
python_has_library() {
  "$1" - >/dev/null 2>&1 <<'PYTHON'
import ctypes, pathlib, sys, sysconfig

name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
if not (pathlib.Path(sysconfig.get_config_var("LIBDIR") or "/") / name).is_file():
    ctypes.CDLL(name)
PYTHON
}

# The version the distribution packages, for a machine that has none; empty where it packages neither.
packaged_python() {
  local ID='' VERSION_ID=''
  # shellcheck source=/dev/null
  if [[ -r ${OS_RELEASE:-/etc/os-release} ]]; then . "${OS_RELEASE:-/etc/os-release}"; fi
  case "$ID-$VERSION_ID" in
    debian-12 | ubuntu-22.04) printf '3.11\n' ;;
    ubuntu-24.04 | ubuntu-24.10) printf '3.12\n' ;;
  esac
}

has_apt() { command -v apt-get >/dev/null 2>&1; }

glibc_version() { getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p'; }

at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]; }

free_mebibytes() { df -Pm "$1" | awk 'NR == 2 { print $4 }'; }

# check_requirements FOLDER NEEDED_MIB: exports PYTHON_FOUND, or says what is missing with the one command and returns 1.
check_requirements() {
  local folder="$1" needed="$2" python version glibc free
  local -a missing=() packages=() hopeless=()
  export PYTHON_FOUND=''

  if [[ $(uname -s) != Linux || $(uname -m) != x86_64 ]]; then
    hopeless+=("This is $(uname -s) on $(uname -m); the embedded Triton is built for Linux on x86_64.")
  else
    glibc="$(glibc_version)"
    if [[ -z $glibc ]]; then
      hopeless+=("This Linux has no glibc; the embedded Triton needs glibc $MINIMUM_GLIBC or newer.")
    elif ! at_least "$MINIMUM_GLIBC" "$glibc"; then
      hopeless+=("glibc is $glibc; the embedded Triton needs $MINIMUM_GLIBC or newer (Debian 12, Ubuntu 22.04).")
    fi
  fi

  python="$(find_python)"
  if [[ -z $python ]]; then
    version="$(packaged_python)"
    if [[ -n ${PYTHON:-} ]]; then
      hopeless+=("PYTHON=$PYTHON is not a Python 3.11 or 3.12.")
    elif [[ -z $version ]]; then
      hopeless+=("No Python 3.11 or 3.12 was found, and this distribution packages neither.")
    else
      missing+=("Python 3.11 or 3.12")
      packages+=("python$version" "python$version-venv" "libpython$version")
    fi
  else
    version="$(python_version "$python")"
    if ! python_has_venv "$python"; then
      missing+=("the venv module of $python")
      packages+=("python$version-venv")
    fi
    if ! python_has_library "$python"; then
      missing+=("libpython$version.so.1.0")
      packages+=("libpython$version")
    fi
  fi

  # What is installed already needs no room again.
  if [[ -x .venv/bin/gateway ]]; then needed=100; fi
  free="$(free_mebibytes "$folder")"
  if ((free < needed)); then
    hopeless+=("$free MiB are free in $folder; $needed MiB are needed.")
  fi

  report_requirements
  if ((${#missing[@]} + ${#hopeless[@]})); then return 1; fi
  PYTHON_FOUND="$python"
}

# Reads the arrays of check_requirements.
report_requirements() {
  local line sudo=''
  for line in ${missing[@]+"${missing[@]}"}; do warn "Missing: $line."; done
  for line in ${hopeless[@]+"${hopeless[@]}"}; do warn "$line"; done
  if ((${#hopeless[@]})); then
    case "${hopeless[*]}" in
      *'MiB are needed'*) warn "Free some space, then run this again." ;;
      *PYTHON=*) warn "Unset PYTHON, or point it at one that is, then run this again." ;;
      *) warn "Run the stack in containers instead:" && warn "    $COMPOSE_COMMAND" ;;
    esac
  elif ((${#packages[@]})); then
    if ((EUID != 0)); then sudo='sudo '; fi
    if has_apt; then
      warn "This command mends it:"
      warn "    ${sudo}apt-get update && ${sudo}apt-get install -y ${packages[*]}"
    else
      warn "Install your distribution's packages for: ${missing[*]}. Then run this again."
    fi
  fi
}
