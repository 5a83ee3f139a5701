# shellcheck shell=bash
# The virtual environment in .venv and what the scripts install into it.

# install_environment PYTHON EXTRAS SIZE [REQUIREMENT ...]: creates .venv and installs the project with EXTRAS (a,b) into
# it, and these requirements, which pin what the extras leave open. What is there and fits is not installed again.
# A stamp per extra, with the hash of pyproject.toml and the Python version, makes the next run skip pip.
install_environment() {
  local python="$1" extras="$2" size="$3" wanted extra
  shift 3
  # An environment's programs name their interpreter by its whole path, so they do not outlive a move of the checkout.
  if [[ -r .venv/.made-in && $(<.venv/.made-in) != "$(pwd -P)" ]]; then
    python="$("$python" -c 'import sys; print(sys._base_executable)')"
    say "The environment in .venv was made in another folder; building it anew."
    rm -rf .venv
  fi
  wanted="$(fingerprint "$python")"
  if is_installed "$extras" "$wanted"; then return; fi
  if [[ -e .venv/bin/python && $(python_version .venv/bin/python 2>/dev/null) != "${wanted##* }" ]]; then
    compgen -G '.venv/.installed-*' >/dev/null ||
      fail "The environment in .venv belongs to another Python, and no script here made it. Move it away, then run this again."
    say "The environment in .venv belongs to another Python; building it anew."
    rm -rf .venv
  fi
  say "Installing .[$extras] into .venv: about $size to download, once."
  if [[ ! -x .venv/bin/pip ]]; then "$python" -m venv .venv; fi
  if ! .venv/bin/pip install --quiet --disable-pip-version-check --editable ".[$extras]" "$@"; then
    fail "The packages could not be installed; pip says above why. Check the network, its proxy and pip's own settings" \
      "(.venv/bin/pip config list), then run this again: it goes on where it stopped."
  fi
  pwd -P >.venv/.made-in
  for extra in ${extras//,/ }; do printf '%s\n' "$wanted" >".venv/.installed-$extra"; done
}

is_installed() {
  local extra
  [[ -x .venv/bin/gateway ]] || return 1
  for extra in ${1//,/ }; do
    [[ -r .venv/.installed-$extra && $(<".venv/.installed-$extra") == "$2" ]] || return 1
  done
}

fingerprint() {
  printf '%s %s\n' "$(sha256sum pyproject.toml | cut -d ' ' -f 1)" "$(python_version "$1")"
}
