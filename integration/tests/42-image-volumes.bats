# Images as volumes of containers: their files are there, as they are, and only to be read; they stay for as long as the
# container, whatever becomes of the image.

load ../lib/helper

setup_file() { suite_start; }
teardown_file() { suite_end; }
setup() { POD=$(run_pod here); }
teardown() {
	after_test
	crictl pull "$NGINX" >/dev/null # for the next test, and the census
}

# with_image MOUNT...: a filter that mounts the nginx image, as these say.
with_image() {
	local mounts
	mounts=$(printf ', {image: {image: "%s"}, %s}' "$NGINX" "$1")
	printf '.mounts = [%s]' "${mounts#, }"
}

layers_on_disk() {
	find "$CRISP_ROOT/layers" -mindepth 1 -maxdepth 1 | wc -l
}

@test "the whole image, and one path of it" {
	local container
	container=$(run_container "$POD" here whole "$(with_image 'container_path: "/vol"')")
	in_container "$container" test -d /vol/usr/sbin
	in_container "$container" test -s /vol/usr/sbin/nginx
	container=$(run_container "$POD" here part "$(with_image 'container_path: "/vol", image_sub_path: "usr/sbin"')")
	in_container "$container" test -f /vol/nginx
	is "$(container_field "$container" '.mounts[0] | "\(.containerPath) \(.imageSubPath)"')" "/vol usr/sbin"
	container=$(run_container "$POD" here file "$(with_image 'container_path: "/etc/own", image_sub_path: "etc/passwd"')")
	like "$(in_container "$container" cat /etc/own)" "^root:"
}

@test "nothing of it can be written or run" {
	local container
	container=$(run_container "$POD" here careful "$(with_image 'container_path: "/vol"')")
	run in_container "$container" sh -c 'echo x >/vol/x'
	[ "$status" -ne 0 ]
	like "$output" "Read-only"
	run in_container "$container" /vol/usr/sbin/nginx -v
	[ "$status" -ne 0 ]
	like "$output" "[Pp]ermission denied|not permitted"
	is "$(in_container "$container" grep ' /vol ' /proc/mounts | cut -d ' ' -f 4 | tr , '\n' | grep -cxE 'ro|noexec|nosuid|nodev')" 4
}

@test "the image may be removed meanwhile: its files stay until the container is gone" {
	only_crisp
	local container before after
	container=$(run_container "$POD" here holder "$(with_image 'container_path: "/vol"')")
	before=$(layers_on_disk)
	crictl rmi "$NGINX" >/dev/null
	in_container "$container" test -s /vol/usr/sbin/nginx
	is "$(layers_on_disk)" "$before"
	stop_server KILL
	start_server
	in_container "$container" test -s /vol/usr/sbin/nginx
	is "$(layers_on_disk)" "$before" "after a restart"
	crictl rm -f "$container" >/dev/null
	fewer() { [ "$(layers_on_disk)" -lt "$before" ]; }
	within 10 fewer
	is "$(grep -c image-mounts /proc/self/mountinfo || true)" 0
}

@test "[18] CVE-2021-25741: what is no image, no path, or leads out: refused, with the word that the kubelet knows" {
	only_crisp
	local sub
	request() { # MOUNT: the JSON of a CreateContainer
		jq -nc --arg pod "$POD" --arg image "$BUSYBOX" --slurpfile sandbox "$BATS_TEST_TMPDIR/here.pod.json" '{pod_sandbox_id: $pod,
			sandbox_config: $sandbox[0], config: {metadata: {name: "bad"}, image: {image: $image}, command: ["true"], mounts: ['"$1"']}}'
	}
	is "$(rpc_code CreateContainer "$(request '{container_path: "/vol", image: {image: "docker.io/library/absent:1"}}')")" NotFound
	like "$(rpc_text)" "^ImageVolumeMountFailed: "
	for sub in /etc ../etc usr/../../etc no/such; do
		is "$(rpc_code CreateContainer "$(request "{container_path: \"/vol\", image_sub_path: \"$sub\", image: {image: \"$NGINX\"}}")")" \
			InvalidArgument "$sub"
		like "$(rpc_text)" "^ImageVolumeMountFailed: "
	done
	is "$(rpc_code CreateContainer "$(request "{container_path: \"/vol\", host_path: \"/tmp\", image: {image: \"$NGINX\"}}")")" InvalidArgument
	is "$(crictl ps -aq)" ""
	is "$(grep -c image-mounts /proc/self/mountinfo || true)" 0
}

@test "in a pod with a user namespace the image's root is the container's" {
	local pod container mapped
	mapped='.linux.security_context.namespace_options = {pid: 1, userns_options: {mode: 0,
		uids: [{host_id: 100000, length: 65536}], gids: [{host_id: 100000, length: 65536}]}}'
	pod=$(run_pod mapped "$mapped")
	container=$(run_container "$pod" mapped one "$mapped | $(with_image 'container_path: "/vol"')")
	is "$(in_container "$container" stat -c '%u %g' /vol /vol/usr/sbin/nginx | xargs)" "0 0 0 0"
}

@test "nothing is left behind" {
	remove_pods
	census_is_clean
}
