# The power goes at any instant: what was answered is there afterwards, what was not is whole or absent. The disk is a file; a copy
# of it, taken at once when crispd was killed, has what had been written to it by then and nothing of what was still in memory.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() {
	if [ -e "$WORK/cut" ]; then
		stop_server KILL
		power_off
		rm -r "${WORK:?}/cut"
		start_server
	fi
	after_test
}

# own_crispd: behind the same socket, on the disk in $WORK/cut/disk.
own_crispd() {
	mkdir -p "$WORK/cut/root" "$WORK/cut/run"
	mount -o loop "$WORK/cut/disk" "$WORK/cut/root" || skip "no loop devices"
	mount -t tmpfs run "$WORK/cut/run"
	detached "$SERVER_LOG" "$CRISPD" --config "$WORK/crisp.toml" --config-dir "$WORK/crisp.toml.d" \
		--root "$WORK/cut/root" --runroot "$WORK/cut/run"
	printf '%s\n' "$DETACHED" >"$WORK/server.pid"
	within 20 server_answers
	kill -0 "$(server_pid)"
}

ours() { pgrep '^(crisp-pause|conmon)' 2>/dev/null; }
none_left() { [ -z "$(ours)" ]; }

# What goes with the power: processes, mounts.
power_off() {
	local file
	for file in "$WORK"/cut/run/containers/*/pidfile; do
		[ ! -s "$file" ] || kill -KILL "$(cat "$file")" 2>/dev/null || true
	done
	ours | xargs -r kill -KILL 2>/dev/null || true
	within 10 none_left
	umount -R -l "$WORK/cut/root" 2>/dev/null || true
	umount -R -l "$WORK/cut/run" 2>/dev/null || true
}

host_pod() { run_pod "$1" '.linux.security_context.namespace_options.network = 2'; }

# Pods and containers, for as long as crispd answers; each is noted once it was answered.
make_some() {
	local pod container n
	for ((n = 0; ; n++)); do
		pod=$(host_pod "pod-$n" 2>/dev/null) || return 0
		printf '%s\n' "$pod" >>"$BATS_TEST_TMPDIR/pods"
		container=$(create_container "$pod" "pod-$n" "one-$n" '.linux.security_context.namespace_options.network = 2' 2>/dev/null) || return 0
		printf '%s\n' "$container" >>"$BATS_TEST_TMPDIR/containers"
	done
}

# missing FILE: lines of it that are not in standard input.
missing() {
	local there
	there=$(sort)
	comm -23 <(sort "$1") <(printf '%s\n' "$there")
}

look() { # IMAGE NAME COMMAND...: in a container of that image
	local image=$1 name=$2 pod
	shift 2
	pod=$(host_pod "$name")
	in_container "$(run_container "$pod" "$name" "$name" \
		".image.image = \"$image\" | .linux.security_context.namespace_options.network = 2")" "$@"
}

# CRISP_CUTS=500 for as many as the fault matrix asks.
@test "[22] the power goes while pods are made and images pulled: what was answered is there, all else is whole or absent" {
	local cut maker puller second="$STAGING/test-image-tag:test"
	stop_server
	for ((cut = 0; cut < ${CRISP_CUTS:-2}; cut++)); do
		mkdir -p "$WORK/cut"
		truncate -s 128M "$WORK/cut/disk"
		mkfs.ext4 -qF "$WORK/cut/disk"
		: >"$BATS_TEST_TMPDIR/pods"
		: >"$BATS_TEST_TMPDIR/containers"
		rm -f "$BATS_TEST_TMPDIR/pulled"
		own_crispd
		crictl pull "$BUSYBOX" >/dev/null
		make_some 3>&- &
		maker=$!
		{ crictl pull "$second" >/dev/null 2>&1 && touch "$BATS_TEST_TMPDIR/pulled"; } 3>&- &
		puller=$!
		sleep "$((RANDOM % 2)).$((RANDOM % 9))$((RANDOM % 10))"
		kill -KILL "$(server_pid)"
		cp --sparse=always "$WORK/cut/disk" "$WORK/cut/after"
		# what was answered before: nothing is answered now
		wait "$maker" "$puller" || true
		printf 'cut %s: %s pods, %s containers, image %s\n' "$cut" "$(wc -l <"$BATS_TEST_TMPDIR/pods")" \
			"$(wc -l <"$BATS_TEST_TMPDIR/containers")" "$(ls "$BATS_TEST_TMPDIR/pulled" 2>/dev/null)"
		power_off
		mv "$WORK/cut/after" "$WORK/cut/disk"
		own_crispd
		is "$(crictl pods -q --no-trunc | missing "$BATS_TEST_TMPDIR/pods")" "" "pods lost"
		is "$(crictl ps -aq --no-trunc | missing "$BATS_TEST_TMPDIR/containers")" "" "containers lost"
		[ ! -d "$WORK/cut/root/quarantine" ] || { ls "$WORK/cut/root/quarantine"; false; }
		[ ! -e "$BATS_TEST_TMPDIR/pulled" ] || crictl inspecti -q "$second" >/dev/null
		is "$(look "$BUSYBOX" whole busybox echo whole)" whole
		crictl pull "$second" >/dev/null
		is "$(look "$second" second cat /marker)" test
		remove_pods
		is "$(crictl pods -q)$(crictl ps -aq)" ""
		stop_server
		power_off
		rm -r "${WORK:?}/cut"
	done
	start_server
}

@test "nothing is left behind" { census_is_clean; }
