# SELinux, on hosts that have it: labels of processes and files, levels that keep pods apart, relabelled volumes.

load ../lib/helper

if [ -e /sys/fs/selinux/enforce ]; then SELINUX=yes; else SELINUX=no; fi

setup_file() {
	[ "$SELINUX" = yes ] || return 0
	suite_start
}
teardown_file() { [ "$SELINUX" != yes ] || suite_end; }
setup() { [ "$SELINUX" = yes ] || skip "this host has no SELinux"; }
teardown() { [ "$SELINUX" != yes ] || after_test; }

# The kernel ends it with a NUL.
label_of() {
	tr -d '\0' <"/proc/$(crictl inspect "$1" | jq -r .info.pid)/attr/current"
}

file_label() { # CONTAINER PATH
	in_container "$1" ls -dZ "$2" | awk '{ print $1 }'
}

host_label() {
	stat -c %C "$1"
}

level() {
	cut -d: -f4- <<<"$1"
}

@test "a container has the policy's label for containers and the level of its pod, which no other pod has; execs, too" {
	local first second one two other
	first=$(run_pod first)
	second=$(run_pod second)
	one=$(run_container "$first" first one)
	two=$(run_container "$first" first two)
	other=$(run_container "$second" second other)
	like "$(label_of "$one")" "^system_u:system_r:container_t:s0:c[0-9]+,c[0-9]+$"
	is "$(label_of "$two")" "$(label_of "$one")"
	[ "$(label_of "$other")" != "$(label_of "$one")" ]
	is "$(in_container "$one" cat /proc/self/attr/current | tr -d '\0')" "$(label_of "$one")"
}

@test "its files have the policy's label for containers' files and the same level: root filesystem, /dev/shm, what crispd provides" {
	local pod container path want
	pod=$(run_pod files)
	container=$(run_container "$pod" files one)
	want=system_u:object_r:container_file_t:$(level "$(label_of "$container")")
	for path in / /bin /dev/shm /etc/hosts /etc/resolv.conf /etc/hostname; do
		is "$(host_label "/proc/$(crictl inspect "$container" | jq -r .info.pid)/root$path")" "$want" "$path"
	done
}

@test "options: of the pod, of the container; privileged and host PID have none of their own" {
	local pod container
	pod=$(run_pod options '.linux.security_context.selinux_options = {level: "s0:c11,c12"}')
	container=$(run_container "$pod" options of-pod)
	is "$(label_of "$container")" "system_u:system_r:container_t:s0:c11,c12"
	container=$(run_container "$pod" options own '.linux.security_context.selinux_options = {user: "system_u", role: "system_r", type: "container_t", level: "s0:c21,c22"}')
	is "$(label_of "$container")" "system_u:system_r:container_t:s0:c21,c22"
	pod=$(run_pod privileged '.linux.security_context.privileged = true')
	container=$(run_container "$pod" privileged all '.linux.security_context.privileged = true')
	unlike "$(label_of "$container")" container_t
}

@test "a volume is relabelled where that is asked for, and only there" {
	local pod container mounts before
	mkdir -p "$WORK/volumes/yes/below" "$WORK/volumes/no"
	printf 'x\n' >"$WORK/volumes/yes/below/file"
	before=$(host_label "$WORK/volumes/no")
	mounts='.mounts = [{container_path: "/yes", host_path: "'"$WORK"'/volumes/yes", selinux_relabel: true},
		{container_path: "/no", host_path: "'"$WORK"'/volumes/no"}]'
	pod=$(run_pod volumes)
	container=$(run_container "$pod" volumes one "$mounts")
	is "$(host_label "$WORK/volumes/yes/below/file")" "system_u:object_r:container_file_t:$(level "$(label_of "$container")")"
	is "$(host_label "$WORK/volumes/no")" "$before"
}

@test "kill -9 of crispd: the level stays the pod's, and goes to nobody else" {
	local pod container label i
	pod=$(run_pod lasting)
	container=$(run_container "$pod" lasting one)
	label=$(label_of "$container")
	stop_server KILL
	start_server
	container=$(run_container "$pod" lasting two)
	is "$(label_of "$container")" "$label"
	for i in 1 2 3; do
		pod=$(run_pod "other-$i")
		container=$(run_container "$pod" "other-$i" one)
		[ "$(label_of "$container")" != "$label" ]
	done
}

@test "nothing is left behind" { census_is_clean; }
