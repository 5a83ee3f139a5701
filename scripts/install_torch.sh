#!/usr/bin/env bash
# Install what models of Triton's Python backend compute with (jina-embeddings-v4): torch and transformers, into .venv.
#
#   scripts/install_torch.sh [--yes] [--check]
#
#   --yes     install without asking; needed where nobody can be asked
#   --check   only say whether it is there; exit code 1 when it is not
#
# Says first what pip would take and how large it is: about 250 MB where your package index has a build for CPU, about
# 4 GB with CUDA, which a GPU needs. TORCH_VERSION=... takes another version than 2.13.0, and pip's own settings another
# index. The other models need none of this.
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

NEEDED_MIB=1500
DOWNLOAD='160 MB of packages'

yes='' check=''
for option in "$@"; do
  case "$option" in
    -h | --help)
      usage scripts/install_torch.sh
      exit 0
      ;;
    --yes) yes=1 ;;
    --check) check=1 ;;
    *) fail "Unknown option $option; --help lists what there is." ;;
  esac
done

# say_installed: names the build that is there; fails where there is none.
say_installed() {
  local found
  if [[ ! -x .venv/bin/python ]] || ! found="$(installed_torch)" || [[ -z $found ]]; then return 1; fi
  say "torch ${found% *} is installed, a build for $(build_in_words "${found#* }")."
}

build_in_words() { if [[ $1 == cpu ]]; then say CPU; else say 'GPUs, with CUDA'; fi; }

# The extra holds more than torch, so torch alone is not all of it.
has_all() { [[ -x .venv/bin/python ]] && is_installed torch "$(fingerprint .venv/bin/python)" && say_installed; }

if [[ -n $check ]]; then
  if has_all; then exit 0; fi
  say "torch and transformers are not installed, or not as pyproject.toml says: scripts/install_torch.sh"
  exit 1
fi
if has_all; then exit 0; fi

check_requirements . "$NEEDED_MIB" || exit 1
install_environment "$PYTHON_FOUND" embedded "$DOWNLOAD"

if build="$(installed_torch)" && [[ -n $build ]]; then
  say "torch ${build% *} is there already; what else belongs to it is added."
  install_environment "$PYTHON_FOUND" embedded,torch '20 MB'
  exit 0
fi

if ! build="$(offered_torch)" || [[ -z $build ]]; then
  fail "pip finds no $TORCH_REQUIREMENT; it says above why. TORCH_VERSION=... takes another one, and pip's own settings" \
    "(.venv/bin/pip config list) another index."
fi
say "pip would take torch ${build% *}, a build for $(build_in_words "${build#* }"): about $(torch_download "${build#* }")" \
  "to download, $(torch_disk_mib "${build#* }") MiB of disk while it is installed, $(free_mebibytes .) MiB are free."
if [[ -z $yes ]]; then
  if [[ ! -t 0 ]]; then fail 'Nothing was installed. Nobody can be asked here: --yes installs it.'; fi
  read -r -p 'Install it? [y/N] ' answer
  case "$answer" in
    [yY] | [yY][eE][sS]) ;;
    *) fail 'Nothing was installed.' ;;
  esac
fi
install_torch "$PYTHON_FOUND" embedded,torch "${build#* }"
say_installed
