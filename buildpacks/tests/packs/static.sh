# shellcheck shell=bash
# expected=REGEX head_has PATH [CURL OPTION]...: a line of the answer's head.
head_has() {
  if get "$@" -D - -o /dev/null && grep -qiE "$expected" <<<"$answer"; then return 0; fi
  echo "        got: $answer"
  return 1
}

case_begin static-plain static-plain
claim 'builds a directory with index.html' build static
claim 'has a default web type' grep -q serve <(type_of web)
dyno "$(type_of web)"
claim 'serves index.html' answers_with / 'plain site'
claim 'serves the index of a directory' answers_with /docs/ 'docs'
expected='^location: /docs/' claim 'redirects to it by path alone' head_has /docs
claim 'shows the 404 page of the site' answers_with /nothing 'not found, says the site'
expected='^HTTP/1.1 404' claim 'with status 404' head_has /nothing
expected='^HTTP/1.1 404' claim 'does not serve dot files' head_has /.env
expected='^HTTP/1.1 404' claim "nor what is the platform's" head_has /.profile.d/x.sh
expected='^content-encoding: gzip' claim 'compresses' head_has /site.css -H 'Accept-Encoding: gzip'
expected='^etag: ' claim 'has an ETag' head_has /site.css
expected='^cache-control: no-cache' claim 'lets clients ask again' head_has /site.css
claim 'logs no requests' test -z "$("$docker" logs "$dyno_id" 2>&1 | grep -v '404\|open()')"
stop

case_begin static-spa static-spa
claim 'builds with static.json' build static
claim 'says what it serves' says 'Serving dist/'
dyno "$(type_of web)"
claim 'serves index.html' answers_with / spa
claim 'falls back to index.html' answers_with /some/deep/path spa
claim 'has clean URLs' answers_with /about about
claim 'takes the first route that fits' answers_with /api/x/y about
expected='^location: /about' claim 'redirects' head_has /old/thing
expected='^HTTP/1.1 302' claim 'with the status asked for' head_has /old/thing
expected='^x-frame-options: DENY' claim 'sends headers' head_has /some/path
expected='^cache-control: max-age=60' claim 'for paths' head_has /about
expected='^cache-control: public, max-age=31536000, immutable' claim 'caches hashed names' head_has /assets/app.0123abcd.js
expected='^location: https://shop.example/x\?y=1' claim 'sends http to https' head_has '/x?y=1' -H 'Host: shop.example' -H 'X-Forwarded-Proto: http'
claim 'but not https' answers_with / spa -H 'X-Forwarded-Proto: https'
stop

for bad in '{ "root": oops }' '{ "root": "nowhere" }' '{ "root": "../.." }' '{ "rout": "x" }' '[]' \
  '{ "routes": { "/**": "none.html" } }' '{ "headers": { "/": { "Bad Name": "x" } } }' \
  '{ "headers": { "/": { "X": "a\nb" } } }' '{ "redirects": { "/": { "url": "/x", "status": 200 } } }'; do
  case_begin "static-bad" static-spa
  printf %s "$bad" >"$dir/build/static.json"
  refute "refuses $bad" build static
  claim 'says why' says "static.json can't be used"
done
