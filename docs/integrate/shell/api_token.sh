#!/bin/sh
# Makes a chat2llm api_token: what tells chat2llm which of your users is asking. Needs openssl 1.1 or newer.
#
#     sh api_token.sh oa_public.pem oa zhangsan 张三
#
# Runs on your own server only. Whoever has this "public" key can make a token for any of your users, so neither the
# key nor this code goes into a page, an app or a repository that others read.
set -eu
LC_ALL=C # lengths are in bytes

fail() {
  echo "$1" >&2
  exit 1
}

if [ $# -ne 4 ]; then
  echo "usage: sh api_token.sh PUBLIC_PEM CLIENT_ID USER_ID USERNAME" >&2
  exit 2
fi
key=$1 client_id=$2 user_id=$3 username=$4
hash_bytes=32 # SHA-256
bad_user_id='user_id must be 1 to 64 bytes, without |, invisible characters and spaces at its ends'
# The invisible characters that copying brings along; chat2llm refuses all there are.
zero_width=$(printf '\342\200\213') byte_order=$(printf '\357\273\277')

case $client_id in
  '' | *[!A-Za-z0-9_-]*) fail 'client_id must be 1 to 32 letters, digits, _ or -' ;;
esac
[ ${#client_id} -le 32 ] || fail 'client_id must be 1 to 32 letters, digits, _ or -'
case $user_id in
  '' | *'|'* | *[[:cntrl:]]* | *"$zero_width"* | *"$byte_order"* | ' '* | *' ') fail "$bad_user_id" ;;
esac
[ ${#user_id} -le 64 ] || fail "$bad_user_id"
case $username in
  *'|'*) fail 'username must not contain |' ;;
esac

plain="$client_id|$user_id|$username|$(date +%s)"
bits=$(openssl pkey -pubin -in "$key" -noout -text 2>/dev/null | sed -n 's/.*Public-Key: (\([0-9]*\) bit).*/\1/p')
[ -n "$bits" ] || fail "no RSA public key in $key"
too_long=$((${#plain} - (bits / 8 - 2 * hash_bytes - 2)))
[ $too_long -le 0 ] || fail "$too_long bytes too long for this key: shorten the username or leave it empty"

# All three must be named: without them openssl uses PKCS#1 v1.5, which chat2llm refuses.
sealed=$(printf %s "$plain" | openssl pkeyutl -encrypt -pubin -inkey "$key" -pkeyopt rsa_padding_mode:oaep \
  -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256 | openssl base64 -A)
[ -n "$sealed" ] || fail "the key in $key cannot encrypt"
printf '%s|%s' "$client_id" "$sealed" | openssl base64 -A
echo
