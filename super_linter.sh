#!/usr/bin/env bash
# Looks at every Python file of the repository with black, flake8 (+ commas, + black), ruff, mypy and import-linter,
# and lists the files to rework. Changes nothing; with --fix it first mends what a tool can mend.
#
#   ./super_linter.sh          status 0: clean, 1: files to rework, 2: it could not look
#   ./super_linter.sh --fix
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2

case "$#:${1-}" in
  0:) fix=no ;;
  1:--fix) fix=yes ;;
  *)
    echo "usage: ./super_linter.sh [--fix]" >&2
    exit 2
    ;;
esac

# The tools of .venv where there is one, else those of the Python at hand.
python=python3
[ -x .venv/bin/python ] && python=.venv/bin/python
if ! "$python" -c 'import black, flake8, flake8_black, flake8_commas, importlinter, mypy, ruff' 2>/dev/null; then
  echo "A linter is missing for $("$python" -c 'import sys; print(sys.executable)')." >&2
  echo "Install them all: make venv, or pip install -r requirements-dev.txt" >&2
  exit 2
fi

# Tracked files and new ones that git does not ignore, but code that a program wrote (*_pb2*.py); where git is not at hand, all but hidden folders and data.
list_files() {
  git ls-files --cached --others --exclude-standard -- '*.py' 2>/dev/null ||
    find . -name '*.py' -not -path './.*' -not -path './data/*' -not -path './venv/*' | sed 's|^\./||'
}
mapfile -t files < <(list_files | grep -v '_pb2\(_grpc\)\?\.py$' | sort -u | while IFS= read -r file; do [ -f "$file" ] && printf '%s\n' "$file"; done)
[ "${#files[@]}" -gt 0 ] || { echo "There is no Python file here." >&2; exit 2; }

run_black() { "$python" -m black "$@" "${files[@]}"; }
run_ruff() { "$python" -m ruff check --force-exclude "$@" "${files[@]}"; }
run_flake8() { "$python" -m flake8 "${files[@]}"; }
run_mypy() { "$python" -m mypy --no-error-summary "${files[@]}"; }
run_floors() { "$python" -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-logo; }

# A comma that ruff adds gives black lines to break, and these may want a comma again: once for each depth of nesting.
if [ "$fix" = yes ]; then
  for _ in 1 2 3 4 5 6; do
    run_ruff --fix --quiet >/dev/null
    before=$(cat -- "${files[@]}" | cksum)
    run_black --quiet
    [ "$before" = "$(cat -- "${files[@]}" | cksum)" ] && break
  done
fi

report=$(mktemp) || exit 2
trap 'rm -f "$report"' EXIT
status=0

look() { # NAME COMMAND...: its output is shown, and kept under its name, only if it fails
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    printf '%-14s clean\n' "$name"
    return
  fi
  status=1
  output=$(printf '%s\n' "${output//"$PWD/"/}" | sed 's|^would reformat \(.*\)|\1: would be reformatted|')
  printf '%-14s complains\n%s\n\n' "$name" "$output"
  printf '%s\n' "$output" | sed "s|^|$name: |" >>"$report"
}

look black run_black --check
look flake8 run_flake8
look ruff run_ruff --output-format=concise --quiet
look mypy run_mypy
look import-linter run_floors

if [ "$status" = 0 ]; then
  echo "All ${#files[@]} files are clean."
  exit 0
fi
echo "To rework:"
for file in "${files[@]}"; do
  tools=$(grep -F ": $file:" "$report" | cut -d : -f 1 | sort -u | paste -s -d ' ' -)
  [ -z "$tools" ] || printf '  %s (%s)\n' "$file" "${tools// /, }"
done
grep -q '^import-linter: ' "$report" && echo "  the imports that import-linter names above"
[ "$fix" = yes ] || echo "./super_linter.sh --fix mends what black and ruff can mend."
exit 1
