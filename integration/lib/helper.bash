# What every bats file loads: the server's life around a file, pods and containers from JSON, and assertions that print
# both values. Each file ends with the census as its last test: every test cleans up after itself (teardown removes its
# pods), so then all is as it was.
# shellcheck shell=bash

. "$BATS_TEST_DIRNAME/../lib/server.sh"

BUSYBOX=registry.k8s.io/e2e-test-images/busybox:1.29-2
NGINX=registry.k8s.io/e2e-test-images/nginx:1.14-2
STAGING=gcr.io/k8s-staging-cri-tools

if [ "${CRISP_VIEW:-}" = systemd ]; then CGROUP_PARENT=crisp-it.slice; else CGROUP_PARENT=/crisp-it; fi

# ---- around a file ----

# Server, network and the two main images; then a first pod with all that makes something lasting (the bridge, the port
# mapping's chains, cgroup parents), so that the census compares like with like.
suite_start() {
	[ -n "${CRISP_INSIDE:-}" ] || die "these tests run inside integration/enter: use integration/test"
	local pod container
	install_cni
	start_server
	crictl pull "$BUSYBOX" >/dev/null
	crictl pull "$NGINX" >/dev/null
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
	pod=$(run_pod warm-up '.port_mappings = [{container_port: 80, host_port: 18080}]')
	container=$(create_container "$pod" warm-up first)
	crictl start "$container" >/dev/null
	crictl exec -s "$container" true
	run_pod without-parent 'del(.linux.cgroup_parent)' >/dev/null
	remove_pods
	census_settled >"$BATS_FILE_TMPDIR/census"
}

# The next file starts without the settings of this one.
suite_end() {
	stop_server
	rm -f "${WORK:?}"/crisp.toml.d/*.toml
}

# The census, once two in a row agree: monitors and shims end a moment after the answer.
census_settled() {
	local last this tries
	this=$(census)
	for tries in 1 2 3 4 5 6 7 8 9 10; do
		sleep "0.$tries"
		last=$this
		this=$(census)
		[ "$last" != "$this" ] || break
	done
	printf '%s\n' "$this"
}

census_is_clean() {
	local tries
	for tries in 1 2 3 4 5; do
		census_settled >"$BATS_FILE_TMPDIR/census.now"
		if census_same "$BATS_FILE_TMPDIR/census" "$BATS_FILE_TMPDIR/census.now" >"$BATS_FILE_TMPDIR/census.diff"; then
			return 0
		fi
	done
	cat "$BATS_FILE_TMPDIR/census.diff"
	return 1
}

# Every pod with its containers, by the calls a kubelet makes.
remove_pods() {
	local pod
	for pod in $(crictl pods -q); do
		crictl stopp "$pod" >/dev/null
		crictl rmp "$pod" >/dev/null
	done
}

# The last lines of the server's log, or all since the test killed it last, without the middle when that is long.
log_of_test() {
	local all killed first
	all=$(wc -l <"$SERVER_LOG")
	killed=$(cat "$BATS_TEST_TMPDIR/killed-at" 2>/dev/null || printf '%s' "$all")
	first=$((killed < all - 15 ? killed + 1 : all - 14))
	[ "$killed" = "$all" ] || printf -- '--- killed at line %s of the server log\n' "$killed"
	printf -- '--- last lines of the server log\n'
	awk -v first="$first" -v all="$all" '
		NR < first { next }
		all - first >= 80 && NR >= first + 40 && NR <= all - 40 { if (NR == first + 40) print "..."; next }
		{ print NR ": " $0 }' "$SERVER_LOG"
}

# Called by teardown: what a failed test needs to be understood, then a clean server for the next one.
after_test() {
	if [ "${BATS_TEST_COMPLETED:-}" != 1 ] && [ -z "${BATS_TEST_SKIPPED:-}" ]; then
		log_of_test
	fi
	remove_pods
}

only_crisp() {
	[ "$CRISP_SERVER" = crispd ] || skip "a promise of crispd's"
}

# ---- a network plugin that can be made to wait ----

# Stands before the real bridge in plugin_dirs. When $WORK/slow holds the verb, it does its work, makes $WORK/reached, and
# answers only when $WORK/slow is gone.
slow_bridge() {
	mkdir -p "$WORK/plugins"
	cat >"$WORK/plugins/bridge" <<-END
		#!/bin/sh
		PATH=/usr/sbin:/usr/bin:/sbin:/bin
		if [ "\$(cat $WORK/slow 2>/dev/null)" != "\$CNI_COMMAND" ]; then exec $CRISP_CNI/bridge; fi
		answer=\$($CRISP_CNI/bridge)
		status=\$?
		: >$WORK/reached
		while [ -e $WORK/slow ]; do sleep 0.1; done
		printf '%s\n' "\$answer"
		exit \$status
	END
	chmod +x "$WORK/plugins/bridge"
	printf '[crisp.network]\nplugin_dirs = ["%s", "%s"]\n' "$WORK/plugins" "$CRISP_CNI" >"$WORK/crisp.toml.d/slow-bridge.toml"
}

# suite_start, with the slow bridge in its place.
slow_suite_start() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	slow_bridge
	stop_server
	start_server
}

be_slow_in() {
	rm -f "$WORK/reached"
	printf '%s' "$1" >"$WORK/slow"
}

reached() { [ -e "$WORK/reached" ]; }

# ---- pods and containers ----

# pod_file NAME [FILTER]: a pod's configuration, changed by a jq filter; prints its path.
pod_file() {
	local file=$BATS_TEST_TMPDIR/$1.pod.json
	jq -n --arg name "$1" --arg uid "$1-${BATS_TEST_NUMBER:-0}-$RANDOM$RANDOM" --arg logs "$BATS_TEST_TMPDIR/logs" \
		--arg parent "$CGROUP_PARENT" \
		'{metadata: {name: $name, namespace: "it", uid: $uid, attempt: 0}, hostname: $name, log_directory: $logs,
		labels: {app: $name}, annotations: {note: "of \($name)"}, linux: {cgroup_parent: $parent}}
		| '"${2:-.}" >"$file"
	printf '%s\n' "$file"
}

# run_pod NAME [FILTER]: prints the id; its configuration stays in NAME.pod.json for create_container.
run_pod() {
	crictl runp "$(pod_file "$@")"
}

# create_container POD PODNAME NAME [FILTER]: by default busybox, sleeping; prints the id.
create_container() {
	local file=$BATS_TEST_TMPDIR/$3.ctr.json
	jq -n --arg name "$3" --arg image "$BUSYBOX" \
		'{metadata: {name: $name, attempt: 0}, image: {image: $image, user_specified_image: $image},
		command: ["sh", "-c", "trap \"exit 0\" TERM; while :; do sleep 0.2; done"], log_path: "\($name).log",
		labels: {part: $name}, linux: {}}
		| '"${4:-.}" >"$file"
	crictl create "$1" "$file" "$BATS_TEST_TMPDIR/$2.pod.json"
}

# run_container: the same, started.
run_container() {
	local id
	id=$(create_container "$@")
	crictl start "$id" >/dev/null
	printf '%s\n' "$id"
}

# container_field ID FILTER, pod_field ID FILTER: from the raw status (numbers are numbers, enums are names).
container_field() {
	crirpc -e "$SERVER_SOCKET" ContainerStatus "{\"container_id\": \"$1\"}" | sed -n 3p | jq -r ".status | $2"
}

pod_field() {
	crirpc -e "$SERVER_SOCKET" PodSandboxStatus "{\"pod_sandbox_id\": \"$1\"}" | sed -n 3p | jq -r ".status | $2"
}

has_exited() {
	[ "$(container_field "$1" .state)" = CONTAINER_EXITED ]
}

in_container() {
	crictl exec -s "$@"
}

# ---- limits ----

# with_controller NAME: whether pods can be limited by it here.
with_controller() {
	[ -d "/sys/fs/cgroup/$1" ] || grep -qsw "$1" /sys/fs/cgroup/cgroup.controllers
}

# The folder of a process's cgroup that has its limits, of the given v1 hierarchy or the unified one; crun's own below a scope has none.
cgroup_folder() { # PID CONTROLLER
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		sed -n 's|^0::|/sys/fs/cgroup|p' "/proc/$1/cgroup" | sed 's|/container$||'
	else
		awk -F: -v want="$2" '("," $2 ",") ~ ("," want ",") { print "/sys/fs/cgroup/" want $3 }' "/proc/$1/cgroup"
	fi
}

# limits_in MEMORY_FOLDER CPU_FOLDER: memory limit, CPU shares (v1) or weight (v2), CPU quota.
limits_in() {
	if [ -e "$1/memory.max" ]; then
		printf '%s %s %s\n' "$(cat "$1/memory.max")" "$(cat "$2/cpu.weight")" "$(cut -d' ' -f1 "$2/cpu.max")"
	else
		printf '%s %s %s\n' "$(cat "$1/memory.limit_in_bytes")" "$(cat "$2/cpu.shares")" "$(cat "$2/cpu.cfs_quota_us")"
	fi
}

# limits_of CONTAINER
limits_of() {
	local pid
	pid=$(crictl inspect "$1" | jq -r .info.pid)
	limits_in "$(cgroup_folder "$pid" memory)" "$(cgroup_folder "$pid" cpu)"
}

# limited MEMORY SHARES QUOTA: what limits_in says then, as a pattern: runtimes have two formulas for the weight, the older one linear.
limited() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		printf '^%s (%s|%s) %s$\n' "$1" $((1 + ($2 - 2) * 9999 / 262142)) \
			"$(awk -v s="$2" 'BEGIN { l = log(s) / log(2); w = 10 ^ ((l * l + 125 * l) / 612 - 7 / 34); print w == int(w) ? w : int(w) + 1 }')" "$3"
	else
		printf '^%s %s %s$\n' "$@"
	fi
}

# The host's own, which a runtime may give to a container's user.
null_is_roots() {
	[ "$(stat -c '%u:%g %a' /dev/null)" = "0:0 666" ]
}

now_ms() {
	local now
	now=$(date +%s%N)
	printf '%s\n' "$((now / 1000000))"
}

# rpc_code METHOD JSON [OPTION...]: the code's name; what crirpc said is kept in $BATS_TEST_TMPDIR/rpc.
rpc_code() {
	local method=$1 json=$2
	shift 2
	crirpc -e "$SERVER_SOCKET" "$@" "$method" "$json" >"$BATS_TEST_TMPDIR/rpc" || true
	head -n 1 "$BATS_TEST_TMPDIR/rpc"
}

rpc_text() {
	sed -n 2p "$BATS_TEST_TMPDIR/rpc"
}

# refused CODE METHOD JSON [OPTION...]: answered with this code and a text, and the connection lives.
refused() {
	local want=$1
	shift
	is "$(rpc_code "$@")" "$want" "code of $1"
	[ -n "$(rpc_text)" ] || { printf '%s: no text\n' "$1"; return 1; }
	is "$(tail -n 1 "$BATS_TEST_TMPDIR/rpc")" "connection: survived"
}

# ---- assertions ----

is() {
	[ "$1" = "$2" ] && return
	printf '%s: have [%s], want [%s]\n' "${3:-value}" "$1" "$2"
	return 1
}

like() {
	[[ $1 =~ $2 ]] && return
	printf '%s: have [%s], want a match of [%s]\n' "${3:-value}" "$1" "$2"
	return 1
}

unlike() {
	[[ $1 =~ $2 ]] || return 0
	printf '%s: have [%s], want no match of [%s]\n' "${3:-value}" "$1" "$2"
	return 1
}
