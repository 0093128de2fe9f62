# The pod network: every plugin that Debian ships and a kubelet's node may use, dual stack, host ports, limits, networks
# that come, change and go while crispd runs, and plugins that are slow, fail, lie, hang, or talk without end.

load ../lib/helper
load ../lib/network

# After the ways of all suites, a first pod with what the plugins here leave by their own design (firewall's and portmap's
# chains, for IPv6 too, tuning's folder); then the census again.
setup_file() {
	suite_start
	[ "$CRISP_SERVER" = crispd ] || return 0
	mkdir -p "$WORK/plugins"
	fake_plugin
	printf '[crisp.network]\nplugin_dirs = ["%s", "%s"]\ncni_timeout = "%ss"\n' "$WORK/plugins" "$CRISP_CNI" "$((4 * CRISP_SLOW))" \
		>"$WORK/crisp.toml.d/network.toml"
	stop_server
	start_server
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24 fd00:77::/64)" "$portmap" '{"type": "firewall"}' '{"type": "tuning", "mtu": 1400}'
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
	rm -f "$WORK"/fake.*
	crictl version >/dev/null 2>&1 || start_server
	after_test
	remove_networks
}

# ---- a plugin of ours ----

# A plugin as the spec has it, unless $WORK/fake.VERB holds shell text, which then comes first. Every call is noted in
# $WORK/fake.calls, its stdin and environment kept; the address it gives is nobody's.
fake_plugin() {
	cat >"$WORK/plugins/fake" <<-END
		#!/bin/bash
		PATH=/usr/sbin:/usr/bin:/sbin:/bin
		conf=\$(cat)
		printf '%s %s\n' "\$CNI_COMMAND" "\${CNI_CONTAINERID:0:12}" >>$WORK/fake.calls
		printf '%s' "\$conf" >$WORK/fake.stdin.\$CNI_COMMAND
		env >$WORK/fake.env.\$CNI_COMMAND
		[ ! -e $WORK/fake.\$CNI_COMMAND ] || . $WORK/fake.\$CNI_COMMAND
		case \$CNI_COMMAND in
		ADD) echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"'\$CNI_NETNS'"}],"ips":[{"interface":0,"address":"10.77.0.5/24"}]}' ;;
		VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["0.3.1","0.4.0","1.0.0","1.1.0"]}' ;;
		esac
	END
	chmod +x "$WORK/plugins/fake"
}

fake='{"type":"fake","capabilities":{"portMappings":true,"bandwidth":true,"dns":true,"cgroupPath":true,"ips":true,"mac":true,"io.kubernetes.cri.pod-annotations":true}}'

# ---- pods ----

fake_calls() { # without those that come in the background
	{ grep -vE '^(STATUS|VERSION|GC|CHECK)' "$WORK/fake.calls" || true; } | cut -d' ' -f1 | tr '\n' ' '
}

run_request() { # FILE: the JSON of a RunPodSandbox request
	jq -c '{config: .}' "$1"
}

# refused_pod CODE TEXT NAME [FILTER]: nothing is left of it.
refused_pod() {
	local code=$1 text=$2
	shift 2
	is "$(rpc_code RunPodSandbox "$(run_request "$(pod_file "$@")")")" "$code"
	like "$(rpc_text)" "$text" "text of the answer"
	is "$(crictl pods -q)" ""
	is "$(find /run/crisp/ns /run/crisp/pods /var/lib/crisp/cni/results -mindepth 1 | wc -l)" 0 "files left"
}

# ---- the tests ----

@test "dual stack: both addresses in the status, IPv4 first, and in the pod; both are reached" {
	local pod v4 v6
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 fd00:77::/64 10.77.0.0/24)"
	pod=$(run_pod dual)
	read -r v4 v6 <<<"$(addresses "$pod")"
	like "$v4" '^10\.77\.0\.[0-9]+$'
	like "$v6" '^fd00:77::[0-9a-f]+$'
	like "$(in_pod "$pod" ip -o -4 addr show eth0)" " $v4/24 "
	like "$(in_pod "$pod" ip -o -6 addr show eth0)" " $v6/64 "
	like "$(in_pod "$pod" ip -o link show lo)" ",UP" "lo"
	echo_in "$pod" 80 TCP4
	echo_in "$pod" 80 TCP6
	echoes "TCP4:$v4:80" "TCP6:[$v6]:80"
	is "$(reservations net-a)" 2
	crictl stopp "$pod" >/dev/null
	is "$(reservations net-a)" 0
}

@test "host ports: TCP and UDP, IPv4 and IPv6, one per host address; gone with the pod" {
	local pod other
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24 fd00:77::/64)" "$portmap"
	run_pod first >/dev/null # the bridge and its addresses
	pod=$(run_pod mapped '.port_mappings = [{container_port: 80, host_port: 18081}, {container_port: 53, host_port: 18081, protocol: 1},
		{container_port: 80, host_port: 18082, host_ip: "127.0.0.1"}, {container_port: 80, host_port: 18083, host_ip: "fd00:77::1"}]')
	echo_in "$pod" 80 TCP4
	echo_in "$pod" 80 TCP6
	echo_in "$pod" 53 UDP4
	echo_in "$pod" 53 UDP6
	echoes TCP4:127.0.0.1:18081 TCP4:10.77.0.1:18081 'TCP6:[fd00:77::1]:18081' UDP4:10.77.0.1:18081 'UDP6:[fd00:77::1]:18081'
	echoes TCP4:127.0.0.1:18082 'TCP6:[fd00:77::1]:18083'
	silent TCP4:10.77.0.1:18082
	silent TCP4:10.77.0.1:18083
	# The same port at another address of the host is another pod's.
	other=$(run_pod beside '.port_mappings = [{container_port: 80, host_port: 18082, host_ip: "10.77.0.1"}]')
	end_echoes
	echo_in "$other" 80 TCP4
	echoes TCP4:10.77.0.1:18082
	silent TCP4:127.0.0.1:18082
	crictl stopp "$pod" >/dev/null
	crictl stopp "$other" >/dev/null
	unlike "$(iptables-save -t nat; ip6tables-save -t nat)" '1808[123]' "rules"
}

@test "CVE-2019-9946: a host port's rules come after those that were there, and take only what is for this host" {
	local pod rules
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)" "$portmap"
	iptables -t nat -I PREROUTING -p tcp --dport 18081 -m comment --comment services -j RETURN
	pod=$(run_pod late '.port_mappings = [{container_port: 80, host_port: 18081}]')
	rules=$(iptables -t nat -S PREROUTING | grep -nE 'services|HOSTPORT')
	iptables -t nat -D PREROUTING -p tcp --dport 18081 -m comment --comment services -j RETURN
	like "$rules" 'services.*HOSTPORT'
	like "$(iptables -t nat -S PREROUTING | grep HOSTPORT)" '--dst-type LOCAL'
	crictl stopp "$pod" >/dev/null
}

@test "host ports for SCTP" {
	local pod
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)" "$portmap"
	pod=$(run_pod sctp '.port_mappings = [{container_port: 80, host_port: 18081, protocol: 2}]')
	like "$(iptables-save -t nat)" '-p sctp .*--dport 18081 .*DNAT --to-destination 10\.77\.0\.[0-9]+:80'
	crictl stopp "$pod" >/dev/null
	unlike "$(iptables-save -t nat)" 18081 "rules"
}

@test "a host address that is not ours, a bad port, and the same twice are refused" {
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)" "$portmap"
	refused_pod InvalidArgument "not this host's: 192\.0\.2\.7" foreign '.port_mappings = [{container_port: 80, host_port: 18081, host_ip: "192.0.2.7"}]'
	refused_pod InvalidArgument "out of range" wide '.port_mappings = [{container_port: 80, host_port: 65536}]'
	refused_pod InvalidArgument "mapped twice" twice '.port_mappings = [{container_port: 80, host_port: 18081}, {container_port: 81, host_port: 18081}]'
}

@test "ptp and firewall: reached from the host, let through by a rule that goes with the pod" {
	local pod ip
	network 05-a.conflist net-a 1.0.0 "$(jq -nc --argjson ipam "$(host_local 10.77.0.0/24 fd00:77::/64)" '{type: "ptp", ipMasq: true, ipam: $ipam}')" \
		"$portmap" '{"type": "firewall"}'
	pod=$(run_pod pointed '.port_mappings = [{container_port: 80, host_port: 18081}]')
	ip=$(pod_field "$pod" .network.ip)
	echo_in "$pod" 80 TCP4
	echoes "TCP4:$ip:80" TCP4:127.0.0.1:18081
	like "$(in_pod "$pod" ip route)" 'default via 10\.77\.0\.1 dev eth0'
	like "$(iptables-save -t filter)" "CNI-FORWARD -s $ip/32 -j ACCEPT"
	crictl stopp "$pod" >/dev/null
	unlike "$(iptables-save; ip6tables-save)" "$ip/32" "rules"
	is "$(ip -o link show type veth | wc -l)" 0
}

@test "macvlan: two pods reach each other" {
	local one two
	ip link add net-m0 type veth peer name net-m1
	ip link set net-m0 up
	ip link set net-m1 up
	network 05-a.conflist net-a 1.0.0 \
		"$(jq -nc --argjson ipam "$(host_local 10.77.0.0/24)" '{type: "macvlan", master: "net-m0", mode: "bridge", ipam: $ipam}')"
	one=$(run_pod one)
	two=$(run_pod two)
	like "$(in_pod "$one" ip -d -o link show eth0)" macvlan
	echo_in "$one" 80 TCP4
	in_pod "$two" true
	within 10 echo_between "$two" "TCP4:$(pod_field "$one" .network.ip):80"
}

echo_between() {
	[ "$(printf 'hello\n' | timeout 2 nsenter -t "$(pod_pid "$1")" -n socat -t 1 - "$2" 2>/dev/null | head -n 1)" = "pod: hello" ]
}

@test "bandwidth by annotations; unreasonable ones are refused" {
	local pod veth
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)" '{"type": "bandwidth", "capabilities": {"bandwidth": true}}'
	pod=$(run_pod slow '.annotations["kubernetes.io/ingress-bandwidth"] = "1500k"')
	veth=$(ip -o link show type veth | sed -E 's/^[0-9]+: ([^@]+)@.*/\1/')
	like "$(tc qdisc show dev "$veth")" 'tbf .*rate 1500Kbit'
	crictl rmp -f "$pod" >/dev/null
	if ip link add net-b0 type ifb 2>/dev/null; then
		run_pod both '.annotations += {"kubernetes.io/ingress-bandwidth": "1M", "kubernetes.io/egress-bandwidth": "2Mi"}' >/dev/null
		like "$(tc qdisc show)" 'tbf .*rate 2097Kbit'
		remove_pods
	fi
	refused_pod InvalidArgument "unreasonably small" small '.annotations["kubernetes.io/egress-bandwidth"] = "1"'
	refused_pod InvalidArgument "unreasonably large" large '.annotations["kubernetes.io/ingress-bandwidth"] = "2P"'
	refused_pod InvalidArgument "no quantity" odd '.annotations["kubernetes.io/ingress-bandwidth"] = "10 M"'
}

@test "tuning, and an address and a MAC that the pod asks for where the network lets it" {
	local pod
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24 | jq -c '.capabilities = {ips: true}')" \
		'{"type": "tuning", "capabilities": {"mac": true}, "sysctl": {"net.core.somaxconn": "321"}, "mtu": 1400}'
	pod=$(run_pod tuned '.annotations["v1.multus-cni.io/default-network"] =
		([{name: "net-a", ips: ["10.77.0.77"], mac: "c2:11:22:33:44:55"}] | tojson)')
	is "$(addresses "$pod")" 10.77.0.77
	like "$(in_pod "$pod" ip -o link show eth0)" 'mtu 1400 .*c2:11:22:33:44:55'
	is "$(in_pod "$pod" cat /proc/sys/net/core/somaxconn)" 321
	crictl rmp -f "$pod" >/dev/null
	refused_pod InvalidArgument "is no MAC address" bad '.annotations["v1.multus-cni.io/default-network"] =
		([{name: "net-a", mac: "c2:11"}] | tojson)'
}

# router_advertisement POD: to all nodes: a default route, and a prefix to make addresses from.
router_advertisement() {
	in_pod "$1" perl -e '
		use Socket qw(:DEFAULT);
		my $ra = pack("CCnCCnNN", 134, 0, 0, 64, 0, 1800, 0, 0) .
			pack("CCCCNNN", 3, 4, 64, 0xc0, 3600, 3600, 0) . Socket::inet_pton(Socket::AF_INET6, "fd00:bad::");
		socket(my $s, Socket::AF_INET6, SOCK_RAW, 58) or die "socket: $!";
		setsockopt($s, 41, 18, pack("i", 255)) or die "hops: $!";
		my $index = do { open my $f, "<", "/proc/net/if_inet6"; my $i; while (<$f>) { my @w = split; $i = hex $w[1] if $w[5] eq "eth0" } $i };
		setsockopt($s, 41, 17, pack("i", $index)) or die "interface: $!";
		send($s, $ra, 0, Socket::pack_sockaddr_in6(0, Socket::inet_pton(Socket::AF_INET6, "ff02::1"), $index)) or die "send: $!";'
}

@test "CVE-2020-10749: a pod's router advertisements are taken by none but who asked for it" {
	local rogue victim willing
	# Not masqueraded: the bridge plugin cannot take back the rules of a pod with an address that it did not give.
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24 fd00:77::/64 | jq -c '.ipMasq = false')"
	rogue=$(run_pod rogue)
	victim=$(run_pod victim)
	willing=$(run_pod willing '.linux.sysctls = {"net.ipv6.conf.default.accept_ra": "1"}')
	is "$(in_pod "$victim" cat /proc/sys/net/ipv6/conf/eth0/accept_ra)" 0
	misled() {
		router_advertisement "$rogue"
		in_pod "$1" ip -6 -o addr show dev eth0 | grep -q fd00:bad:
	}
	within 10 misled "$willing"
	unlike "$(in_pod "$victim" ip -6 -o addr show dev eth0)" fd00:bad: "the victim's addresses"
	unlike "$(in_pod "$victim" ip -6 route show default)" "proto ra" "the victim's routes"
	unlike "$(ip -6 -o addr show dev net-a0)" fd00:bad: "the host's addresses"
	remove_pods
	network 05-a.conflist net-b 1.0.0 "$(jq -nc --argjson ipam "$(host_local fd00:78::/64)" '{type: "ptp", ipam: $ipam}')"
	victim=$(run_pod pointed)
	is "$(in_pod "$victim" cat /proc/sys/net/ipv6/conf/eth0/accept_ra)" 0 ptp
}

@test "the first file by name wins; pods stay on the network they joined, also over a restart" {
	local one two three pod
	one=$(run_pod one)
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)"
	two=$(run_pod two)
	network 04-b.conf net-b 0.4.0 "$(bridge net-b0 10.78.0.0/24)"
	three=$(run_pod three)
	like "$(addresses "$one")" '^10\.88\.'
	like "$(addresses "$two")" '^10\.77\.'
	like "$(addresses "$three")" '^10\.78\.'
	is "$(network_info | jq -c '[.files[] | [.file, .network, .inUse]]')" \
		'[["04-b.conf","net-b",true],["05-a.conflist","net-a",false],["10-bench.conflist","crisp-it",false]]'
	stop_server KILL
	rm /etc/cni/net.d/05-a.conflist /etc/cni/net.d/04-b.conf
	start_server
	is "$(network_in_use)" crisp-it
	like "$(addresses "$three")" '^10\.78\.'
	for pod in "$one" "$two" "$three"; do crictl stopp "$pod" >/dev/null; done
	is "$(reservations net-a) $(reservations net-b) $(reservations crisp-it)" "0 0 0"
	is "$(ip -o link show type veth | wc -l)" 0
}

@test "[29 45] CVE-2021-20206: no configuration, half a file, a broken one: told within 5 s, and what was good stays in use" {
	local pod
	rm /etc/cni/net.d/10-bench.conflist
	within 5 network_says 'false: no CNI configuration in /etc/cni/net.d'
	refused_pod Unavailable "no CNI configuration" early
	pod=$(run_pod hosted '.linux.security_context.namespace_options.network = 2 | del(.hostname)')
	is "$(pod_field "$pod" .state)" SANDBOX_READY "a host-network pod"
	crictl rmp -f "$pod" >/dev/null
	printf '{"cniVersion": "1.0.0", "name": "net-a", "plugins": [{"type": "bri' >/etc/cni/net.d/05-a.conflist
	within 5 network_says 'false: .*05-a.conflist: JSON.*line 1'
	printf '{"cniVersion": "1.0.0", "name": "net-a", "type": "../../bin/sh"}' >/etc/cni/net.d/05-a.conflist
	within 5 network_says "type is not a plugin's name: \"../../bin/sh\""
	printf '{"cniVersion": "1.0.0", "name": "net-a", "type": "no-such-plugin"}' >/etc/cni/net.d/05-a.conflist
	within 5 network_says 'false: network "net-a": plugin no-such-plugin: not found in'
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)"
	within 5 network_says '^true$'
	printf '{' >/etc/cni/net.d/05-a.conflist
	problem_is_told() { [[ $(network_info | jq -r '.files[0].problem') =~ "last good content stays in use" ]]; }
	within 5 problem_is_told
	like "$(addresses "$(run_pod later)")" '^10\.77\.'
}

@test "a list of several versions is used at the best that its plugins speak; none in common is told" {
	local pod
	bridge net-a0 10.77.0.0/24 | jq -c '{name: "net-a", cniVersions: ["0.4.0", "1.0.0", "1.1.0"], plugins: [.]}' >/etc/cni/net.d/05-a.conflist
	within 10 network_is net-a
	within 5 network_says '^true$'
	is "$(network_info | jq -r .cniVersion)" 1.0.0
	pod=$(run_pod versed)
	is "$(jq -r '.config | @base64d | fromjson | .cniVersion' "/var/lib/crisp/cni/results/net-a-$pod-eth0")" 1.0.0
	bridge net-a0 10.77.0.0/24 | jq -c '{name: "net-a", cniVersion: "1.1.0", plugins: [.]}' >/etc/cni/net.d/05-a.conflist
	within 5 network_says 'false: network "net-a": plugin bridge: does not speak CNI 1.1.0, but 0.1.0'
	crictl stopp "$pod" >/dev/null
	is "$(reservations net-a)" 0
}

@test "a configuration that others than root may write to is refused" {
	bridge net-a0 10.77.0.0/24 | jq -c '. + {name: "net-a", cniVersion: "1.0.0"}' >"$WORK/network.new"
	chown 0:4242 "$WORK/network.new"
	chmod 664 "$WORK/network.new"
	mv "$WORK/network.new" /etc/cni/net.d/05-a.conf
	problem_is_told() { [[ $(network_info | jq -r '.files[0].problem') =~ "its group (4242) may write to it" ]]; }
	within 5 problem_is_told
	is "$(network_in_use)" crisp-it
	chmod 644 /etc/cni/net.d/05-a.conf
	within 10 network_is net-a
}

@test "what a plugin is told: its own capabilities, the pod's name, nothing of crispd's environment" {
	local pod
	network 05-a.conflist net-a 1.0.0 "$fake"
	pod=$(run_pod told '.port_mappings = [{container_port: 80, host_port: 18081, host_ip: "127.0.0.1"}] |
		.dns_config = {servers: ["10.1.1.1"], searches: ["a.example"], options: ["ndots:5"]} |
		.annotations["kubernetes.io/egress-bandwidth"] = "1M"')
	is "$(jq -c .runtimeConfig.portMappings "$WORK/fake.stdin.ADD")" '[{"hostPort":18081,"containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"}]'
	is "$(jq -c .runtimeConfig.dns "$WORK/fake.stdin.ADD")" '{"servers":["10.1.1.1"],"searches":["a.example"],"options":["ndots:5"]}'
	is "$(jq -c .runtimeConfig.bandwidth "$WORK/fake.stdin.ADD")" '{"ingressRate":0,"ingressBurst":0,"egressRate":1000000,"egressBurst":4294967295}'
	is "$(jq -c '.runtimeConfig["io.kubernetes.cri.pod-annotations"].note' "$WORK/fake.stdin.ADD")" '"of told"'
	like "$(jq -r .runtimeConfig.cgroupPath "$WORK/fake.stdin.ADD")" '^/crisp-it'
	is "$(jq -c '[.name, .cniVersion, .prevResult]' "$WORK/fake.stdin.ADD")" '["net-a","1.0.0",null]'
	is "$(sed -E 's/=.*//' "$WORK/fake.env.ADD" | grep -vE '^(PWD|SHLVL|_)$' | sort | tr '\n' ' ')" \
		"CNI_ARGS CNI_COMMAND CNI_CONTAINERID CNI_IFNAME CNI_NETNS CNI_PATH PATH "
	is "$(sed -n 's/^CNI_ARGS=//p' "$WORK/fake.env.ADD")" \
		"IgnoreUnknown=1;K8S_POD_NAMESPACE=it;K8S_POD_NAME=told;K8S_POD_INFRA_CONTAINER_ID=$pod;K8S_POD_UID=$(pod_field "$pod" .metadata.uid)"
	# libcni's cache, as other tools read it.
	is "$(jq -c '[.kind, .containerId, .ifName, .networkName, .result.ips[0].address, (.config | @base64d | fromjson | .plugins[0].type)]' \
		"/var/lib/crisp/cni/results/net-a-$pod-eth0")" "[\"cniCacheV1\",\"$pod\",\"eth0\",\"net-a\",\"10.77.0.5/24\",\"fake\"]"
	crictl stopp "$pod" >/dev/null
	is "$(jq -c '.prevResult.ips[0].address' "$WORK/fake.stdin.DEL")" '"10.77.0.5/24"'
	is "$(fake_calls)" "ADD DEL "
	[ ! -e "/var/lib/crisp/cni/results/net-a-$pod-eth0" ]
}

@test "[26] an ADD that fails: its words are the answer, DEL follows, and the same request comes through later" {
	local file pod
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)" "$fake"
	printf '%s\n' 'echo "{\"cniVersion\":\"1.0.0\",\"code\":123,\"msg\":\"no luck\",\"details\":\"today\"}"; exit 1' >"$WORK/fake.ADD"
	file=$(pod_file luckless)
	is "$(rpc_code RunPodSandbox "$(run_request "$file")")" Internal
	is "$(rpc_text)" 'network "net-a": plugin fake: ADD: no luck: today'
	like "$(fake_calls)" "^ADD DEL "
	is "$(reservations net-a) $(ip -o link show type veth | wc -l) $(crictl pods -q | wc -l)" "0 0 0"
	printf '%s\n' 'echo "{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"later\"}"; exit 1' >"$WORK/fake.ADD"
	is "$(rpc_code RunPodSandbox "$(run_request "$file")")" Unavailable "try again later"
	rm "$WORK/fake.ADD"
	pod=$(crictl runp "$file")
	is "$(pod_field "$pod" .state)" SANDBOX_READY
}

@test "[26] an ADD that lies: no answer, no JSON, no address, nonsense for one, a crash" {
	local lie text
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)" "$fake"
	while IFS='|' read -r lie text; do
		printf '%s\n' "$lie" >"$WORK/fake.ADD"
		refused_pod Internal "$text" liar
		is "$(reservations net-a)" 0
	done <<-'END'
		exit 0|result is no JSON
		echo hello; exit 0|result is no JSON
		echo '{"cniVersion": "1.0.0"}'; exit 0|gave the pod no address
		echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.77.0.5/24 evil"}]}'; exit 0|malformed address
		echo '{"cniVersion": "7.0.0", "ips": []}'; exit 0|unknown cniVersion
		echo oops >&2; exit 3|exit code 3: oops
		kill -SEGV $$|killed by signal 11
	END
}

@test "[26] an ADD that takes its time holds up nobody else; one that hangs is killed with all it started" {
	local pod begin
	network 05-a.conflist net-a 1.0.0 "$fake"
	printf 'touch %s/fake.began; while [ ! -e %s/fake.go ]; do sleep 0.05; done\n' "$WORK" "$WORK" >"$WORK/fake.ADD"
	crictl runp "$(pod_file slow)" >"$BATS_TEST_TMPDIR/slow" 3>&- &
	began() { [ -e "$WORK/fake.began" ]; }
	within 10 began
	is "$(crictl pods -q)" ""
	touch "$WORK/fake.go"
	wait
	is "$(crictl pods -q)" "$(cat "$BATS_TEST_TMPDIR/slow")"
	remove_pods
	printf '%s\n' 'trap "" TERM; (trap "" TERM; sleep 4242) & sleep 4243' >"$WORK/fake.ADD"
	begin=$SECONDS
	refused_pod DeadlineExceeded "plugin fake: ADD: .*killed, deadline exceeded" hanging
	[ $((SECONDS - begin)) -lt $((20 * CRISP_SLOW)) ]
	run pgrep -f 'sleep 424[23]'
	is "$output" ""
	like "$(fake_calls)" "^ADD DEL ADD DEL "
}

@test "[26] a plugin that talks 1 GiB is refused, and crispd stays small" {
	local size
	network 05-a.conflist net-a 1.0.0 "$fake"
	printf '%s\n' 'head -c 1G /dev/zero; exit 0' >"$WORK/fake.ADD"
	refused_pod Internal "printed more than" talker
	printf '%s\n' 'head -c 1G /dev/zero >&2; exit 1' >"$WORK/fake.ADD"
	refused_pod Internal "exit code 1" complainer
	size=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$(server_pid)/status")
	[ "$size" -lt 262144 ] || { printf 'at most %s KiB\n' "$size"; return 1; }
}

@test "[27] a DEL that fails: stopp tells why and can be repeated; the pod is not ready meanwhile" {
	local pod container try
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)" "$fake"
	pod=$(run_pod sticky)
	container=$(run_container "$pod" sticky inside)
	printf '%s\n' 'echo "{\"cniVersion\":\"1.0.0\",\"code\":123,\"msg\":\"stuck\"}"; exit 1' >"$WORK/fake.DEL"
	for try in 1 2 3; do
		is "$(rpc_code StopPodSandbox "{\"pod_sandbox_id\": \"$pod\"}")" Internal "try $try"
		like "$(rpc_text)" 'network "net-a": plugin fake: DEL: stuck'
	done
	is "$(rpc_code RemovePodSandbox "{\"pod_sandbox_id\": \"$pod\"}")" Internal
	is "$(pod_field "$pod" .state)" SANDBOX_NOTREADY
	is "$(container_field "$container" .state)" CONTAINER_EXITED
	is "$(reservations net-a)" 1
	rm "$WORK/fake.DEL"
	crictl stopp "$pod" >/dev/null
	is "$(reservations net-a)" 0
	crictl rmp "$pod" >/dev/null
}

# After a change in the plugins' folder they are asked at once, else every 5 s.
nudged_network_says() {
	touch "$WORK/plugins/nudge"
	network_says "$1"
}

@test "1.1.0: a plugin's STATUS is the network's readiness, one failure is forgiven" {
	network 05-a.conflist net-a 1.1.0 "$fake"
	within 5 network_says '^true$'
	printf '%s\n' 'echo "{\"cniVersion\":\"1.1.0\",\"code\":50,\"msg\":\"agent is away\"}"; exit 1' >"$WORK/fake.STATUS"
	: >"$WORK/fake.calls"
	within 20 nudged_network_says 'false: network "net-a": plugin fake: STATUS: agent is away'
	[ "$(grep -c STATUS "$WORK/fake.calls")" -ge 2 ]
	rm "$WORK/fake.STATUS"
	within 20 nudged_network_says '^true$'
}

@test "after a restart what belongs to no pod is released; GC tells the plugins who is still there" {
	local pod results=/var/lib/crisp/cni/results stranger
	network 05-a.conflist net-a 1.1.0 "$fake"
	pod=$(run_pod kept)
	stranger=$(printf 'f%.0s' {1..64})
	stop_server KILL
	sed "s/$pod/$stranger/g" "$results/net-a-$pod-eth0" >"$results/net-a-$stranger-eth0"
	: >"$WORK/fake.calls"
	start_server
	collected() { [ -s "$WORK/fake.stdin.GC" ] && jq -e . "$WORK/fake.stdin.GC" >/dev/null; }
	within 10 collected
	is "$(fake_calls)" "DEL "
	like "$(grep DEL "$WORK/fake.calls")" "^DEL ffffffffffff$"
	[ ! -e "$results/net-a-$stranger-eth0" ]
	is "$(jq -c '.["cni.dev/valid-attachments"]' "$WORK/fake.stdin.GC")" "[{\"containerID\":\"$pod\",\"ifname\":\"eth0\"}]"
	is "$(pod_field "$pod" .state)" SANDBOX_READY
}

@test "after a restart CHECK asks whether a pod still has its network; what is amiss is told, and the pod left alone" {
	local pod other
	network 05-a.conflist net-a 1.0.0 "$fake"
	pod=$(run_pod flushed)
	stop_server KILL
	: >"$WORK/fake.calls"
	printf '%s\n' 'echo "{\"cniVersion\":\"1.0.0\",\"code\":7,\"msg\":\"rules are gone\"}"; exit 1' >"$WORK/fake.CHECK"
	start_server
	amiss() { crictl inspectp "$pod" | jq -e '.info.networkProblem // "" | test("CHECK: rules are gone")' >/dev/null; }
	within 20 amiss
	is "$(grep -c CHECK "$WORK/fake.calls")" 1
	is "$(jq -c '.prevResult.ips[0].address' "$WORK/fake.stdin.CHECK")" '"10.77.0.5/24"'
	grep -q "its network is not as it was made, says plugin fake: CHECK: rules are gone" "$SERVER_LOG"
	is "$(pod_field "$pod" .state)" SANDBOX_READY
	rm "$WORK/fake.CHECK"
	crictl rmp -f "$pod" >/dev/null
	# The real plugins find nothing amiss; the last of the list has been asked, so those before it were content.
	printf 'jq -c .prevResult <<<"$conf"\nexit 0\n' >"$WORK/fake.ADD"
	network 05-a.conflist net-b 1.0.0 "$(bridge net-b0 10.78.0.0/24)" "$portmap" "$fake"
	other=$(run_pod sound) # without a host port: portmap 1.1.1 looks for the rules of both families, whichever the pod has
	stop_server KILL
	: >"$WORK/fake.calls"
	start_server
	last_was_asked() { grep -q CHECK "$WORK/fake.calls"; }
	within 20 last_was_asked
	is "$(crictl inspectp "$other" | jq -r '.info.networkProblem // "none"')" none
}

@test "plugins of the folder named as the network come after the list's own, unless it says not to" {
	local pod
	mkdir /etc/cni/net.d/net-a
	printf '%s\n' "$portmap" >/etc/cni/net.d/net-a/10-portmap.conf
	printf '{"type": "no-such-plugin"}\n' >/etc/cni/net.d/net-a/20-other.json
	network 05-a.conflist net-a 1.0.0 "$(bridge net-a0 10.77.0.0/24)"
	plugins_are() { [ "$(network_info | jq -c '.files[0].plugins')" = "$1" ]; }
	within 10 plugins_are '["bridge","portmap"]'
	pod=$(run_pod mapped '.port_mappings = [{container_port: 80, host_port: 18081}]')
	like "$(iptables-save -t nat)" 'dport 18081 .*DNAT'
	crictl rmp -f "$pod" >/dev/null
	jq -c '.loadOnlyInlinedPlugins = true' /etc/cni/net.d/05-a.conflist >"$BATS_TEST_TMPDIR/alone"
	cp "$BATS_TEST_TMPDIR/alone" /etc/cni/net.d/05-a.conflist
	within 10 plugins_are '["bridge"]'
	rm -r /etc/cni/net.d/net-a
}

@test "nothing is left behind" { census_is_clean; }
