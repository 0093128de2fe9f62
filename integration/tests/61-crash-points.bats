# crispd ends between any two steps of a call, and at random under load: after the next start the call is finished or undone,
# repeating it gives exactly one object, nothing that was answered is lost, and nothing is left behind. (tools/crichaos)
#
# CRISP_SWEEP=full takes every pass of every point of every RPC, CRISP_SWEEP=most the first and the last; CRISP_KILLS is the number
# of random kills (integration/bench/churn has more of those).

load ../lib/helper

setup_file() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	crictl pull "$SPARE" >/dev/null
	crictl rmi "$SPARE" >/dev/null
	stop_server
	mkdir -p "$WORK/crashes" "$WORK/logs"
}
teardown_file() { stop_server; }

SPARE=$STAGING/test-image-1:latest

chaos() { # PROGRAM OPTION... MODE...
	local program=$1
	shift
	crichaos -server "$program --config $WORK/crisp.toml --config-dir $WORK/crisp.toml.d" -socket "$SERVER_SOCKET" \
		-image "$BUSYBOX" -spare "$SPARE" -parent "$CGROUP_PARENT" -logs "$WORK/logs" -output "$SERVER_LOG" "$@" 3>&-
}

# Fewer firewall rules make for more crashes a minute; the churn has the whole network.
plain_network() {
	jq 'del(.plugins[] | select(.type == "portmap")) | .plugins[0].ipMasq = false' "$CRISP_IT/bench/10-bench.conflist" \
		>/etc/cni/net.d/10-bench.conflist
}

@test "a crash at each point between two steps of each RPC" {
	only_crisp
	local how
	case ${CRISP_SWEEP:-once} in
	once) how=-once ;;
	full) how=-full ;;
	*) how= ;;
	esac
	[ -x "$CRISP_BUILD/server/crispd-crash" ]
	grep -rhoE 'crash_point\("[a-z_.]+"\)' --include='*.c' "$CRISP_TREE"/{base,image,cni,conmon,sandbox,server} | cut -d'"' -f2 |
		sort -u >"$WORK/points"
	plain_network
	run chaos "$CRISP_BUILD/server/crispd-crash" -crashes "$WORK/crashes" -points "$WORK/points" $how sweep
	printf '%s\n' "$output"
	printf '# %s\n' "${lines[-1]}" >&3
	install_cni
	[ "$status" -eq 0 ]
	like "${lines[-1]}" "^[0-9]{2,} crashes at $(wc -l <"$WORK/points") names .* 0 failures$"
}

@test "kill -9 at random, while 8 workers make, start, exec into, stop and remove" {
	only_crisp
	run chaos "$CRISPD" churn -kills "${CRISP_KILLS:-20}"
	printf '%s\n' "$output"
	printf '# %s\n' "${lines[-1]}" >&3
	[ "$status" -eq 0 ]
	like "${lines[-1]}" "^${CRISP_KILLS:-20} kills, [0-9]+ pods lived, .* 0 failures$"
}

@test "nothing is left behind" {
	start_server
	rm -rf "$WORK/crashes" "$WORK/logs"
	census_is_clean
}
