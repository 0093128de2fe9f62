# Root file systems of the fixture images, put together from Debian packages. Sourced; ROOTS is the scratch folder.
# Programs come with the shared libraries that ldd names, taken from this host or from an unpacked package.
# shellcheck shell=bash

# unpack PACKAGE: downloads the package and unpacks it into $ROOTS/deb/PACKAGE, once.
unpack() {
	[ -d "$ROOTS/deb/$1" ] && return
	mkdir -p "$ROOTS/debs" "$ROOTS/deb"
	(cd "$ROOTS/debs" && apt-get download -q -o APT::Sandbox::User=root "$1")
	dpkg-deb -x "$ROOTS/debs/$1"_*.deb "$ROOTS/deb/$1"
}

# program ROOT FILE DESTINATION: the program and its libraries.
program() {
	local library
	install -D -m 755 "$2" "$1/$3"
	ldd "$2" 2>/dev/null | grep -oE '/[^ ]+' | while read -r library; do
		[ -e "$1$library" ] || install -D -m 755 "$library" "$1/$library"
	done
}

# compile FILE DESTINATION: a tiny static program.
compile() {
	mkdir -p "$(dirname "$2")"
	gcc -O2 -static -s -o "$2" "$1"
}

# The base of most images: busybox with a link per applet, users, and the folders programs expect.
base_root() {
	local root=$1 applet
	mkdir -p "$root"/{bin,dev,etc,proc,root,sys,usr/bin,usr/sbin,var/run,var/log,home,www}
	mkdir -m 1777 "$root/tmp"
	program "$root" /usr/bin/busybox bin/busybox
	for applet in $(busybox --list); do
		case $applet in
		ls | busybox | init | linuxrc) continue ;;
		esac
		ln -s busybox "$root/bin/$applet"
	done
	cat >"$root/etc/passwd" <<-'END'
		root:x:0:0:root:/root:/bin/sh
		daemon:x:1:1:daemon:/usr/sbin:/bin/false
		www-data:x:33:33:www-data:/var/www:/bin/false
		nobody:x:65534:65534:nobody:/home:/bin/false
	END
	cat >"$root/etc/group" <<-'END'
		root:x:0:
		daemon:x:1:
		www-data:x:33:
		nogroup:x:65534:
	END
	printf 'crisp fixture\n' >"$root/etc/issue"
}

# What busybox lacks or would answer for from its own file: tests mask /bin/ls, and look processes up by pgrep.
tools_root() {
	local root=$1 tool
	for tool in ls ipcs pgrep; do
		program "$root" "$(readlink -f "/usr/bin/$tool")" "bin/$tool"
	done
}

# nginx_root ROOT PORT: nginx in the foreground, its log on the container's own streams.
nginx_root() {
	local root=$1
	unpack nginx
	mkdir -p "$root"/{etc/nginx,var/lib/nginx,var/log/nginx,var/run,www}
	program "$root" "$ROOTS/deb/nginx/usr/sbin/nginx" usr/sbin/nginx
	printf 'hello from nginx\n' >"$root/www/index.html"
	cat >"$root/etc/nginx/nginx.conf" <<-END
		daemon off;
		user root;
		worker_processes 1;
		pid /var/run/nginx.pid;
		error_log stderr notice;
		events { worker_connections 64; }
		http {
			access_log off;
			server { listen $2; location / { root /www; } }
		}
	END
}
