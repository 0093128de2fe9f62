# What crispd does by itself when something went wrong: what could not be undone is tried again, what nobody owns is taken away, and
# nothing else is. (Rows of the fault matrix are named in brackets.)

load ../lib/helper

setup_file() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	failing_bridge
	printf '[crisp.runtime]\nreconcile_interval = "1s"\n' >"$WORK/crisp.toml.d/reconcile.toml"
	stop_server
	start_server
}
teardown_file() { suite_end; }
setup() { only_crisp; }
teardown() {
	rm -f "$WORK/fail"
	[ -z "${BUSY:-}" ] || kill -KILL "$BUSY" 2>/dev/null || true
	crictl version >/dev/null 2>&1 || { stop_server KILL; start_server; }
	after_test
}

# The real bridge, but for the verb that $WORK/fail names, which fails and is counted.
failing_bridge() {
	mkdir -p "$WORK/plugins"
	cat >"$WORK/plugins/bridge" <<-END
		#!/bin/sh
		PATH=/usr/sbin:/usr/bin:/sbin:/bin
		if [ "\$(cat $WORK/fail 2>/dev/null)" != "\$CNI_COMMAND" ]; then exec $CRISP_CNI/bridge; fi
		cat >/dev/null
		echo failed >>$WORK/failures
		printf '{"cniVersion": "1.0.0", "code": 11, "msg": "not now"}\n'
		exit 1
	END
	chmod +x "$WORK/plugins/bridge"
	printf '[crisp.network]\nplugin_dirs = ["%s", "%s"]\n' "$WORK/plugins" "$CRISP_CNI" >"$WORK/crisp.toml.d/bridge.toml"
}

reservations() { find /var/lib/cni/networks/crisp-it -name '10.*' | wc -l; }
no_reservation() { [ "$(reservations)" = 0 ]; }
absent() { [ ! -e "$1" ]; }
log_has() { grep -q "$1" "$SERVER_LOG"; }

@test "[27] a stop that failed is finished in the background, without another call" {
	local pod
	pod=$(run_pod sticky)
	: >"$WORK/failures"
	printf DEL >"$WORK/fail"
	is "$(rpc_code StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}")" Unavailable
	tried_again() { [ "$(wc -l <"$WORK/failures")" -ge 2 ]; }
	within 30 tried_again
	is "$(reservations)" 1
	is "$(pod_field "$pod" .state)" SANDBOX_NOTREADY
	rm "$WORK/fail"
	within 60 no_reservation
	within 10 absent "/run/crisp/ns/$pod"
	within 10 absent "/run/crisp/pods/$pod"
	is "$(pgrep -c crisp-pause)" 0
	is "$(crictl pods --no-trunc -q)" "$pod" "it is still listed"
	crictl rmp "$pod" >/dev/null
}

@test "[27] a stop, and a removal, that failed are finished by the next crispd, without another call" {
	local stopped removed
	stopped=$(run_pod sticky)
	removed=$(run_pod stickier)
	printf DEL >"$WORK/fail"
	is "$(rpc_code StopPodSandbox "{\"pod_sandbox_id\": \"$stopped\"}")" Unavailable
	is "$(rpc_code RemovePodSandbox "{\"pod_sandbox_id\": \"$removed\"}")" Unavailable
	stop_server KILL
	is "$(reservations)" 2
	rm "$WORK/fail"
	start_server
	within 30 no_reservation
	within 10 absent "/run/crisp/ns/$stopped"
	within 10 absent "/run/crisp/pods/$removed"
	is "$(crictl pods -q -s notready | wc -l)" 2 "they are still listed"
	crictl rmp "$stopped" "$removed" >/dev/null
}

@test "[27] a pod that could not be made, and whose network cannot be released: undone in the background" {
	printf '#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" != ADD ] || { echo "{\\"code\\": 7, \\"msg\\": \\"no\\"}"; exit 1; }\n' \
		>"$WORK/plugins/refusing"
	chmod +x "$WORK/plugins/refusing"
	jq '.plugins += [{type: "refusing"}]' "$CRISP_IT/bench/10-bench.conflist" >/etc/cni/net.d/05-refusing.conflist
	printf DEL >"$WORK/fail"
	refusing() { is "$(rpc_code RunPodSandbox "$(jq -c '{config: .}' "$(pod_file half)")")" Internal && rpc_text | grep -q refusing; }
	within 10 refusing
	rm /etc/cni/net.d/05-refusing.conflist
	[ "$(reservations)" -ge 1 ]
	is "$(crictl pods -q)" ""
	rm "$WORK/fail"
	within 60 no_reservation
	gone() { [ -z "$(find /run/crisp/ns /run/crisp/pods "$CRISP_ROOT/pods" -mindepth 1)" ]; }
	within 10 gone
	within 5 null_is_roots
	is "$(pgrep -c crisp-pause)" 0
}

# Names that are crispd's, with a mount in each as a pod has them.
make_stray() {
	local id=$1
	mkdir -p "/run/crisp/ns/$id" "/run/crisp/pods/$id/shm" "/run/crisp/containers/$id/x" "/run/crisp/attach/$id"
	: >"/run/crisp/ns/$id/net"
	unshare --net="/run/crisp/ns/$id/net" true
	mount -t tmpfs shm "/run/crisp/pods/$id/shm"
	printf 3 >"/run/crisp/exits/$id"
}

stray_gone() {
	[ -z "$(find /run/crisp /sys/fs/cgroup -name "*$1*" 2>/dev/null)" ] && ! grep -q "$1" /proc/self/mountinfo
}

@test "namespaces, mounts and files of a pod and a container that have no record are taken away; others' names are not" {
	local id other=/run/crisp/ns/not-an-id
	id=$(printf 'ab%.0s' {1..32})
	mkdir -p "$other" "/run/crisp/containers/${id:1}"
	kill -STOP "$(server_pid)" # or it takes away what is half made
	make_stray "$id"
	kill -CONT "$(server_pid)"
	within 20 stray_gone "$id" # all names with it
	[ -d "$other" ] && [ -d "/run/crisp/containers/${id:1}" ]
	stop_server KILL
	make_stray "$id"
	start_server
	within 20 stray_gone "$id"
	rmdir "$other" "/run/crisp/containers/${id:1}"
	log_has "$id has no record"
}

mark() { setfattr -n trusted.crisp.root -v "$2" "$1"; }

@test "a pod's cgroup without a pod is removed when it bears crispd's mark, and left to who is in it and to other crispds" {
	local id folder others busy
	[ "$CRISP_VIEW" != systemd ] || skip "slices are systemd's"
	id=$(printf 'cd%.0s' {1..32})
	others=$(printf 'ce%.0s' {1..32})
	busy=$(printf 'cf%.0s' {1..32})
	sleep 1000 3>&- &
	BUSY=$!
	while read -r folder; do
		mkdir -p "$folder"/pod{"$id","$others","$busy"}/crisp-x
		case $folder in
		*cpuset*) ;; # an empty cpuset takes nobody
		*) echo "$BUSY" >"$folder/pod$busy/crisp-x/cgroup.procs" ;;
		esac
	done < <(find /sys/fs/cgroup -maxdepth 2 -name crisp.pods -type d)
	# once they are there in all hierarchies
	while read -r folder; do
		mark "$folder/pod$others" /var/lib/other
		mark "$folder/pod$busy" "$CRISP_ROOT"
		mark "$folder/pod$id" "$CRISP_ROOT" || true # another hierarchy's mark may have been enough
	done < <(find /sys/fs/cgroup -maxdepth 2 -name crisp.pods -type d)
	within 20 stray_gone "$id"
	[ -n "$(find /sys/fs/cgroup -name "pod$others")" ]
	[ -n "$(find /sys/fs/cgroup -name "pod$busy")" ]
	kill -0 "$BUSY"
	kill -KILL "$BUSY"
	within 60 stray_gone "$busy"
	find /sys/fs/cgroup -depth -path "*/pod$others*" -type d -exec rmdir {} +
}

@test "[7] records that are away: what runs is left alone, told of once, and is there again with its record" {
	local pod container folder
	pod=$(run_pod lost)
	container=$(run_container "$pod" lost inside)
	stop_server KILL
	for folder in pods containers; do mv "$CRISP_ROOT/$folder" "$CRISP_ROOT/$folder.away"; done
	start_server
	is "$(crictl pods -q)" ""
	within 10 log_has "pod sandbox $pod has no record below .* still runs"
	within 10 log_has "container $container has no record below .* still runs"
	sleep 2.5 # two more rounds
	is "$(grep -c "$pod has no record" "$SERVER_LOG")" 1
	is "$(pgrep -c 'crisp-pause|conmon')" 2
	stop_server KILL
	for folder in pods containers; do
		rmdir "$CRISP_ROOT/$folder"
		mv "$CRISP_ROOT/$folder.away" "$CRISP_ROOT/$folder"
	done
	start_server
	is "$(pod_field "$pod" .state)" SANDBOX_READY
	is "$(in_container "$container" echo still here)" "still here"
}

@test "[42] a mount in the trash: what was removed goes when that can be" {
	local id
	id=$(printf 'ef%.0s' {1..32})
	kill -STOP "$(server_pid)"
	mkdir -p "$CRISP_ROOT/trash/$id/rootfs" "$CRISP_ROOT/trash/$id/other"
	mount -t tmpfs none "$CRISP_ROOT/trash/$id/rootfs"
	mount -t tmpfs none "$CRISP_ROOT/trash/$id/other"
	kill -CONT "$(server_pid)"
	within 20 log_has "cleaning up: trash"
	[ -d "$CRISP_ROOT/trash/$id/other" ]
	umount "$CRISP_ROOT/trash/$id/other"
	within 60 absent "$CRISP_ROOT/trash/$id"
	is "$(ls "$CRISP_ROOT/trash")" ""
}

@test "nothing is left behind" { census_is_clean; }
