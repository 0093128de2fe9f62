# Networks of a file's own, and what tells whether pods on them are reached: for the files about pod networks, behind helper.bash.
# shellcheck shell=bash disable=SC2154

# What tests made; then pods are on the bridge of all suites again.
remove_networks() {
	local link
	find /etc/cni/net.d -type f ! -name 10-bench.conflist -delete
	find /etc/cni/net.d -mindepth 1 -type d -empty -delete
	install_cni
	within 10 network_is crisp-it
	for link in net-a0 net-b0 net-m0; do ip link del "$link" 2>/dev/null || true; done
	find /var/lib/cni/networks -mindepth 1 -maxdepth 1 -name 'net-*' -exec rm -r {} +
}

# ---- networks ----

# network FILE NAME VERSION PLUGIN...: a list in the configuration folder, in place at once; waits until it is in use.
network() {
	local file=$1 name=$2 version=$3
	shift 3
	printf '%s\n' "$@" | jq -s --arg name "$name" --arg version "$version" '{cniVersion: $version, name: $name, plugins: .}' \
		>"$WORK/network.new"
	mv "$WORK/network.new" "/etc/cni/net.d/$file"
	within 10 network_is "$name" || { status_of_network; return 1; }
}

network_info() {
	crirpc -e "$SERVER_SOCKET" Status '{"verbose": true}' | sed -n 3p | jq -c '.info.network | fromjson'
}

network_in_use() {
	network_info | jq -r '[.files[]? | select(.inUse) | .network] | first // ""'
}

network_is() {
	[ "$(network_in_use)" = "$1" ]
}

# "true" or "false: why"
status_of_network() {
	crirpc -e "$SERVER_SOCKET" Status '{}' | sed -n 3p |
		jq -r '.status.conditions[] | select(.type == "NetworkReady") | if .status then "true" else "false: \(.message)" end'
}

network_says() {
	[[ $(status_of_network) =~ $1 ]]
}

host_local() { # SUBNET...: an address of each
	printf '%s\n' "$@" | jq -R '{subnet: .}' |
		jq -sc '{type: "host-local", ranges: map([.]), routes: map({dst: (if .subnet | contains(":") then "::/0" else "0.0.0.0/0" end)})}'
}

bridge() { # BRIDGE SUBNET...
	local name=$1
	shift
	jq -nc --arg name "$name" --argjson ipam "$(host_local "$@")" \
		'{type: "bridge", bridge: $name, isGateway: true, ipMasq: true, hairpinMode: true, ipam: $ipam}'
}

portmap='{"type":"portmap","capabilities":{"portMappings":true}}'

# ---- pods ----

pod_pid() {
	crictl inspectp "$1" | jq -r .info.pid
}

in_pod() { # POD COMMAND...: in its network namespace
	nsenter -t "$(pod_pid "$1")" -n "${@:2}"
}

addresses() { # POD: of the status, in its order
	pod_field "$1" '[.network.ip, (.network.additionalIps[]?.ip)] | join(" ")'
}

reservations() { # NETWORK
	find "/var/lib/cni/networks/$1" -type f ! -name 'last_reserved_ip.*' ! -name lock 2>/dev/null | wc -l
}

# echo_in POD PORT TCP4|TCP6|UDP4|UDP6: answers each line with "pod: LINE" until the test ends.
echo_in() {
	local kind=$3 options=fork,reuseaddr
	printf '#!/bin/sh\nwhile IFS= read -r line; do printf "pod: %%s\\n" "$line"; done\n' >"$WORK/echo"
	chmod +x "$WORK/echo"
	[[ $kind != *6 ]] || options+=,ipv6only=1
	detached /dev/null nsenter -t "$(pod_pid "$1")" -n socat -T 3 "$kind-LISTEN:$2,$options" "EXEC:$WORK/echo"
	ECHOES+=("$DETACHED")
}

end_echoes() {
	[ "${#ECHOES[@]}" -eq 0 ] || kill "${ECHOES[@]}" 2>/dev/null || true
	ECHOES=()
}

# echoes ADDRESS...: socat's, such as TCP4:10.1.2.3:80
echoes() {
	local address
	for address in "$@"; do
		within 10 echo_comes "$address" || { printf '%s does not answer\n' "$address"; return 1; }
	done
}

echo_comes() {
	[ "$(printf 'hello\n' | timeout 2 socat -t 0.5 - "$1" 2>/dev/null | head -n 1)" = "pod: hello" ]
}

silent() {
	! printf 'hello\n' | timeout 1 socat -t 0.3 - "$1" 2>/dev/null | grep -q pod || { printf '%s answers\n' "$1"; return 1; }
}
