# shellcheck shell=bash
# Getting models and the token-id vocabulary, and proving them once: again only when a file has changed since.

# options_naming OPTION ARGUMENT...: the values given to that option of `gateway up`, one a line.
options_naming() {
  local option="$1"
  shift
  while (($#)); do
    case "$1" in
      "$option")
        if (($# > 1)); then printf '%s\n' "$2"; fi
        shift
        ;;
      "$option"=*) printf '%s\n' "${1#*=}" ;;
    esac
    shift
  done
}

# use_repository_of ARGUMENT...: what --model-repository says is where all that is called here looks.
use_repository_of() {
  local named
  named="$(options_naming --model-repository "$@" | tail -n 1)"
  if [[ -n $named ]]; then export GATEWAY_MODEL_REPOSITORY="$named"; fi
}

# get_models RUN_FOLDER REPOSITORY VOCABULARIES NAME...: any names of models; a family's brings all its members.
get_models() {
  local run_folder="$1" repository="$2" vocabularies="$3" name
  local -a wanted=()
  shift 3
  for name in "$@"; do
    if is_proved "$(proof_of "$run_folder" "$name")" "$repository" "$vocabularies"; then
      say "The files of $name are those that were verified before."
    else
      wanted+=("$name")
    fi
  done
  if ((${#wanted[@]} == 0)); then return; fi
  .venv/bin/gateway models resolve --to-serve "${wanted[@]}" >/dev/null
  .venv/bin/gateway models pull "${wanted[@]}"
  .venv/bin/gateway models pull cl100k_base || warn "Going on without it: only inputs given as token ids need it."
  .venv/bin/gateway models verify --quiet "${wanted[@]}"
  mkdir -p "$run_folder"
  for name in "${wanted[@]}"; do
    note_proof "$(proof_of "$run_folder" "$name")" "$repository" "$vocabularies" "$name"
  done
}

# Names of the hub have a slash.
proof_of() { printf '%s/verified-%s\n' "$1" "${2//\//--}"; }

# A proof is the state of the files on its first line, and the folders that hold them on the others: with that, nothing
# of the gateway has to start to look again.
note_proof() {
  local proof="$1" repository="$2" vocabularies="$3" name="$4" listed
  local -a folders
  listed="$(.venv/bin/gateway models resolve "$name")"
  mapfile -t folders <<<"$listed"
  printf '%s\n' "$(files_state "$repository" "$vocabularies" "${folders[@]}")" "${folders[@]}" >"$proof"
}

is_proved() {
  local proof="$1" repository="$2" vocabularies="$3"
  local -a lines=()
  if [[ -r $proof ]]; then mapfile -t lines <"$proof"; fi
  ((${#lines[@]} > 1)) && [[ -n ${lines[0]} ]] &&
    [[ $(files_state "$repository" "$vocabularies" "${lines[@]:1}") == "${lines[0]}" ]]
}

# files_state REPOSITORY VOCABULARIES FOLDER...: a digest of every file's name, size and time of change; nothing where a
# folder or the vocabulary is missing.
files_state() {
  local repository="$1" vocabularies="$2" found
  shift 2
  if found="$(
    stat -c '%n %s %y' "$vocabularies"/*.tiktoken 2>/dev/null &&
      find "${@/#/$repository/}" -maxdepth 2 -type f ! -name '.*' -printf '%p %s %T@\n' 2>/dev/null | sort
  )"; then
    sha256sum <<<"$found" | cut -d ' ' -f 1
  fi
}

# has_card REPOSITORY NAME
has_card() { [[ -r $1/$2/card.toml ]]; }
