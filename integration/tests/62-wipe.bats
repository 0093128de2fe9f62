# crispd wipe: it removes what crispd made and nothing else, and refuses where that could do harm. Roots of the test's own.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() {
	crictl version >/dev/null 2>&1 || start_server
	after_test
}

wipe() { timeout "$((120 * CRISP_SLOW))" "$CRISPD" wipe --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d" "$@"; }

# What there is of pods and containers anywhere.
traces() {
	pgrep -l '^(crisp-pause|conmon)' || true
	find /run/crisp/{ns,pods,containers,exits,attach} "$CRISP_ROOT"/{pods,containers,trash,quarantine} -mindepth 1 -maxdepth 1 2>/dev/null
	find /var/lib/cni/networks/crisp-it -name '10.*' 2>/dev/null || true
	grep -o " $CRISP_ROOT/[^ ]*rootfs" /proc/self/mountinfo || true
}

@test "wipe: refused while a crispd serves, and nothing is touched" {
	local pod
	pod=$(run_pod here)
	for force in "" --force; do
		run wipe $force
		is "$status" 1
		like "$output" "in use by another crispd \(pid $(server_pid)\)"
	done
	is "$(pod_field "$pod" .state)" SANDBOX_READY
}

@test "wipe: refused while containers run; forced, pods, containers and addresses go, images stay" {
	local pod container init images
	pod=$(run_pod here '.port_mappings = [{container_port: 80, host_port: 18091}]')
	container=$(run_container "$pod" here worker)
	create_container "$pod" here never-started >/dev/null
	run_pod other 'del(.linux.cgroup_parent)' >/dev/null
	init=$(cat "/run/crisp/containers/$container/pidfile")
	images=$(crictl images -q | sort)
	stop_server
	run wipe
	is "$status" 1
	like "$output" "1 containers still run; --force"
	kill -0 "$init"
	run wipe --force
	is "$status $output" "0 removed 2 pods with their containers and 0 images"
	[ ! -e "/proc/$init" ]
	is "$(traces)" ""
	run wipe
	is "$status $output" "0 removed 0 pods with their containers and 0 images"
	start_server
	is "$(crictl pods -q)$(crictl ps -aq)" ""
	is "$(crictl images -q | sort)" "$images"
	pod=$(run_pod again)
	[ -n "$(run_container "$pod" again worker)" ]
}

@test "wipe: what could not be read goes when forced, with the processes that it has" {
	local pod container broken
	pod=$(run_pod here)
	container=$(run_container "$pod" here worker)
	broken=$(run_container "$pod" here broken)
	stop_server KILL
	printf 'no JSON' >"$CRISP_ROOT/containers/$broken/state.json"
	start_server
	[ -d "$CRISP_ROOT/quarantine/container-$broken" ]
	crictl stop -t 0 "$container" >/dev/null
	stop_server
	run wipe
	is "$status" 1
	like "$output" "quarantine has 1 entries that may still run"
	run wipe --force
	is "$status" 0
	is "$(traces)" ""
	# what the runtime knew of it is not crispd's to know any more
	"$(command -v "$HANDLER")" --root "/run/crisp/$HANDLER" delete --force "$broken" 2>/dev/null || true
	find /sys/fs/cgroup -depth -name "crisp-$broken*" -type d -exec rmdir {} + 2>/dev/null || true
	find /run/crisp/exits -name "$broken*" -delete
	rmdir "$CRISP_ROOT/quarantine"
}

@test "wipe: a folder without crispd's mark, with another's, or a newer one's, is not touched" {
	local root=$BATS_TEST_TMPDIR/root options
	options=(--root "$root" --runroot "$BATS_TEST_TMPDIR/run" --listen "$BATS_TEST_TMPDIR/s")
	stop_server
	run wipe "${options[@]}" --force --images
	like "$status $output" "^0 .*nothing to wipe"
	mkdir -p "$root/pods/precious" "$root/images"
	: >"$root/crispd.lock"
	run wipe "${options[@]}" --force --images
	like "$status $output" "^0 .*nothing to wipe"
	for version in 'something else' '{"state": 1}' '{"crisp": "99.0", "state": 99}'; do
		printf '%s' "$version" >"$root/version"
		run wipe "${options[@]}" --force --images
		is "$status" 1 "$version"
		like "$output" "not crisp's|newer crisp"
	done
	[ -d "$root/pods/precious" ]
	is "$(find "$root" | wc -l)" 6
	# and crispd does not serve on a newer one's
	run timeout 10 "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d" "${options[@]}"
	is "$status" 1
	like "$output" "newer crisp \(99.0\)"
	rm -r "${BATS_TEST_TMPDIR:?}/root" "${BATS_TEST_TMPDIR:?}/run"
}

@test "wipe --images: nothing is left but the mark and empty folders" {
	local options=(--root "$BATS_TEST_TMPDIR/root" --runroot "$BATS_TEST_TMPDIR/run") pod
	stop_server
	# a crispd with a root of its own, behind the same socket
	detached "$SERVER_LOG" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d" "${options[@]}"
	printf '%s\n' "$DETACHED" >"$WORK/server.pid"
	within 20 server_answers
	crictl pull "$BUSYBOX" >/dev/null
	pod=$(run_pod here)
	run_container "$pod" here worker >/dev/null
	stop_server
	run wipe "${options[@]}" --force --images
	is "$status $output" "0 removed 1 pods with their containers and 1 images"
	is "$(find "$BATS_TEST_TMPDIR/root" -type f -printf '%P\n' | sort)" "$(printf 'crispd.lock\nversion')"
	is "$(find "$BATS_TEST_TMPDIR/root"/{layers,blobs,images,pods,containers,trash,tmp} -mindepth 2 2>/dev/null)" ""
	is "$(pgrep -l '^(crisp-pause|conmon)')" ""
	rm -r "${BATS_TEST_TMPDIR:?}/root" "${BATS_TEST_TMPDIR:?}/run"
	start_server
	crictl inspecti -q "$BUSYBOX" >/dev/null
}

@test "nothing is left behind" { census_is_clean; }
