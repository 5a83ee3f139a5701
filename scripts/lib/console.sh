# shellcheck shell=bash
# How the scripts speak: progress on stdout, trouble on stderr.

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
fail() {
  warn "$@"
  exit 1
}

# Milliseconds since some fixed moment, for "took 1.2 s" lines.
now_ms() { printf '%s\n' "$(($(date +%s%N) / 1000000))"; }
seconds_since() {
  local took=$(($(now_ms) - $1))
  printf '%d.%d s\n' "$((took / 1000))" "$((took % 1000 / 100))"
}

# Prints the calling script's own header comment, from line 2 to the first line that is no comment.
usage() { sed -n '2,/^[^#]/{/^[^#]/q;s/^# \{0,1\}//;p;}' "$1"; }
