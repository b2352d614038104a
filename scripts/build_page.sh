#!/bin/sh
# Builds the page (web/dist) when its sources have changed since the last time. A page that cannot be built stops nobody:
# the server runs, and /h5/ shows the page that was built before, or says how to build one. With --strict it fails then;
# with --can it builds nothing and tells by its exit status whether it could.
cd "$(dirname "$0")/../web" || exit 1
[ -f package.json ] || exit 0
strict=${1:-}
# What Vite asks for.
is_new='const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
if [ "$strict" = --can ]; then
  command -v node >/dev/null && command -v npm >/dev/null && node -e "$is_new"
  exit
fi
stamp=node_modules/.built

give_up() { # REASON...
  if [ -f dist/index.html ]; then
    left="The page that was built before is served under /h5/."
  else
    left="The API runs all the same; /h5/ says how to build the page."
  fi
  printf '%s\n' "The page was not built: $*" "$left" >&2
  [ "$strict" = --strict ] && exit 1
  exit 0
}

# Folders count too: one that lost a file is newer.
changed=$(find . \( -name node_modules -o -path ./dist -o -path ./tests -o -path ./e2e -o -path ./unbuilt -o -name "*.tsbuildinfo" \) -prune \
  -o -newer "$stamp" -print 2>/dev/null | grep -v '^\.$' | head -n 1)
if [ -f dist/index.html ] && [ -f "$stamp" ] && [ -z "$changed" ]; then
  exit 0
fi

command -v node >/dev/null && command -v npm >/dev/null ||
  give_up "node and npm are not there; install Node.js 20.19 or newer."
node -e "$is_new" ||
  give_up "node $(node --version) is too old; install Node.js 20.19 or newer."

if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "Installing what builds the page (npm ci) …"
  npm ci --no-audit --no-fund || give_up "npm ci failed, see above. Does this machine reach the npm registry?"
fi
echo "Building the page …"
started=$(mktemp) || exit 1
trap 'rm -f "$started"' EXIT
npm run build || give_up "npm run build failed, see above."
node scripts/compress.mjs dist || give_up "its files could not be compressed, see above."
# As old as the beginning: what was changed meanwhile is built the next time.
touch -r "$started" "$stamp"
