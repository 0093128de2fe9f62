# AppArmor, on hosts that have it: the default profile, profiles of one's own, none.

load ../lib/helper

if [ -e /sys/kernel/security/apparmor/profiles ]; then APPARMOR=yes; else APPARMOR=no; fi

setup_file() {
	[ "$APPARMOR" = yes ] || return 0
	suite_start
	printf 'profile crisp-it-no-tmp flags=(attach_disconnected) {\n file,\n network,\n capability,\n signal,\n deny /tmp/** w,\n}\n' |
		apparmor_parser --replace --skip-cache
}
teardown_file() {
	[ "$APPARMOR" = yes ] || return 0
	printf 'profile crisp-it-no-tmp {}\n' | apparmor_parser --remove
	suite_end
}
setup() { [ "$APPARMOR" = yes ] || skip "this host has no AppArmor"; }
teardown() { [ "$APPARMOR" != yes ] || after_test; }

# security FILTER: a container's configuration with this in its security context. (To crictl enums are numbers: RuntimeDefault 0,
# Unconfined 1, Localhost 2.)
security() {
	printf '.linux.security_context |= (. // {}) | .linux.security_context |= (%s)' "$1"
}

label() {
	in_container "$1" cat /proc/self/attr/current
}

label_of_init() {
	cat "/proc/$(crictl inspect "$1" | jq -r .info.pid)/attr/current"
}

loaded() {
	grep -q "^$1 (" /sys/kernel/security/apparmor/profiles
}

@test "crispd loads its profile at its start" {
	within 30 loaded crisp-default
	grep -q '^crisp-default (enforce)$' /sys/kernel/security/apparmor/profiles
}

@test "whoever names no profile, or RuntimeDefault, runs under the default one; execs too" {
	local pod container wish
	pod=$(run_pod default)
	for wish in . '.apparmor = {profile_type: 0}' '.apparmor_profile = "runtime/default"'; do
		container=$(run_container "$pod" default "c-$RANDOM" "$(security "$wish")")
		is "$(label_of_init "$container")" "crisp-default (enforce)"
		is "$(label "$container")" "crisp-default (enforce)"
		crictl stop -t 10 "$container" >/dev/null
		is "$(container_field "$container" .exitCode)" 0 "the default profile lets signals in"
	done
}

@test "the default profile: no mounts and nothing of the host's kernel, whatever the capabilities; all else works" {
	local pod container
	pod=$(run_pod denied)
	container=$(run_container "$pod" denied one "$(security '.capabilities.add_capabilities = ["ALL"] | .masked_paths = [] | .readonly_paths = []
		| .seccomp = {profile_type: 1}')")
	run in_container "$container" mount -t tmpfs none /tmp
	[ "$status" -ne 0 ]
	run in_container "$container" sh -c 'echo h >/proc/sysrq-trigger'
	like "$output" "[Pp]ermission denied"
	run in_container "$container" sh -c 'echo 1 >/proc/sys/vm/drop_caches'
	like "$output" "[Pp]ermission denied"
	run in_container "$container" cat /proc/kcore
	like "$output" "[Pp]ermission denied"
	in_container "$container" sh -c 'echo x >/tmp/file && rm /tmp/file && kill -0 $$ && cat /proc/$$/status >/dev/null && ls -l /proc/$$/fd >/dev/null'
	in_container "$container" sh -c 'sleep 100 & kill $! && wait $! || true'
}

@test "Unconfined and privileged: none" {
	local pod container wish
	pod=$(run_pod free '.linux.security_context.privileged = true')
	for wish in '.apparmor = {profile_type: 1}' '.apparmor_profile = "unconfined"' '.privileged = true' \
		'.privileged = true | .apparmor = {profile_type: 0}'; do
		container=$(run_container "$pod" free "c-$RANDOM" "$(security "$wish")")
		is "$(label_of_init "$container")" unconfined "$wish"
		is "$(label "$container")" unconfined "$wish"
	done
}

@test "Localhost: a loaded profile holds, by the new field and the old one, the new one first; one that is not loaded is refused" {
	local pod container wish
	pod=$(run_pod own)
	for wish in '.apparmor = {profile_type: 2, localhost_ref: "crisp-it-no-tmp"}' '.apparmor_profile = "localhost/crisp-it-no-tmp"' \
		'.apparmor_profile = "localhost/no-such" | .apparmor = {profile_type: 2, localhost_ref: "localhost/crisp-it-no-tmp"}'; do
		container=$(run_container "$pod" own "c-$RANDOM" "$(security "$wish")")
		is "$(label "$container")" "crisp-it-no-tmp (enforce)" "$wish"
		run in_container "$container" touch /tmp/file
		like "$output" "[Pp]ermission denied"
	done
	refused FailedPrecondition CreateContainer "$(jq -n --arg pod "$pod" --arg image "$BUSYBOX" --slurpfile config "$BATS_TEST_TMPDIR/own.pod.json" \
		'{pod_sandbox_id: $pod, sandbox_config: $config[0], config: {metadata: {name: "x"}, image: {image: $image},
		linux: {security_context: {apparmor: {profile_type: "Localhost", localhost_ref: "no-such"}}}}}')"
	like "$(rpc_text)" "no-such is not loaded"
}

@test "a default profile that somebody removed is loaded again" {
	local pod container
	pod=$(run_pod again)
	printf 'profile crisp-default {}\n' | apparmor_parser --remove
	run loaded crisp-default
	[ "$status" -ne 0 ]
	container=$(run_container "$pod" again one)
	is "$(label "$container")" "crisp-default (enforce)"
}

@test "without apparmor_parser: who asks for RuntimeDefault is refused, who asks for nothing runs without, and that is told once" {
	local pod container request
	printf 'profile crisp-default {}\n' | apparmor_parser --remove
	mount --bind /dev/null "$(command -v apparmor_parser)"
	stop_server
	start_server
	pod=$(run_pod bare)
	container=$(run_container "$pod" bare one) || true
	run_container "$pod" bare two >/dev/null || true
	request=$(jq -n --arg pod "$pod" --arg image "$BUSYBOX" --slurpfile config "$BATS_TEST_TMPDIR/bare.pod.json" \
		'{pod_sandbox_id: $pod, sandbox_config: $config[0], config: {metadata: {name: "x"}, image: {image: $image},
		linux: {security_context: {apparmor: {profile_type: "RuntimeDefault"}}}}}')
	rpc_code CreateContainer "$request" >"$BATS_TEST_TMPDIR/code"
	umount "$(command -v apparmor_parser)"
	is "$(cat "$BATS_TEST_TMPDIR/code")" FailedPrecondition
	like "$(rpc_text)" "apparmor_parser"
	is "$(label "$container")" unconfined
	is "$(grep -c "name no AppArmor profile run without one" "$SERVER_LOG")" 1
	three() { container=$(run_container "$pod" bare three) && [ "$(label "$container")" = "crisp-default (enforce)" ]; }
	sleep 5 # as long as the failure is remembered
	three
}

@test "a profile that was there and cannot be loaded again: nobody runs without; it is back in a minute, for execs, too" {
	local pod container
	pod=$(run_pod gone)
	container=$(run_container "$pod" gone one)
	printf 'profile crisp-default {}\n' | apparmor_parser --remove
	mount --bind /dev/null "$(command -v apparmor_parser)"
	run create_container "$pod" gone two
	umount "$(command -v apparmor_parser)"
	like "$output" "code = FailedPrecondition .*apparmor_parser"
	# The background's next round loads it.
	within 90 loaded crisp-default
	is "$(crictl exec "$container" cat /proc/self/attr/current)" "crisp-default (enforce)"
}

@test "a default profile of the configuration's: must be loaded; crispd check tells" {
	local pod container
	printf '[crisp.runtime]\napparmor_profile = "crisp-it-no-tmp"\n' >"$WORK/crisp.toml.d/profile.toml"
	stop_server
	start_server
	pod=$(run_pod named)
	container=$(run_container "$pod" named one)
	is "$(label "$container")" "crisp-it-no-tmp (enforce)"
	printf '[crisp.runtime]\napparmor_profile = "no-such"\n' >"$WORK/crisp.toml.d/profile.toml"
	run "$CRISPD" check --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d"
	like "$output" "sandbox.apparmor.*no-such is not loaded"
	stop_server
	start_server
	pod=$(run_pod strict)
	run create_container "$pod" strict one
	like "$output" "code = FailedPrecondition .*no-such is not loaded"
	rm "$WORK/crisp.toml.d/profile.toml"
	stop_server
	start_server
}

@test "nothing is left behind" { census_is_clean; }
