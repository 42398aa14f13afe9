#!/bin/sh
# A coordinator's life in the demonstration: keys, a token for each of INSTITUTIONS, an open door until all have joined, one run.
. /opt/fedstill/exchange.sh
host=${FEDSTILL_HOST:-coordinator}

roster() { fedstill coordinator roster "$data" --json | python3 -c "import json,sys; found = json.load(sys.stdin); print($1)"; }
all_joined() { [ "$(roster 'len(found["members"])')" -ge "$(echo "$INSTITUTIONS" | wc -w)" ]; }

[ -e "$data/keys/identity.key" ] || fedstill coordinator init "$data" --config "$exchange/federation.toml" --host "$host"
if [ ! -e "$exchange/roster.digest" ]; then
  umask 077
  for name in $INSTITUTIONS; do
    [ -e "$exchange/$name.token" ] && continue
    fedstill coordinator invite "$data" "$name" --address "$host:$port" >"$data/token"
    post "$data/token" "$name.token"
    rm "$data/token"
  done
  say "waiting for $INSTITUTIONS to join"
  fedstill coordinator open "$data" --port "$port" &
  door=$!
  wait_for 600 all_joined
  kill -TERM "$door"
  wait "$door" || true
  roster 'found["roster_digest"]' >"$data/roster.digest"
  post "$data/roster.digest" roster.digest
fi
exec fedstill coordinator run "$data" --port "$port" --wait "${WAIT:-900}"
