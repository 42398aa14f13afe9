#!/bin/sh
# An institution's life in the demonstration: it joins by its token, fits its own teacher, pins the whole roster, and serves.
. /opt/fedstill/exchange.sh
token=$exchange/$(hostname).token

join() { fedstill client join - "$data" --config "$data/site.toml" <"$token"; }
pin_all() { fedstill client roster "$data" --accept "$(cat "$exchange/roster.digest")"; }

if [ ! -e "$data/keys/client.pem" ]; then
  say "waiting for a token"
  wait_for 600 test -e "$token"
  wait_for 60 join
fi
[ -e "$data/teacher" ] || fedstill teacher fit "$data" --federation "$exchange/federation.toml"
if [ ! -e "$data/pinned" ]; then
  say "waiting for the roster"
  wait_for 600 test -e "$exchange/roster.digest"
  wait_for 60 pin_all
  touch "$data/pinned"
fi
exec fedstill client run "$data"
