# CreateContainer with fields that are wrong, and from images that are hostile: refused with the exact code and nothing made, or
# run without harm to the host. (Rows of the bad-input matrix are named in brackets.)

load ../lib/helper
load ../lib/refusals
. "$CRISP_IT/images/push.sh"

HOSTILE=127.0.0.1:5001
CANARY=/tmp/crisp-canary

setup_file() {
	mkdir -p /etc/containers/registries.conf.d "$BATS_FILE_TMPDIR/store"
	printf '[[registry]]\nprefix = "%s"\nlocation = "%s"\ninsecure = true\n' "$HOSTILE" "$HOSTILE" \
		>/etc/containers/registries.conf.d/hostile.conf
	OTEL_TRACES_EXPORTER=none detached "$BATS_FILE_TMPDIR/registry.log" "$CRISP_IT/images/registry" "$BATS_FILE_TMPDIR/store" 5001
	printf '%s\n' "$DETACHED" >"$BATS_FILE_TMPDIR/registry.pid"
	answers() { curl -fsS -o /dev/null "http://$HOSTILE/v2/" 2>/dev/null; }
	within 30 answers
	suite_start
	push_hostile
}
teardown_file() {
	suite_end
	kill "$(cat "$BATS_FILE_TMPDIR/registry.pid")"
	rm /etc/containers/registries.conf.d/hostile.conf
}
setup() {
	[[ $BATS_TEST_DESCRIPTION != nothing* ]] || return 0
	POD=$(run_pod box)
	rm -rf "$CANARY"
	mkdir "$CANARY"
	printf 'sings\n' >"$CANARY/file"
	remember
}
teardown() {
	after_test
	rm -rf "$CANARY"
}

# The layers of the fixtures' busybox, as layers of ours.
borrow_layers() {
	local fixtures=http://127.0.0.1:$CRISP_REGISTRY_PORT/v2/e2e-test-images/busybox digest number=0
	curl -fsS -H "Accept: ${PUSH_TYPE[docker.manifest]}" "$fixtures/manifests/1.29-2" >"$PUSH_WORK/busybox.json"
	for digest in $(jq -r '.layers[].digest' "$PUSH_WORK/busybox.json"); do
		curl -fsS "$fixtures/blobs/$digest" >"$PUSH_WORK/base$number.tar.gz"
		jq -n --arg diff "sha256:$(zcat "$PUSH_WORK/base$number.tar.gz" | sha256sum | cut -d' ' -f1)" --arg digest "$digest" \
			--argjson size "$(stat -c %s "$PUSH_WORK/base$number.tar.gz")" '{diff: $diff, digest: $digest, size: $size}' \
			>"$PUSH_WORK/base$number.json"
		number=$((number + 1))
	done
}

# hostile NAME CONFIG [FOLDER]: busybox with a layer on top, pushed as $HOSTILE/bad/NAME:1.
hostile() {
	local layers=(base0 base1)
	if [ -n "${3:-}" ]; then
		layer "$1" "$3"
		layers+=("$1")
	fi
	image oci "bad/$1" 1 "$2" "${layers[@]}"
}

push_hostile() {
	local n=0 user roots=$BATS_FILE_TMPDIR/roots path='"Env": ["PATH=/bin:/usr/bin"]'
	PUSH_URL=http://$HOSTILE PUSH_WORK=$BATS_FILE_TMPDIR/push
	mkdir -p "$PUSH_WORK"
	borrow_layers
	for user in 4294967296 +0 0x0 : a:9e9 2147483648 -1 root:4294967296; do
		hostile "user$n" "{$path, \"User\": \"$user\"}"
		n=$((n + 1))
	done
	hostile env '{"Env": ["PATH=/bin:/usr/bin", "NOVALUE", "*", "=x", "GOOD=1"]}'
	mkdir -p "$roots"/{links,dev,proc,etclink,fifo/etc,folder/etc/passwd,device/etc}
	ln -s "$CANARY" "$roots/links/cwd"
	ln -s ../../../../../../../..$CANARY "$roots/links/volume"
	ln -s "$CANARY" "$roots/links/target"
	ln -s "$CANARY/file" "$roots/links/file"
	hostile links "{$path, \"WorkingDir\": \"/cwd/made\", \"Volumes\": {\"/volume/made\": {}}}" "$roots/links"
	hostile up "{$path, \"Volumes\": {\"/../..$CANARY/made\": {}}}"
	ln -s "$CANARY" "$roots/dev/dev"
	hostile dev "{$path}" "$roots/dev"
	ln -s "$CANARY" "$roots/proc/proc"
	ln -s "$CANARY" "$roots/proc/sys"
	hostile proc "{$path}" "$roots/proc"
	ln -s "$CANARY" "$roots/etclink/etc"
	hostile etc "{$path}" "$roots/etclink"
	mkfifo "$roots/fifo/etc/passwd"
	hostile fifo "{$path, \"User\": \"www-data\"}" "$roots/fifo"
	hostile folder "{$path, \"User\": \"www-data\"}" "$roots/folder"
	mkdir -p "$roots/group/etc"
	mkfifo "$roots/group/etc/group"
	hostile group "{$path, \"User\": \"www-data\"}" "$roots/group"
	ln -s /proc/kcore "$roots/device/etc/passwd"
	hostile kcore "{$path, \"User\": \"www-data\"}" "$roots/device"
	mkdir -p "$roots/line/etc"
	head -c 20000000 /dev/zero | tr '\0' a >"$roots/line/etc/passwd"
	hostile line "{$path, \"User\": \"www-data\"}" "$roots/line"
}

# each CODE FILTER...: each change to a good request is refused so.
each() {
	local code=$1 change
	shift
	for change; do
		refuses "$code" CreateContainer "$(container_request "$POD" "$change")" || { printf 'with %s\n' "$change"; return 1; }
	done
}

# security FILTER: of the security context.
security() { printf '.config.linux.security_context |= (%s)' "$1"; }

canary_sings() {
	is "$(cat "$CANARY/file")" sings
	is "$(ls -A "$CANARY")" file
}

# with_image NAME [FILTER]: a create request from the hostile image.
with_image() {
	crictl pull "$HOSTILE/bad/$1:1" >/dev/null
	container_request "$POD" ".config.image.image = \"$HOSTILE/bad/$1:1\" | ${2:-.}"
}

@test "[10] a group without a user" {
	each InvalidArgument "$(security '.run_as_group = {value: 5}')" "$(security '.run_as_group = {value: 0}')"
}

@test "[11] CVE-2024-40635 CVE-2026-46680: users out of range, of the request and of the image" {
	only_crisp
	local id n
	for id in -1 2147483648 4294967296 9223372036854775807 -9223372036854775808; do
		each InvalidArgument "$(security ".run_as_user = {value: $id}")" \
			"$(security ".run_as_user = {value: 1} | .run_as_group = {value: $id}")" "$(security ".supplemental_groups = [$id]")"
	done
	each InvalidArgument "$(security '.run_as_user = {value: 1} | .run_as_username = "root"')"
	for n in 0 1 2 3 4 5 6 7; do
		crictl pull "$HOSTILE/bad/user$n:1" >/dev/null
	done
	remember
	for n in 0 1 2 3 4 5 6 7; do
		refuses InvalidArgument CreateContainer "$(with_image "user$n")"
	done
}

@test "[12] CVE-2022-4318: user names that are none" {
	only_crisp
	local name
	for name in 'a\nroot:x:0:0' 'a:b' 'a\u0000b' 'a\tb' +0 0x0 4294967296 no-such-user 'a b' "$(long 300 a)" "$(long 1000000 a)"; do
		each InvalidArgument "$(security ".run_as_username = \"$name\"")"
	done
}

@test "[13] capabilities that are none" {
	only_crisp
	each InvalidArgument "$(security '.capabilities.add_capabilities = ["NO_SUCH"]')" \
		"$(security '.capabilities.drop_capabilities = ["CAP_"]')" "$(security '.capabilities.add_capabilities = [""]')" \
		"$(security '.capabilities.add_ambient_capabilities = ["NO_SUCH"]')" \
		"$(security ".capabilities.add_capabilities = [\"$(long 100000 A)\"]")"
}

@test "[14] seccomp profiles: no name, relative, absent, too large, too deep, no profile" {
	only_crisp
	local dir=$BATS_TEST_TMPDIR reference
	truncate -s 100M "$dir/large"
	head -c 10000 /dev/zero | tr '\0' '[' >"$dir/deep"
	printf '{"defaultAction": "SCMP_ACT_NO_SUCH"}' >"$dir/action"
	printf '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}]}' >"$dir/argument"
	mkfifo "$dir/fifo"
	for reference in "" relative ../up "$dir/large" "$dir/deep" "$dir/action" "$dir/argument" "$dir/fifo" "$dir" "$dir/../x"; do
		each 'InvalidArgument' "$(security ".seccomp = {profile_type: \"Localhost\", localhost_ref: \"$reference\"}")"
	done
	each NotFound "$(security ".seccomp = {profile_type: \"Localhost\", localhost_ref: \"$dir/absent\"}")"
}

@test "[15] AppArmor profiles that are not loaded; SELinux options that are none" {
	only_crisp
	each FailedPrecondition "$(security '.apparmor = {profile_type: "Localhost", localhost_ref: "no-such-profile"}')" \
		"$(security '.apparmor_profile = "localhost/no-such-profile"')"
	each InvalidArgument "$(security '.apparmor = {profile_type: "Localhost", localhost_ref: ""}')" \
		"$(security '.apparmor_profile = "nonsense"')" "$(security '.selinux_options = {user: "a:b"}')" \
		"$(security '.selinux_options = {type: "a\nb"}')" "$(security '.selinux_options = {role: "a b"}')" \
		"$(security '.selinux_options = {level: "s0:c1\u0000"}')" "$(security ".selinux_options = {type: \"$(long 5000 a)\"}")"
}

@test "[16] mounts: no path, relative, upwards, the root; a source that is not there" {
	only_crisp
	local path
	for path in "" relative ../up /../up /a/../../b / /. "$(long 5000 a)" '/a\nb'; do
		each InvalidArgument ".config.mounts = [{host_path: \"/tmp\", container_path: \"$path\"}]"
	done
	for path in relative /tmp/../etc; do
		each InvalidArgument ".config.mounts = [{host_path: \"$path\", container_path: \"/data\"}]"
	done
	each InvalidArgument '.config.mounts = [{host_path: "", container_path: "/data"}]' \
		'.config.mounts = [{host_path: "/tmp", container_path: "/data", propagation: 9}]'
}

@test "[16] CVE-2024-9341 CVE-2024-45310: a mount's target that is a link of the image stays inside" {
	only_crisp
	local request
	crictl pull "$HOSTILE/bad/links:1" >/dev/null
	mkdir "$BATS_TEST_TMPDIR/source"
	for target in /target/inside /target /file /volume; do
		request=$(with_image links ".config.mounts = [{host_path: \"$BATS_TEST_TMPDIR/source\", container_path: \"$target\"}]")
		rpc_code CreateContainer "$request" >/dev/null
		crictl rm -af >/dev/null
		canary_sings
	done
}

@test "[17] recursive_read_only without readonly, or with propagation" {
	only_crisp
	each InvalidArgument '.config.mounts = [{host_path: "/tmp", container_path: "/data", recursive_read_only: true}]' \
		'.config.mounts = [{host_path: "/tmp", container_path: "/data", readonly: true, recursive_read_only: true, propagation: "PROPAGATION_BIDIRECTIONAL"}]' \
		'.config.mounts = [{host_path: "/tmp", container_path: "/data", readonly: true, recursive_read_only: true, propagation: "PROPAGATION_HOST_TO_CONTAINER"}]'
}

@test "[19] devices: none, permissions that are none, too many; CDI names that are none" {
	only_crisp
	each InvalidArgument '.config.devices = [{host_path: "/etc/passwd", container_path: "/dev/x", permissions: "rwm"}]' \
		'.config.devices = [{host_path: "/no/such", container_path: "/dev/x", permissions: "rwm"}]' \
		'.config.devices = [{host_path: "/dev/null", container_path: "/dev/x", permissions: "rwx"}]' \
		'.config.devices = [{host_path: "/dev/null", container_path: "dev/x", permissions: "r"}]' \
		'.config.devices = [{host_path: "/dev/null", container_path: "/dev/../x", permissions: "r"}]' \
		'.config.devices = [range(10001) | {host_path: "/dev/null", container_path: "/dev/x\(.)", permissions: "r"}]' \
		'.config.CDI_devices = [{name: "no-such-kind"}]' '.config.CDI_devices = [{name: "vendor.com/device=absent"}]' \
		'.config.CDI_devices = [{name: "../../x=y"}]' '.config.CDI_devices = [{name: ""}]'
}

@test "[20] environment: names that are none are refused; the image's nonsense is left out" {
	only_crisp
	local container
	each InvalidArgument '.config.envs = [{key: "", value: "x"}]' '.config.envs = [{key: "a=b", value: "x"}]' \
		'.config.envs = [{key: "a\u0000b", value: "x"}]' '.config.envs = [{key: "a", value: "x\u0000y"}]'
	crictl pull "$HOSTILE/bad/env:1" >/dev/null
	container=$(run_container "$POD" box env ".image.image = \"$HOSTILE/bad/env:1\"")
	is "$(in_container "$container" env | grep -E "NOVALUE|GOOD|\*|^=" | xargs)" "GOOD=1"
}

@test "[22] CVE-2024-21626 CVE-2026-55686: a working directory that leads elsewhere" {
	only_crisp
	each InvalidArgument '.config.working_dir = "relative"' ".config.working_dir = \"/$(long 8192 a)\"" '.config.working_dir = "/a\u0000"'
	local path
	local pid device host
	for path in /proc/self/fd/7 /proc/1/root/tmp /cwd/made /dev/made; do
		rpc_code CreateContainer "$(with_image links ".config.working_dir = \"$path\"")" >/dev/null
		run crictl start "$(crictl ps -aq)"
		if [ "$(crictl ps -q | wc -l)" = 1 ]; then
			pid=$(crictl inspect "$(crictl ps -q)" | jq .info.pid)
			device=$(stat -L -c %d "/proc/$pid/cwd")
			for host in / /tmp /dev /proc /run; do
				[ "$device" != "$(stat -c %d "$host")" ]
			done
		fi
		crictl rm -af >/dev/null
		canary_sings
		[ ! -e /dev/made ]
	done
}

@test "[23] resources: negative, too much, or not what they should be" {
	only_crisp
	local resources
	for resources in '{cpu_period: -1}' '{cpu_quota: -2}' '{cpu_shares: -1}' '{memory_limit_in_bytes: -2}' '{oom_score_adj: 1001}' \
		'{oom_score_adj: -1001}' '{cpuset_cpus: "0-9e9"}' '{cpuset_cpus: "0\n1"}' '{cpuset_mems: "x"}' '{unified: {"memory/max": "1"}}' \
		'{unified: {"../x": "1"}}' '{unified: {"": "1"}}' '{hugepage_limits: [{page_size: "../2MB", limit: 1}]}' \
		'{memory_limit_in_bytes: 1048576, memory_swap_limit_in_bytes: 1000}'; do
		each InvalidArgument ".config.linux.resources = $resources"
	done
}

@test "[23] an update with one bad value changes nothing" {
	only_crisp
	[ -d /sys/fs/cgroup/cpu ] || grep -q cpu /sys/fs/cgroup/cgroup.controllers 2>/dev/null || skip "no cpu controller"
	local container before
	container=$(run_container "$POD" box one '.linux.resources = {cpu_shares: 300}')
	before=$(container_field "$container" '.resources | tojson')
	refused InvalidArgument UpdateContainerResources \
		"{\"container_id\": \"$container\", \"linux\": {\"cpu_shares\": 700, \"cpuset_cpus\": \"nonsense\"}}"
	is "$(container_field "$container" '.resources | tojson')" "$before"
	is "$(container_field "$container" .resources.linux.cpuShares)" 300
}

@test "[24] CVE-2023-6476 CVE-2024-3154: annotations for the runtime reach it only when they are listed, exactly" {
	only_crisp
	local container annotations
	annotations='{"run.oci.systemd.subgroup": "x", "org.systemd.property.TimeoutStopUSec": "1", "io.kubernetes.cri-o.Devices": "/dev/kmsg",
		"run.oci.handler": "wasm", "module.wasm.image/variant": "compat", "run.oci.hooks.stdout": "/tmp/x", "run.oci.seccomp_bpf_data": "AAAA"}'
	container=$(run_container "$POD" box one ".annotations = $annotations")
	is "$(jq -c '.annotations | with_entries(select(.key | test("oci[.]|systemd|wasm|cri-o"))) | del(.["run.oci.seccomp_bpf_data"])' \
		"$CRISP_ROOT/containers/$container/bundle/config.json")" "{}"
	unlike "$(jq -r '.annotations["run.oci.seccomp_bpf_data"]' "$CRISP_ROOT/containers/$container/bundle/config.json")" "^AAAA"
	is "$(container_field "$container" '.annotations["run.oci.handler"]')" wasm # as the client set it
}

@test "[30] CVE-2022-1708 CVE-2022-31030: ExecSync of 64 MiB of output are cut to what fits into an answer of 16 MiB" {
	only_crisp
	local container script out
	container=$(run_container "$POD" box one)
	for script in 'head -c 67108864 /dev/zero' 'head -c 67108864 /dev/zero & head -c 67108864 /dev/zero >&2; wait'; do
		is "$(rpc_code ExecSync "$(jq -nc --arg id "$container" --arg script "$script" \
			'{container_id: $id, timeout: 60, cmd: ["sh", "-c", $script]}')" -t 120s)" OK
		sed -n 3p "$BATS_TEST_TMPDIR/rpc" >"$BATS_TEST_TMPDIR/answer"
		out=$(jq -r '[.stdout, .stderr | . // "" | length * 3 / 4] | add' "$BATS_TEST_TMPDIR/answer")
		[ "$out" -gt 16000000 ] && [ "$out" -le 16777216 ] || { printf '%s bytes\n' "$out"; false; }
	done
}

@test "[36] CVE-2022-23648: an image's volumes that lead upwards or through a link make nothing on the host" {
	only_crisp
	local name
	for name in links up; do
		rpc_code CreateContainer "$(with_image "$name")" >/dev/null
		crictl rm -af >/dev/null
		canary_sings
	done
}

@test "[39] CVE-2025-4437 CVE-2026-47262: a passwd or group file that is a FIFO, a folder, a link to a device, or one long line: an error, soon" {
	only_crisp
	local name begin
	for name in fifo folder kcore line group; do
		crictl pull "$HOSTILE/bad/$name:1" >/dev/null
		remember
		begin=$(now_ms)
		refuses InvalidArgument CreateContainer "$(with_image "$name")" -t 20s
		[ $(($(now_ms) - begin)) -lt $((5000 * CRISP_SLOW)) ]
	done
}

@test "[40] CVE-2024-5154 CVE-2026-41579 CVE-2023-27561: /dev, /proc, /sys or /etc of the image are links: refused, or without harm" {
	only_crisp
	local name container
	for name in dev proc etc; do
		if [ "$(rpc_code CreateContainer "$(with_image "$name" "$(security '.run_as_user = {value: 4242}')")" -t 30s)" = OK ]; then
			container=$(crictl ps -aq)
			run crictl start "$container"
			crictl rm -f "$container" >/dev/null
		fi
		canary_sings
	done
}

@test "CVE-2020-8557: a pod that writes to /etc/hosts, hostname and resolv.conf without end does not fill the host's memory" {
	only_crisp
	local container file before after
	container=$(run_container "$POD" box filler)
	before=$(df --output=used -k /run | tail -n 1)
	for file in hosts hostname resolv.conf; do
		run in_container "$container" sh -c "dd if=/dev/zero bs=64k count=200 >>/etc/$file"
		[ "$status" -ne 0 ]
		like "$output" "[Nn]o space left"
	done
	after=$(df --output=used -k /run | tail -n 1)
	[ $((after - before)) -lt 1024 ]
	# The pod itself can still be stopped, and gets containers.
	run_container "$POD" box next >/dev/null
}

@test "[41] logs and limits of what does not run: refused, and no file made" {
	only_crisp
	local container
	container=$(run_container "$POD" box one)
	crictl stop -t 0 "$container" >/dev/null
	rm "$BATS_TEST_TMPDIR/logs/one.log"
	refused FailedPrecondition ReopenContainerLog "{\"container_id\": \"$container\"}"
	[ ! -e "$BATS_TEST_TMPDIR/logs/one.log" ]
	refused FailedPrecondition UpdateContainerResources "{\"container_id\": \"$container\", \"linux\": {\"cpu_shares\": 700}}"
}

@test "nothing is left behind" {
	# shellcheck disable=SC2046
	crictl rmi $(crictl images -o json | jq -r --arg from "$HOSTILE/" '.images[] | select(.repoTags[0] | startswith($from)).id') >/dev/null
	census_is_clean
}
