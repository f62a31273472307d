#!/bin/sh
# Two services, web and orders, each with a ztproxy beside it; neither knows anything of TLS. Needs no root.
#
#   sh deploy/sidecar/run.sh            starts them, makes the calls below, and waits for Ctrl-C
#   sh deploy/sidecar/run.sh --once     the same, and ends
#
# PYTHON (default .venv/bin/python, else python3), RUN (a folder of its own, default ./ztproxy-sidecar),
# WEB_PORT and ORDERS_PORT (8443, 8444) may be set.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ -z "${PYTHON:-}" ]; then
	PYTHON=python3
	[ -x "$root/.venv/bin/python" ] && PYTHON=$root/.venv/bin/python
fi
run=${RUN:-$PWD/ztproxy-sidecar}
web_port=${WEB_PORT:-8443} orders_port=${ORDERS_PORT:-8444}

umask 077
mkdir -p "$run"
run=$(cd "$run" && pwd)
cp -R "$here/policies" "$run/"
"$PYTHON" "$here/identities.py" "$run" web orders

# NAME PORT PEER PEER-PORT
sidecar() {
	sed -e "s|@RUN@|$run|g" -e "s|@USER@|$(id -u)|g" -e "s|@NAME@|$1|g" -e "s|@PORT@|$2|g" -e "s|@PEER@|$3|g" \
		-e "s|@PEER_PORT@|$4|g" "$here/sidecar.yaml" >"$run/$1/sidecar.yaml"
}
sidecar web "$web_port" orders "$orders_port"
sidecar orders "$orders_port" web "$web_port"

started=""
stop() {
	trap - EXIT INT TERM
	for pid in $started; do kill -TERM "$pid" 2>/dev/null || true; done
	wait
}
trap stop EXIT
trap 'exit 130' INT TERM

for name in web orders; do
	"$PYTHON" "$here/service.py" serve "$name" "$run/$name/app.sock" &
	started="$started $!"
	"$PYTHON" -P -m ztproxy run --config "$run/$name/sidecar.yaml" 2>"$run/$name/sidecar.log" &
	started="$started $!"
done
for name in web orders; do
	tries=0
	until grep -q '^.*serving' "$run/$name/sidecar.log" && [ -S "$run/$name/app.sock" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 1200 ] || { cat "$run/$name/sidecar.log" >&2; exit 1; }
		sleep 0.1
	done
done

# FROM METHOD URL
call() {
	printf '%-7s %-5s %-40s ' "$1" "$2" "$3"
	"$PYTHON" "$here/service.py" call "$run/$1/outbound.sock" "$2" "$3"
}
call web GET http://orders.shop.example/orders/7
call web POST http://orders.shop.example/orders
call orders GET http://web.shop.example/health
call orders POST http://web.shop.example/orders      # the policy lets web alone do that
call web GET http://stock.shop.example/              # nobody that web may call
if [ "${1:-}" != --once ]; then
	echo "Ctrl-C ends; new SVIDs, taken up while all of it runs: $PYTHON $here/identities.py $run web orders"
	wait
fi
