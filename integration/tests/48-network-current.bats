# Today's CNI plugins, which Debian's are too old for: masquerade and host ports by nftables, and version 1.1.0 of the spec with its STATUS
# and GC by plugins that are not of the tests' own.

load ../lib/helper
load ../lib/network

# Then a first pod with the tables that these plugins leave by their own design; then the census again.
setup_file() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	watched_plugins
	printf '[crisp.network]\nplugin_dirs = ["%s", "%s"]\n' "$WORK/plugins" "$CRISP_NEW_CNI" >"$WORK/crisp.toml.d/network.toml"
	stop_server
	start_server
	current_network
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
	run_pod warm-up-here '.port_mappings = [{container_port: 80, host_port: 18080}, {container_port: 80, host_port: 18080, protocol: 1}]' >/dev/null
	remove_pods
	remove_networks
	census_settled >"$BATS_FILE_TMPDIR/census"
}
teardown_file() { suite_end; }
setup() {
	only_crisp
	ECHOES=()
}
teardown() {
	[ "$CRISP_SERVER" = crispd ] || return 0
	end_echoes
	rm -f "$WORK/fail"
	crictl version >/dev/null 2>&1 || start_server
	after_test
	remove_networks
}

# The real plugins, the calls noted that reach host-local (the bridge plugin's: a DEL when the interface is gone) and portmap. DEL of
# host-local fails while there is $WORK/fail.
watched_plugins() {
	local name
	mkdir -p "$WORK/plugins"
	for name in host-local portmap; do
		cat >"$WORK/plugins/$name" <<-END
			#!/bin/sh
			printf '$name %s %s\n' "\$CNI_COMMAND" "\$CNI_CONTAINERID" >>$WORK/calls
			if [ "\$CNI_COMMAND" = DEL ] && [ $name = host-local ] && [ -e $WORK/fail ]; then
				printf '{"cniVersion": "1.1.0", "code": 11, "msg": "not now"}\n'
				exit 1
			fi
			exec $CRISP_NEW_CNI/$name
		END
		chmod +x "$WORK/plugins/$name"
	done
}

asked() {
	grep -q "^$1" "$WORK/calls"
}

current_bridge() {
	bridge net-a0 10.77.0.0/24 fd00:77::/64 | jq -c '. + {ipMasqBackend: "nftables"}'
}

current_network() {
	network 05-a.conflist net-a 1.1.0 "$(current_bridge)" "$(jq -c '. + {backend: "nftables"}' <<<"$portmap")"
}

# A host outside, 192.0.2.2 and 2001:db8::2, which knows no way to the pods and answers each connection to port 80 with whom it comes from.
outside() {
	local pid kind
	detached /dev/null unshare -n sleep 600
	pid=$DETACHED
	ECHOES+=("$pid")
	other_network() { [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
	within 10 other_network
	ip link add net-o0 type veth peer name net-o1 netns "$pid"
	ip addr add 192.0.2.1/24 dev net-o0
	ip addr add 2001:db8::1/64 dev net-o0 nodad
	ip link set net-o0 up
	nsenter -t "$pid" -n ip addr add 192.0.2.2/24 dev net-o1
	nsenter -t "$pid" -n ip addr add 2001:db8::2/64 dev net-o1 nodad
	nsenter -t "$pid" -n ip link set net-o1 up
	for kind in TCP4 TCP6; do
		detached /dev/null nsenter -t "$pid" -n socat "$kind-LISTEN:80,fork,reuseaddr$([ $kind = TCP4 ] || echo ,ipv6only=1)" \
			SYSTEM:'echo from $SOCAT_PEERADDR'
		ECHOES+=("$DETACHED")
	done
}

# seen_from_outside POD ADDRESS AS: what the host outside sees a pod as.
seen_from_outside() {
	[ "$(in_pod "$1" timeout 2 socat -t 1 - "$2" </dev/null 2>/dev/null)" = "from $3" ]
}

masquerade_rules() {
	nft list chain inet cni_plugins_masquerade masq_checks
}

@test "masquerade by nftables: a pod goes out with the host's addresses; its rules go with it, the other pod's stay" {
	local pod other v4 v6
	outside
	current_network
	pod=$(run_pod masked)
	other=$(run_pod other)
	read -r v4 v6 <<<"$(addresses "$pod")"
	within 10 seen_from_outside "$pod" TCP4:192.0.2.2:80 192.0.2.1
	within 10 seen_from_outside "$pod" 'TCP6:[2001:db8::2]:80' '[2001:0db8:0000:0000:0000:0000:0000:0001]'
	like "$(masquerade_rules)" "ip saddr $v4 .*masquerade"
	like "$(masquerade_rules)" "ip6 saddr $v6 .*masquerade"
	crictl stopp "$pod" >/dev/null
	unlike "$(masquerade_rules)" "($v4|$v6) "
	within 10 seen_from_outside "$other" TCP4:192.0.2.2:80 192.0.2.1
}

@test "host ports by nftables: TCP and UDP, IPv4 and IPv6; gone with the pod" {
	local pod
	current_network
	run_pod first >/dev/null # the bridge and its addresses
	pod=$(run_pod mapped '.port_mappings = [{container_port: 80, host_port: 18081}, {container_port: 53, host_port: 18081, protocol: 1},
		{container_port: 80, host_port: 18083, host_ip: "fd00:77::1"}]')
	echo_in "$pod" 80 TCP4
	echo_in "$pod" 80 TCP6
	echo_in "$pod" 53 UDP4
	echoes TCP4:10.77.0.1:18081 UDP4:10.77.0.1:18081 'TCP6:[fd00:77::1]:18083'
	crictl stopp "$pod" >/dev/null
	silent TCP4:10.77.0.1:18081
	unlike "$(nft list ruleset)" '1808[13]' "rules"
}

@test "1.1.0: real plugins' STATUS is good, and after a restart their GC and CHECK leave a pod alone" {
	local pod
	outside
	current_network
	within 10 network_says '^true$'
	within 10 asked "portmap STATUS"
	pod=$(run_pod kept)
	stop_server KILL
	: >"$WORK/calls"
	start_server
	within 10 network_says '^true$'
	within 10 asked "portmap CHECK $pod"
	within 10 asked "portmap GC "
	is "$(crictl inspectp "$pod" | jq -r '.info.networkProblem // "none"')" none
	is "$(pod_field "$pod" .state)" SANDBOX_READY
	is "$(reservations net-a)" 2
	within 10 seen_from_outside "$pod" TCP4:192.0.2.2:80 192.0.2.1
}

@test "[27] a DEL that fails once the interface is gone: the next one takes the rules of nftables, too" {
	local pod
	current_network
	pod=$(run_pod halfway)
	: >"$WORK/fail"
	is "$(rpc_code StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}")" Unavailable # code 11: try again later
	like "$(masquerade_rules)" "saddr 10\.77\."
	is "$(ip -o link show master net-a0 | wc -l)" 0 "interfaces"
	rm "$WORK/fail"
	crictl stopp "$pod" >/dev/null
	unlike "$(masquerade_rules)" saddr
	is "$(reservations net-a)" 0
}

@test "nothing is left behind" { census_is_clean; }
