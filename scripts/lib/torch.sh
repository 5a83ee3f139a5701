# shellcheck shell=bash
# torch, which models of Triton's Python backend compute with: what is there, what pip would take, what that costs.
# Needs console.sh, requirements.sh and environment.sh.

# Exactly this one, so that an index that holds several builds gives the same each time.
TORCH_REQUIREMENT="torch==${TORCH_VERSION:-2.13.0}"

# From this one on, a dry run reads what packages say of themselves and does not fetch them whole.
PIP_THAT_LOOKS_FIRST=25.3

torch_build() { .venv/bin/python -I scripts/lib/torch_build.py "$@"; }

# "VERSION cpu" or "VERSION cuda" of the torch in .venv; nothing where there is none.
installed_torch() { torch_build installed; }

# The same of what pip would take. Fetches no package but pip itself (2 MB), where .venv has an older one.
offered_torch() {
  local report
  if ! at_least "$PIP_THAT_LOOKS_FIRST" "$(.venv/bin/pip --version | cut -d ' ' -f 2)"; then
    .venv/bin/pip install --quiet --disable-pip-version-check "pip>=$PIP_THAT_LOOKS_FIRST" >&2 || return 1
  fi
  report="$(.venv/bin/pip install --dry-run --quiet --disable-pip-version-check --report - "$TORCH_REQUIREMENT")" || return 1
  torch_build offered <<<"$report"
}

# What a build costs: to download, for people, and on the disk while it is installed, in MiB.
torch_download() { case "$1" in cpu) printf '250 MB\n' ;; *) printf '4 GB\n' ;; esac; }
torch_disk_mib() { case "$1" in cpu) printf '2000\n' ;; *) printf '14000\n' ;; esac; }

# install_torch PYTHON EXTRAS BUILD: with these extras, which name torch, and with a NumPy that the embedded Triton reads.
install_torch() {
  local free needed
  needed="$(torch_disk_mib "$3")" free="$(free_mebibytes .)"
  if ((free < needed)); then
    fail "torch needs $needed MiB of free disk here while it is installed; there are $free. Free some space, then run this again."
  fi
  install_environment "$1" "$2" "$(torch_download "$3")" "$TORCH_REQUIREMENT"
}
