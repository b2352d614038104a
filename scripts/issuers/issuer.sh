#!/bin/sh
# One golden token (see ../make_token_vectors.py): issuer.sh PEM PADDING raw|base64 OUTER PLAIN.
# PADDING: the -pkeyopt options of `openssl pkeyutl -encrypt`, none for its default.
set -eu
pem=$1 padding=$2 inner=$3 outer=$4 plain=$5

sealed() {
  # shellcheck disable=SC2086
  printf %s "$plain" | openssl pkeyutl -encrypt -pubin -inkey "$pem" $padding
}

body() {
  printf '%s|' "${plain%%|*}"
  if [ "$inner" = raw ]; then sealed; else sealed | openssl base64 -A; fi
}

case $outer in
  standard) body | openssl base64 -A ;;
  url-safe) body | openssl base64 -A | tr '+/' '-_' ;;
  unpadded) body | openssl base64 -A | tr -d '=' ;;
  lines) body | openssl base64 ;;
esac
