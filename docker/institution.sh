#!/bin/sh
# An institution's life in the demonstration: its own keys, its enrolment, what it pins, its own teacher, its service.
. /opt/fedstill/exchange.sh

[ -e "$data/keys/identity.key" ] || fedstill client init "$data" --config "$data/site.toml"
post "$data/enrolment.json" "$(hostname).enrolment.json"
[ -e "$data/teacher" ] || fedstill teacher fit "$data" --federation "$exchange/federation.toml"
say "waiting for the roster"
wait_for 600 test -e "$exchange/roster.json"
fedstill client pin "$data" "$exchange/roster.json" --ca "$exchange/ca.crt" --address "${COORDINATOR:-coordinator}:$port"
exec fedstill client run "$data"
