# shellcheck shell=bash
# Getting a model and the token-id vocabulary, and proving them once: again only when a file has changed since.

# get_model NAME RUN_FOLDER REPOSITORY VOCABULARIES
get_model() {
  local name="$1" run_folder="$2" proof="$2/verified" state
  shift
  state="$(files_state "$name" "$2" "$3")"
  if [[ -n $state && -r $proof && $(<"$proof") == "$state" ]]; then
    say "The files of $name are those that were verified before."
    return
  fi
  .venv/bin/gateway models pull "$name"
  .venv/bin/gateway models pull cl100k_base || warn "Going on without it: only inputs given as token ids need it."
  .venv/bin/gateway models verify "$name"
  mkdir -p "$run_folder"
  files_state "$name" "$2" "$3" >"$proof"
}

# A digest of every file's name, size and time of change; nothing where one is missing.
files_state() {
  local found
  if found="$(stat -c '%n %s %y' "$2/$1/card.toml" "$2/$1/config.pbtxt" "$2/$1/1"/* "$3"/*.tiktoken 2>/dev/null)"; then
    sha256sum <<<"$found" | cut -d ' ' -f 1
  fi
}
