# SIGHUP: all of the new configuration or nothing of it, with what changed in the log; and what is live without it.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
setup() {
	only_crisp
	cp /etc/containers/registries.conf "$BATS_TEST_TMPDIR/registries.conf"
}
teardown() {
	cp "$BATS_TEST_TMPDIR/registries.conf" /etc/containers/registries.conf
	rm -f "$WORK/crisp.toml.d/test.toml"
	reload_says "reload: "
	after_test
}

lines() { wc -l <"$SERVER_LOG"; }

# reload_says TEXT: reloads, and waits until the log has that line behind what was there.
reload_says() {
	local before
	before=$(lines)
	kill -HUP "$(server_pid)"
	since() { tail -n "+$((before + 1))" "$SERVER_LOG" | grep -qE "$1"; }
	within 20 since "$1" || { tail -n "+$((before + 1))" "$SERVER_LOG"; return 1; }
}

configure() { printf '%s\n' "$@" >"$WORK/crisp.toml.d/test.toml"; }
debug_lines() { grep -c level=debug "$SERVER_LOG" || true; }
pinned() { crictl images -o json | jq -c '[.images[] | select(.pinned) | .repoTags[]] | length'; }

@test "what can change does, together, and is told of; the rest is told to wait for a restart" {
	local before pod
	pod=$(run_pod here)
	before=$(debug_lines)
	configure '[crisp.image]' "pinned_images = [\"$BUSYBOX\"]" '[crisp.runtime]' 'log_level = "debug"' 'pids_limit = 77'
	reload_says 'reload: changed" key=crisp.image.pinned_images old="\[\]" new=.*busybox'
	reload_says 'the configuration is the same'
	grep -q 'reload: changed" key=crisp.runtime.log_level .*info.*debug' "$SERVER_LOG"
	grep -q 'reload: takes effect after a restart" key=crisp.runtime.pids_limit' "$SERVER_LOG"
	is "$(pinned)" 1
	more() { [ "$(debug_lines)" -gt "$before" ]; }
	run_container "$pod" here one >/dev/null
	within 10 more
	rm "$WORK/crisp.toml.d/test.toml"
	reload_says 'key=crisp.image.pinned_images'
	is "$(pinned)" 0
}

@test "one mistake anywhere, and nothing of it counts: file and line are told" {
	local wrong
	for wrong in 'no_such_key = 1' 'drain_timeout = 10' 'drain_timeout = "10 parsecs"' 'drain_timeout = '; do
		configure '[crisp.image]' "pinned_images = [\"$BUSYBOX\"]" '[crisp.api]' "$wrong"
		reload_says 'reload: nothing changed: .*test.toml:4'
		is "$(pinned)" 0 "$wrong"
	done
	# a file of another kind that it names
	configure '[crisp.image]' "pinned_images = [\"$BUSYBOX\"]"
	printf '[[registry]\n' >/etc/containers/registries.conf
	reload_says 'reload: nothing changed: .*registries.conf'
	is "$(pinned)" 0
	crictl pull "$STAGING/test-image-tag:test" >/dev/null # by the old one
	crictl rmi "$STAGING/test-image-tag:test" >/dev/null
	is "$(crictl info | jq -r '.status.conditions[] | select(.type == "RuntimeReady").status')" true
}

@test "registries.conf: the next pull goes where it says now, a hundred reloads among calls do no harm" {
	local image="$STAGING/test-image-tag:test" i
	sed 's/127.0.0.1:5000/127.0.0.1:1/' "$BATS_TEST_TMPDIR/registries.conf" >/etc/containers/registries.conf
	reload_says 'reload: '
	is "$(rpc_code PullImage "{\"image\": {\"image\": \"$image\"}}" -t "$((60 * CRISP_SLOW))s")" Unknown
	like "$(rpc_text)" RegistryUnavailable
	cp "$BATS_TEST_TMPDIR/registries.conf" /etc/containers/registries.conf
	for ((i = 0; i < 100; i++)); do kill -HUP "$(server_pid)"; done 3>&- &
	for i in 1 2 3; do crictl rmp -f "$(run_pod "busy-$i")" >/dev/null; done
	wait "$!"
	reload_says 'reload: '
	crictl pull "$image" >/dev/null
	crictl rmi "$image" >/dev/null
}

@test "CNI: a network that is put there is the next pod's, without a reload; who has another stays on it" {
	local old new
	old=$(run_pod old)
	jq '.name = "other-it" | .plugins[0].bridge = "cni-other0" | .plugins[0].ipam.ranges = [[{subnet: "10.99.0.0/24"}]]' \
		"$CRISP_IT/bench/10-bench.conflist" >/etc/cni/net.d/05-other.conflist
	on_new() {
		new=$(run_pod "new-$RANDOM")
		[[ $(pod_field "$new" .network.ip) == 10.99.* ]] || { crictl rmp -f "$new" >/dev/null; return 1; }
	}
	within 20 on_new
	like "$(pod_field "$old" .network.ip)" '^10\.88\.'
	rm /etc/cni/net.d/05-other.conflist
	crictl rmp -f "$new" "$old" >/dev/null
	ip link del cni-other0 2>/dev/null || true
	find /var/lib/cni/networks -mindepth 1 -maxdepth 1 -name other-it -exec rm -r {} +
}

@test "nothing is left behind" { census_is_clean; }
