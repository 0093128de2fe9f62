# The server under test. Sourced inside integration/enter.
#
# CRISP_SERVER   crispd (default), or containerd: the peer, to measure against and to prove the tests themselves on
# HANDLER        crun (default) or runc: the OCI runtime of every pod that names none
# CRISP_RUNC     the runc binary (default: the one in PATH)
# CRISP_NEW_RUNC another handler's, "runc-new": a current runc
# CRISP_CNI      the folder of the CNI plugins (default: Debian's)
# CRISP_NEW_CNI  one of current plugins, which a test file puts before it
# CRISP_SYNC     false: crispd writes no pulled image to the disk before it answers
# CRISP_SLOW     factor on every wait, for machines emulated in software
# Everything is kept in $WORK; the server's log is $SERVER_LOG. This is the one place that knows crispd's configuration keys.
# shellcheck shell=bash

. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
. "$(dirname "${BASH_SOURCE[0]}")/census.sh"

CRISP_SERVER=${CRISP_SERVER:-crispd}
HANDLER=${HANDLER:-crun}
CRISP_SLOW=${CRISP_SLOW:-1}
CRISP_RUNC=${CRISP_RUNC:-$(command -v runc || true)}
CRISP_CNI=${CRISP_CNI:-/usr/lib/cni}
CRISPD=${CRISPD:-$CRISP_BUILD/server/crispd}
SERVER_LOG=$WORK/server.log
if [ "$CRISP_SERVER" = containerd ]; then
	CRISP_PEERS=${CRISP_PEERS:-$("$CRISP_IT/tools/build" peers)}
	CRISP_RUNC=$CRISP_PEERS/runc # its OCI specification is newer than Debian's runtimes accept
	HANDLER=runc
	CRISP_ROOT=/var/lib/containerd
	SERVER_SOCKET=/run/containerd/containerd.sock
else
	CRISP_ROOT=/var/lib/crisp
	SERVER_SOCKET=/run/crisp/crisp.sock
fi
export CONTAINER_RUNTIME_ENDPOINT=unix://$SERVER_SOCKET IMAGE_SERVICE_ENDPOINT=unix://$SERVER_SOCKET
export PATH=$CRISP_TOOLS:$PATH CRISP_SERVER HANDLER CRISP_SLOW CRISP_RUNC CRISP_CNI CRISPD CRISP_ROOT
printf 'runtime-endpoint: unix://%s\nimage-endpoint: unix://%s\n' "$SERVER_SOCKET" "$SERVER_SOCKET" >/etc/crictl.yaml

# crictl with a deadline that fits a slow machine; it ends before collecting garbage is worth its time.
crictl() {
	GOGC=off command crictl --timeout "$((30 * CRISP_SLOW))s" "$@"
}

# within SECONDS COMMAND...: true as soon as COMMAND is, false when the time is over.
within() {
	local end=$((SECONDS + $1 * CRISP_SLOW))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# The network the tests' pods live in; benches take another from CRISP_CONFLIST.
install_cni() {
	cp "${CRISP_CONFLIST:-$CRISP_IT/bench/10-bench.conflist}" /etc/cni/net.d/10-bench.conflist
}

new_runc_table() {
	[ -z "${CRISP_NEW_RUNC:-}" ] || printf '[crisp.runtime.runtimes.runc-new]\nruntime_path = "%s"\n' "$CRISP_NEW_RUNC"
}

cgroup_manager() {
	if [ "${CRISP_VIEW:-}" = systemd ]; then printf 'systemd\n'; else printf 'cgroupfs\n'; fi
}

write_crispd_config() {
	cat >"$WORK/crisp.toml" <<-END
		[crisp]
		root = "$CRISP_ROOT"
		runroot = "/run/crisp"
		[crisp.api]
		listen = "$SERVER_SOCKET"
		[crisp.runtime]
		default_runtime = "$HANDLER"
		cgroup_manager = "$(cgroup_manager)"
		log_level = "${CRISP_LOG_LEVEL:-info}"
		[crisp.runtime.runtimes.runc]
		runtime_path = "$CRISP_RUNC"
		$(new_runc_table)
		[crisp.image]
		registries_conf = "/etc/containers/registries.conf"
		sync = ${CRISP_SYNC:-true}
		[crisp.network]
		network_dir = "/etc/cni/net.d"
		plugin_dirs = ["$CRISP_CNI", "/opt/cni/bin"]
	END
	mkdir -p "$WORK/crisp.toml.d"
}

write_containerd_config() {
	mkdir -p "$WORK/certs.d/_default" /run/containerd "$WORK/ctd"
	mkdir -p "$CRISP_ROOT"
	mountpoint -q "$CRISP_ROOT" || mount --bind "$WORK/ctd" "$CRISP_ROOT"
	printf 'server = "http://127.0.0.1:%s"\n[host."http://127.0.0.1:%s"]\n  capabilities = ["pull", "resolve"]\n' \
		"$CRISP_REGISTRY_PORT" "$CRISP_REGISTRY_PORT" >"$WORK/certs.d/_default/hosts.toml"
	sed -e "s|@ROOT@|$CRISP_ROOT|; s|@RUN@|/run/containerd|; s|@CONF@|$WORK|; s|@HANDLER@|$HANDLER|; s|@RUNC@|$CRISP_RUNC|; s|@CNI@|$CRISP_CNI|" \
		"$CRISP_IT/bench/containerd.toml" >"$WORK/containerd.toml"
}

server_pid() {
	cat "$WORK/server.pid"
}

server_answers() {
	kill -0 "$(server_pid)" 2>/dev/null || return 0
	command crictl --timeout 1s pods -q >/dev/null 2>&1
}

# Starts it and waits until it answers; on failure its log is shown.
start_server() {
	case $CRISP_SERVER in
	containerd)
		write_containerd_config
		PATH=$CRISP_PEERS:$PATH detached "$SERVER_LOG" "$CRISP_PEERS/containerd" -c "$WORK/containerd.toml"
		;;
	*)
		[ -x "$CRISPD" ] || die "there is no $CRISPD: build the release preset first"
		write_crispd_config
		detached "$SERVER_LOG" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
		;;
	esac
	printf '%s\n' "$DETACHED" >"$WORK/server.pid"
	if ! within 20 server_answers || ! kill -0 "$(server_pid)" 2>/dev/null; then
		printf 'the server did not come up:\n' >&2
		tail -n 20 "$SERVER_LOG" >&2
		return 1
	fi
}

server_gone() {
	! kill -0 "$(server_pid)" 2>/dev/null
}

# stop_server [SIGNAL]: and waits for its end. Where the log was when a test killed it is kept, for when that test fails.
stop_server() {
	[ "${1:-}" != KILL ] || [ -z "${BATS_TEST_TMPDIR:-}" ] || wc -l <"$SERVER_LOG" >"$BATS_TEST_TMPDIR/killed-at"
	kill "-${1:-TERM}" "$(server_pid)" 2>/dev/null || true
	within 20 server_gone
}
