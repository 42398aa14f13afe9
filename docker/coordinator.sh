#!/bin/sh
# A coordinator's life in the demonstration: keys, the enrolments of EXPECTED institutions, the roster, one run.
. /opt/fedstill/exchange.sh

all_enrolled() { [ "$(find "$exchange" -name '*.enrolment.json' | wc -l)" -ge "${EXPECTED:-5}" ]; }

[ -e "$data/keys/identity.key" ] || fedstill coordinator init "$data" --config "$exchange/federation.toml" --host "${FEDSTILL_HOST:-coordinator}"
if [ ! -e "$exchange/roster.json" ]; then
  say "waiting for ${EXPECTED:-5} enrolments"
  wait_for 300 all_enrolled
  fedstill coordinator enrol "$data" "$exchange"/*.enrolment.json
  post "$data/keys/ca.crt" ca.crt
  post "$data/roster.json" roster.json
fi
exec fedstill coordinator run "$data" --port "$port" --wait "${WAIT:-900}"
