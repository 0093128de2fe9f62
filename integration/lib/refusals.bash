# Requests that must be refused, and must make nothing. Loaded by bats suites after helper.bash; their setup calls remember.
# shellcheck shell=bash

UNKNOWN=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

# All that a request could have made: objects, their folders, images, and processes of ours.
made() {
	crictl pods -q | sort
	crictl ps -aq | sort
	crictl images -q | sort
	[ "$CRISP_SERVER" != crispd ] || find /run/crisp/{ns,pods,containers,exits} "$CRISP_ROOT"/{pods,containers,quarantine,images} \
		-mindepth 1 -maxdepth 1 2>/dev/null | sort
	ip -o link show type veth | wc -l
	pgrep -l '^(crisp-pause|crisp-exec|conmon|crun|runc|containerd-shim|pause)' | cut -d' ' -f2 | sort
}

remember() {
	made >"$BATS_TEST_TMPDIR/made"
}

nothing_made() {
	diff "$BATS_TEST_TMPDIR/made" <(made)
}

# refuses CODE METHOD JSON [OPTION...]: refused, and nothing was made.
refuses() {
	refused "$@"
	nothing_made
}

# crictl_refuses CODE ARGUMENT...: the same, of a crictl command.
crictl_refuses() {
	local code=$1
	shift
	run crictl "$@"
	[ "$status" -ne 0 ]
	like "$output" "code = $code "
	nothing_made
}

# json FILE FILTER: a request file for crirpc, changed by the filter.
json() {
	local file
	file=$(mktemp -p "$BATS_TEST_TMPDIR" request.XXXXXX)
	jq "$2" "$1" >"$file"
	printf '@%s\n' "$file"
}

# pod_request FILTER: RunPodSandbox of a good configuration, changed.
pod_request() {
	json "$(pod_file bad)" "{config: ., runtime_handler: \"\"} | $1"
}

# container_request POD FILTER: CreateContainer of a good configuration, changed. The pod's is that of run_pod's "box".
container_request() {
	jq -n --arg pod "$1" --arg image "$BUSYBOX" --slurpfile config "$BATS_TEST_TMPDIR/box.pod.json" \
		'{pod_sandbox_id: $pod, sandbox_config: $config[0], config: {metadata: {name: "bad"}, image: {image: $image},
		command: ["sleep", "60"], linux: {}}}' >"$BATS_TEST_TMPDIR/create.json"
	json "$BATS_TEST_TMPDIR/create.json" "$2"
}

# long COUNT CHARACTER
long() {
	head -c "$1" /dev/zero | tr '\0' "$2"
}
