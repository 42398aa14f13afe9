#!/bin/sh
# An institution's life in the demonstration: it joins by its token, fits its own teacher, pins the whole roster, and serves.
# Started again at any point, it goes on from there.
. /opt/fedstill/demo/post.sh

join() { fedstill client join - "$data" --config "$data/site.toml" <"$post/token"; }
pin_all() { fedstill client roster "$data" --accept "$(cat "$post/roster.digest")"; }

if [ ! -e "$data/keys/client.pem" ]; then
  say "waiting for a token"
  wait_for 600 test -e "$post/token"
  wait_for 60 join
fi
[ -e "$data/teacher" ] || fedstill teacher fit "$data" --federation "$data/federation.toml"
if [ ! -e "$data/pinned" ]; then
  say "waiting for the roster"
  wait_for 600 test -e "$post/roster.digest"
  wait_for 60 pin_all
  touch "$data/pinned"
fi
exec fedstill client run "$data" --metrics-port "$metrics_port"
