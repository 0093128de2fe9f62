# The server itself: who it says it is, when it is ready, its socket, and what it costs when idle.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
teardown() { after_test; }

runtime_condition() {
	crictl info | jq -r ".status.conditions[] | select(.type == \"$1\") | \"\(.status) \(.reason)\""
}

@test "crictl version" {
	run crictl version
	is "$status" 0
	like "$output" "RuntimeName: +[a-z]+"
	like "$output" "RuntimeVersion: +[^ ]+"
	like "$output" "RuntimeApiVersion: +v1"
}

@test "crictl info: ready, with a network" {
	like "$(runtime_condition RuntimeReady)" "^true"
	like "$(runtime_condition NetworkReady)" "^true"
}

@test "crictl info: runtime handlers, the default one under the empty name too" {
	run bash -c 'command crictl info | jq -c "[.runtimeHandlers[] | .name // \"\"] | sort"'
	is "$status" 0
	like "$output" '^\["",' "the empty name"
	like "$output" "runc"
	[ "$CRISP_SERVER" != crispd ] || like "$output" "crun"
}

@test "crictl info: without a CNI network not ready, with a reason; ready 2 s after one appears" {
	rm /etc/cni/net.d/*
	no_network() { [[ $(runtime_condition NetworkReady) == false* ]]; }
	within 5 no_network
	like "$(runtime_condition NetworkReady)" "^false [A-Za-z]+" "status and reason"
	like "$(crictl info | jq -r '.status.conditions[] | select(.type == "NetworkReady") | .message')" "[a-z]"
	like "$(runtime_condition RuntimeReady)" "^true"
	install_cni
	has_network() { [[ $(runtime_condition NetworkReady) == true* ]]; }
	within 2 has_network
}

@test "crictl info: a broken CNI file beside a good one leaves the network ready" {
	only_crisp
	printf '{"name": "half' >/etc/cni/net.d/20-half.conflist
	sleep "$CRISP_SLOW"
	like "$(runtime_condition NetworkReady)" "^true"
	rm /etc/cni/net.d/20-half.conflist
}

@test "a pod without any CNI network is refused and leaves nothing" {
	rm /etc/cni/net.d/*
	no_network() { [[ $(runtime_condition NetworkReady) == false* ]]; }
	within 5 no_network
	run run_pod lonely
	install_cni
	has_network() { [[ $(runtime_condition NetworkReady) == true* ]]; }
	within 2 has_network
	[ "$status" -ne 0 ]
	is "$(crictl pods -q)" ""
}

@test "crictl info -v: verbose status is JSON" {
	crirpc -e "$SERVER_SOCKET" Status '{"verbose": true}' | sed -n 3p | jq -e '.info | length > 0'
}

@test "runtime-config names the cgroup driver" {
	is "$(crirpc -e "$SERVER_SOCKET" RuntimeConfig | sed -n 3p | jq -r .linux.cgroupDriver)" "$(cgroup_manager | tr a-z A-Z)"
}

@test "update-runtime-config takes a pod CIDR" {
	is "$(rpc_code UpdateRuntimeConfig '{"runtime_config": {"network_config": {"pod_cidr": "10.88.0.0/16"}}}')" OK
}

@test "the socket is for root and its group only" {
	like "$(stat -c '%F %a' "$SERVER_SOCKET")" "^socket 660$"
}

@test "a second server on a live socket refuses to start and leaves it alone" {
	only_crisp
	run timeout "$((10 * CRISP_SLOW))" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
	[ "$status" -ne 0 ] && [ "$status" -ne 124 ]
	like "$output" "."
	crictl version >/dev/null
}

@test "an unknown configuration key is refused with file and line" {
	only_crisp
	printf '[crisp]\nroot = "/tmp"\nrooot = "/tmp"\n' >"$BATS_TEST_TMPDIR/bad.toml"
	run "$CRISPD" --config "$BATS_TEST_TMPDIR/bad.toml" config
	[ "$status" -ne 0 ]
	like "$output" "bad.toml:3"
}

@test "a monitor_cgroup that the cgroup manager has not: refused at the start" {
	only_crisp
	local manager wrong
	manager=$(cgroup_manager)
	wrong=$([ "$manager" = systemd ] && echo /crisp-monitors || echo crisp-monitors.slice)
	sed "s|^\[crisp.runtime.runtimes.runc\]|&\nmonitor_cgroup = \"$wrong\"|; s|/run/crisp\"|$BATS_TEST_TMPDIR/run\"|; s|\"$CRISP_ROOT\"|\"$BATS_TEST_TMPDIR/root\"|; s|$SERVER_SOCKET|$BATS_TEST_TMPDIR/s|" \
		"$WORK/crisp.toml" >"$BATS_TEST_TMPDIR/wrong.toml"
	run timeout 20 "$CRISPD" --config "$BATS_TEST_TMPDIR/wrong.toml" --config-dir "$BATS_TEST_TMPDIR"
	[ "$status" -eq 1 ]
	like "$output" "runtimes.runc: monitor_cgroup:"
}

@test "crispd config prints what is in force, and can be read back" {
	only_crisp
	"$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d" config >"$BATS_TEST_TMPDIR/printed.toml"
	grep -q "listen = \"$SERVER_SOCKET\"" "$BATS_TEST_TMPDIR/printed.toml"
	"$CRISPD" --config "$BATS_TEST_TMPDIR/printed.toml" --config-dir "$WORK/crisp.toml.d" config |
		diff "$BATS_TEST_TMPDIR/printed.toml" -
}

@test "crispd version names version and commit or build" {
	only_crisp
	like "$("$CRISPD" version)" "[0-9]+\.[0-9]+"
}

@test "crispd check looks at this host and names each finding" {
	only_crisp
	run "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d" check
	like "$output" "overlay"
	like "$output" "cgroup"
	like "$output" "conmon"
}

@test "idle: RssAnon under 4 MiB and at most 12 threads" {
	only_crisp
	case $(basename "$(dirname "$(dirname "$CRISPD")")") in dev | tsan) skip "a build with sanitizers" ;; esac
	stop_server
	start_server
	local anon threads
	settled() { [ "$(awk '/^Threads/ { print $2 }' "/proc/$(server_pid)/status")" -le 12 ]; }
	within 60 settled # threads of the start, ours and gRPC's, end when they have had nothing to do
	run cat "/proc/$(server_pid)/status"
	anon=$(awk '/^RssAnon/ { print $2 }' <<<"$output")
	threads=$(awk '/^Threads/ { print $2 }' <<<"$output")
	printf '# idle: RssAnon %s KiB, %s threads\n' "$anon" "$threads" >&3
	[ "$anon" -lt 4096 ]
	[ "$threads" -le 12 ]
}

@test "SIGTERM ends the server within the drain time and removes the socket" {
	only_crisp
	stop_server
	[ ! -e "$SERVER_SOCKET" ]
	start_server
}

@test "a stale socket is replaced" {
	only_crisp
	stop_server KILL
	[ -e "$SERVER_SOCKET" ]
	start_server
	crictl version >/dev/null
}

@test "nothing is left behind" { census_is_clean; }
