# What a node gives to containers: vendors' devices by CDI, hooks of hooks_dir, and defaults of the configuration.

load ../lib/helper

setup_file() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	mkdir -p "$WORK/cdi" "$WORK/hooks" "$WORK/said"
	chmod 0755 "$WORK/cdi" "$WORK/hooks"
	stop_server
	printf '[crisp.runtime]\ncdi_spec_dirs = ["%s"]\nhooks_dir = ["%s"]\ndefault_ulimits = ["nofile=512:600", "core=0"]\n' \
		"$WORK/cdi" "$WORK/hooks" >"$WORK/crisp.toml.d/devices.toml"
	printf 'timezone = "Asia/Tokyo"\n' >>"$WORK/crisp.toml.d/devices.toml"
	start_server
}
teardown_file() { suite_end; }
setup() {
	only_crisp
	POD=$(run_pod here)
}
teardown() {
	after_test
	rm -f "$WORK"/cdi/* "$WORK"/hooks/* "$WORK"/said/*
}

OWN_PID='.linux.security_context.namespace_options.pid = 1' # so that /proc/1 is the container's own

# put FILE: from stdin, as a package manager would: whole at once, and writable for root only.
put() {
	cat >"$1.new"
	chmod 0644 "$1.new"
	mv "$1.new" "$1"
}

own_device() {
	put "$WORK/cdi/vendor.json" <<-END
		{"cdiVersion": "0.7.0", "kind": "vendor.com/test",
		 "devices": [{"name": "nothing", "containerEdits": {
			"deviceNodes": [{"path": "/dev/nothing", "hostPath": "/dev/null", "permissions": "rw"}],
			"additionalGids": [4242]}}],
		 "containerEdits": {"env": ["VENDOR=here"],
			"mounts": [{"hostPath": "$WORK/cdi", "containerPath": "/opt/vendor", "options": ["ro", "rbind"]}]}}
	END
}

# hook STAGE COMMAND: runs for every container of the annotation said=yes; its output goes to said/STAGE.
hook() {
	printf '#!/bin/sh\n%s >%s/said/%s.new\nmv %s/said/%s.new %s/said/%s\n' "$2" "$WORK" "$1" "$WORK" "$1" "$WORK" "$1" \
		>"$WORK/hooks/$1.sh"
	chmod 0755 "$WORK/hooks/$1.sh"
	put "$WORK/hooks/$1.json" <<-END
		{"version": "1.0.0", "hook": {"path": "$WORK/hooks/$1.sh"}, "when": {"annotations": {"^said$": "^yes$"}}, "stages": ["$1"]}
	END
}

create_request() { # FILTER
	jq -nc --arg pod "$POD" --arg image "$BUSYBOX" --slurpfile sandbox "$BATS_TEST_TMPDIR/here.pod.json" '{pod_sandbox_id: $pod,
		sandbox_config: $sandbox[0], config: ({metadata: {name: "bad"}, image: {image: $image}, command: ["true"]} | '"$1"')}'
}

@test "a CDI device: its node, environment, mount and group" {
	local container
	own_device
	container=$(run_container "$POD" here one '.CDI_devices = [{name: "vendor.com/test=nothing"}]'" | $OWN_PID")
	is "$(in_container "$container" stat -c '%t:%T %F' /dev/nothing)" "1:3 character special file"
	in_container "$container" sh -c 'echo x >/dev/nothing'
	is "$(in_container "$container" cat /dev/nothing)" ""
	is "$(in_container "$container" sh -c 'echo $VENDOR')" here
	in_container "$container" test -s /opt/vendor/vendor.json
	run in_container "$container" touch /opt/vendor/x
	[ "$status" -ne 0 ]
	like "$(in_container "$container" grep Groups /proc/1/status)" "4242"
	container=$(run_container "$POD" here annotated '.annotations = {"cdi.k8s.io/old-kubelet": "vendor.com/test=nothing"}')
	in_container "$container" test -c /dev/nothing
	container=$(run_container "$POD" here without)
	in_container "$container" test ! -e /dev/nothing
}

@test "CDI names that mean nothing: InvalidArgument, and what is wrong with a file" {
	local name
	own_device
	for name in vendor.com/test vendor.com/test=absent /c=d 'a/b=../c'; do
		refused InvalidArgument CreateContainer "$(create_request ".CDI_devices = [{name: \"$name\"}]")"
	done
	refused InvalidArgument CreateContainer "$(create_request '.annotations = {"cdi.k8s.io/x": "vendor.com/test=nothing,y"}')"
	chmod 0666 "$WORK/cdi/vendor.json"
	refused InvalidArgument CreateContainer "$(create_request '.CDI_devices = [{name: "vendor.com/test=nothing"}]')"
	like "$(rpc_text)" "cdi/vendor.json: is writable for its group or for all"
	rm "$WORK/cdi/vendor.json"
	put "$WORK/cdi/vendor.yaml" <<<'cdiVersion: 0.7.0'
	refused InvalidArgument CreateContainer "$(create_request '.CDI_devices = [{name: "vendor.com/test=nothing"}]')"
	like "$(rpc_text)" "cdi/vendor.yaml: only JSON is read"
	grep -q 'CDI spec .*/vendor.yaml: only JSON is read, ignoring it' "$SERVER_LOG"
	is "$(crictl ps -aq)" ""
}

@test "hooks run at their stages, with a clean environment, for the containers they are for" {
	local container
	hook createRuntime 'env'
	hook poststart 'echo started'
	hook poststop 'echo stopped'
	container=$(create_container "$POD" here plain '.envs = [{key: "LD_PRELOAD", value: "/evil.so"}]')
	is "$(ls "$WORK/said")" ""
	container=$(create_container "$POD" here one '.annotations = {said: "yes"} | .envs = [{key: "LD_PRELOAD", value: "/none.so"}]')
	is "$(grep -vE '^(PWD|SHLVL|_|OLDPWD)=' "$WORK/said/createRuntime" | sort)" \
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	[ "$HANDLER" = runc ] || [ ! -e "$WORK/said/poststart" ] # runc 1.1 runs these at creation already
	stop_server KILL
	start_server
	crictl start "$container" >/dev/null
	said() { [ -e "$WORK/said/$1" ]; }
	within 10 said poststart
	is "$(cat "$WORK/said/poststart")" started
	crictl rm -f "$container" >/dev/null
	within 10 said poststop
	is "$(cat "$WORK/said/poststop")" stopped
}

@test "a hook that fails: its container fails, and nothing is left" {
	local request
	hook createRuntime '{ cat; exit 3; }' # one that ends unread is told of as a broken pipe
	request=$(create_request '.annotations = {said: "yes"}')
	unlike "$(rpc_code CreateContainer "$request")" "^OK$"
	like "$(rpc_text)" "hook"
	is "$(crictl ps -aq)" ""
	put "$WORK/hooks/createRuntime.json" <<<'{"version": "1.0.0"}' # the good version stays
	unlike "$(rpc_code CreateContainer "$request")" "^OK$"
	rm "$WORK/hooks/createRuntime.json"
	is "$(rpc_code CreateContainer "$request")" OK
}

@test "default_ulimits and timezone are seen inside" {
	local container
	container=$(run_container "$POD" here one "$OWN_PID")
	is "$(in_container "$container" grep 'Max open files' /proc/1/limits | xargs)" "Max open files 512 600 files"
	is "$(in_container "$container" sh -c 'ulimit -H -n; ulimit -c' | xargs)" "600 0" "of an exec"
	# Debian's runc 1.1.5 is built with a Go that may raise an exec's soft limit to the hard one and not take that back.
	[ "${HANDLER:-}" = runc ] || is "$(in_container "$container" sh -c 'ulimit -n')" 512 "of an exec"
	is "$(in_container "$container" sh -c 'cat /etc/localtime | md5sum')" "$(md5sum </usr/share/zoneinfo/Asia/Tokyo)"
	run in_container "$container" sh -c 'echo x >/etc/localtime'
	[ "$status" -ne 0 ]
}

@test "read_only: nothing can be written but to a few places" {
	local container
	stop_server
	printf '[crisp.runtime]\nread_only = true\n' >"$WORK/crisp.toml.d/read-only.toml"
	start_server
	container=$(run_container "$POD" here one)
	run in_container "$container" touch /x
	[ "$status" -ne 0 ]
	like "$output" "Read-only file system"
	in_container "$container" touch /run/x /tmp/x /var/tmp/x
	rm "$WORK/crisp.toml.d/read-only.toml"
	stop_server
	start_server
}

@test "nothing is left behind" {
	remove_pods
	census_is_clean
}
