package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// streams measures exec and port-forward as a client on the same machine sees them, over SPDY, which every server has:
//
//	ExecSync_ms        of `echo hi`
//	Exec_ms, ExecTty_ms the same from the request for a URL to the end of its session, without and with a terminal
//	exec_pss_kb        memory of the processes that a `sleep` in an exec needs beside itself
//	Echo_ms            from a key to its echo by the terminal of `cat`, exec with a terminal
//	forward_to_mib_s   one connection, bytes to the pod; forward_from_mib_s: from it
//	forward_many_mib_s many connections at once, each sending and getting back each, checksums compared
//	cpu_to_s, cpu_from_s of the server process meanwhile
//
// The pod is on the host's network, so its end of the connections is here.
func streams(ctx context.Context, rt cri.RuntimeServiceClient, r *rec, res map[string]any, spec *cri.ImageSpec) {
	run := fmt.Sprint(time.Now().UnixNano())
	pc := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: "stream", Namespace: "bench", Uid: run}, LogDirectory: "/tmp/cribench/" + run,
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER, Network: cri.NamespaceMode_NODE}}}}
	pod, err := rt.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: pc, RuntimeHandler: *handler})
	must(err)
	ctr, err := rt.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: pod.PodSandboxId, SandboxConfig: pc, Config: &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "c"}, Image: spec, Command: []string{"sleep", "100000"}, LogPath: "c.log",
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: pc.Linux.SecurityContext.NamespaceOptions}}}})
	must(err)
	_, err = rt.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: ctr.ContainerId})
	must(err)
	execsOf(ctx, rt, r, res, ctr.ContainerId)
	echo(ctx, rt, r, ctr.ContainerId)
	if *volume > 0 {
		forwards(ctx, rt, res, pod.PodSandboxId)
		if *server != 0 {
			res["peak_rss_mib"] = peakMiB(*server)
		}
	}
	_, err = rt.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: pod.PodSandboxId})
	must(err)
	_, err = rt.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod.PodSandboxId})
	must(err)
}

// session runs a command to its end and returns what it wrote; with a terminal, in one.
func session(ctx context.Context, rt cri.RuntimeServiceClient, id string, tty bool, cmd ...string) (string, error) {
	x, err := rt.Exec(ctx, &cri.ExecRequest{ContainerId: id, Cmd: cmd, Tty: tty, Stdout: true, Stderr: !tty})
	if err != nil {
		return "", err
	}
	conn, err := dialSPDY(x.Url, "v4.channel.k8s.io")
	if err != nil {
		return "", err
	}
	defer conn.close()
	var out []byte
	kinds := map[bool][]string{false: {"error", "stdout", "stderr"}, true: {"error", "stdout", "resize"}}[tty]
	var first *spdyStream
	for _, kind := range kinds {
		received := func([]byte) {}
		if kind == "stdout" {
			received = func(b []byte) { out = append(out, b...) }
		}
		s, err := conn.open(received, "streamtype", kind)
		if err != nil {
			return "", err
		}
		if first == nil {
			first = s
		}
	}
	<-first.ended
	<-conn.dead
	return string(out), nil
}

func execsOf(ctx context.Context, rt cri.RuntimeServiceClient, r *rec, res map[string]any, id string) {
	for i := 0; i < *execs+3; i++ { // the first are a warm-up
		timed := r.time
		if i < 3 {
			timed = func(_ string, f func() error) error { return f() }
		}
		must(timed("ExecSync", func() error {
			x, e := rt.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"echo", "hi"}, Timeout: 30})
			if e == nil && string(x.Stdout) != "hi\n" {
				e = fmt.Errorf("exec said %q", x.Stdout)
			}
			return e
		}))
		for name, tty := range map[string]bool{"Exec": false, "ExecTty": true} {
			must(timed(name, func() error {
				out, e := session(ctx, rt, id, tty, "echo", "hi")
				if e == nil && strings.TrimSpace(out) != "hi" {
					e = fmt.Errorf("exec said %q", out)
				}
				return e
			}))
		}
	}
	res["exec_pss_kb"] = execMemory(ctx, rt, id)
}

// execMemory: what an exec that only sleeps costs, in KiB: of processes that were not there before, but for the command
// itself.
func execMemory(ctx context.Context, rt cri.RuntimeServiceClient, id string) int {
	const many = 4
	before := processes()
	for i := 0; i < many; i++ {
		go rt.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "4"}, Timeout: 30})
	}
	time.Sleep(2 * time.Second)
	sum := 0
	for pid, name := range processes() {
		if _, old := before[pid]; !old && name != "sleep" && name != "busybox" {
			sum += pssKB(pid)
		}
	}
	time.Sleep(3 * time.Second)
	return sum / many
}

func processes() map[string]string {
	names := map[string]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if b, err := os.ReadFile("/proc/" + e.Name() + "/comm"); err == nil {
			names[e.Name()] = strings.TrimSpace(string(b))
		}
	}
	return names
}

func echo(ctx context.Context, rt cri.RuntimeServiceClient, r *rec, id string) {
	x, err := rt.Exec(ctx, &cri.ExecRequest{ContainerId: id, Cmd: []string{"cat"}, Tty: true, Stdin: true, Stdout: true})
	must(err)
	conn, err := dialSPDY(x.Url, "v4.channel.k8s.io")
	must(err)
	defer conn.close()
	got := make(chan byte, 1024)
	open := func(kind string, received func([]byte)) *spdyStream {
		s, err := conn.open(received, "streamtype", kind)
		must(err)
		return s
	}
	open("error", nil)
	in := open("stdin", nil)
	open("stdout", func(b []byte) {
		for _, c := range b {
			got <- c
		}
	})
	open("resize", nil)
	key := func(c byte) error {
		if err := in.send([]byte{c}, false); err != nil {
			return err
		}
		for {
			select {
			case b := <-got:
				if b == c {
					return nil
				}
			case <-conn.dead:
				return fmt.Errorf("exec has ended")
			case <-time.After(30 * time.Second):
				return fmt.Errorf("no echo")
			}
		}
	}
	for i := 0; i < *keys+100; i++ { // the first are a warm-up; a line is never longer than a terminal takes
		c := byte('a' + i%26)
		if i%1000 == 999 {
			c = '\n'
		}
		if i < 100 {
			must(key(c))
		} else {
			must(r.time("Echo", func() error { return key(c) }))
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// forwarder opens connections to a port of the pod through one session.
type forwarder struct {
	conn *spdyConn
	port string
	mu   sync.Mutex
	n    int
}

func (f *forwarder) dial(received func([]byte)) (*spdyStream, error) {
	f.mu.Lock()
	request := strconv.Itoa(f.n)
	f.n++
	f.mu.Unlock()
	e, err := f.conn.open(nil, "streamtype", "error", "port", f.port, "requestid", request)
	if err != nil {
		return nil, err
	}
	if err = e.send(nil, true); err != nil {
		return nil, err
	}
	return f.conn.open(received, "streamtype", "data", "port", f.port, "requestid", request)
}

// inPod serves each connection to a port of its own.
func inPod(serve func(*net.TCPConn)) (string, func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), func() { l.Close() }
}

func forwarding(ctx context.Context, rt cri.RuntimeServiceClient, pod, port string) *forwarder {
	x, err := rt.PortForward(ctx, &cri.PortForwardRequest{PodSandboxId: pod})
	must(err)
	conn, err := dialSPDY(x.Url, "portforward.k8s.io")
	must(err)
	return &forwarder{conn: conn, port: port}
}

func forwards(ctx context.Context, rt cri.RuntimeServiceClient, res map[string]any, pod string) {
	total := *volume << 20
	block := make([]byte, 512<<10)
	rand.New(rand.NewSource(1)).Read(block)
	rate := func(bytes int, took time.Duration) float64 { return float64(bytes) / (1 << 20) / took.Seconds() }

	done := make(chan int, 1)
	port, stop := inPod(func(c *net.TCPConn) {
		buf, n := make([]byte, 1<<20), 0
		for n < total {
			m, err := c.Read(buf)
			n += m
			if err != nil {
				break
			}
		}
		done <- n
		io.Copy(io.Discard, c)
	})
	f := forwarding(ctx, rt, pod, port)
	s, err := f.dial(nil)
	must(err)
	t, cpu := time.Now(), cpuSeconds(*server)
	for sent := 0; sent < total; sent += len(block) {
		must(s.send(block, sent+len(block) >= total))
	}
	if n := <-done; n != total {
		must(fmt.Errorf("%d of %d bytes came to the pod", n, total))
	}
	res["forward_to_mib_s"] = rate(total, time.Since(t))
	res["cpu_to_s"] = cpuSeconds(*server) - cpu
	f.conn.close()
	stop()

	port, stop = inPod(func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 1))
		for sent := 0; sent < total; sent += len(block) {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
	f = forwarding(ctx, rt, pod, port)
	n, all := 0, make(chan struct{})
	s, err = f.dial(func(b []byte) {
		if n += len(b); n == total {
			close(all)
		}
	})
	must(err)
	t, cpu = time.Now(), cpuSeconds(*server)
	must(s.send([]byte{0}, false))
	select { // a server may take its time to tell the end
	case <-all:
	case <-s.ended:
	}
	if n != total {
		must(fmt.Errorf("%d of %d bytes came from the pod", n, total))
	}
	res["forward_from_mib_s"] = rate(total, time.Since(t))
	res["cpu_from_s"] = cpuSeconds(*server) - cpu
	f.conn.close()
	stop()
	if *par > 1 {
		res["forward_many_mib_s"] = rate(2*many(ctx, rt, pod, block), tookMany)
	}
}

var tookMany time.Duration

// many: par connections at once, each MiB each way through an echo; the sums of what went and what came are compared.
// Returns the bytes of one direction.
func many(ctx context.Context, rt cri.RuntimeServiceClient, pod string, block []byte) int {
	table := crc32.MakeTable(crc32.Castagnoli)
	total := *volumeEach << 20
	port, stop := inPod(func(c *net.TCPConn) {
		io.Copy(c, c)
		c.CloseWrite()
	})
	defer stop()
	f := forwarding(ctx, rt, pod, port)
	defer f.conn.close()
	start := time.Now()
	var mu sync.Mutex
	each(*par, *par, func(i int) error {
		var sent, got uint32
		n := 0
		all := make(chan struct{})
		s, err := f.dial(func(b []byte) {
			got = crc32.Update(got, table, b)
			if n += len(b); n == total {
				close(all)
			}
		})
		if err != nil {
			return err
		}
		own := append([]byte(nil), block[:128<<10]...)
		own[0], own[1] = byte(i), byte(i>>8)
		for at := 0; at < total; at += len(own) {
			sent = crc32.Update(sent, table, own)
			if err := s.send(own, false); err != nil {
				return err
			}
		}
		// containerd cuts off what is still to come a second after one direction has ended.
		select {
		case <-all:
		case <-s.ended:
		}
		mu.Lock()
		tookMany = time.Since(start) // until the last byte of the last
		mu.Unlock()
		if err := s.send(nil, true); err != nil {
			return err
		}
		<-s.ended
		if n != total || sent != got {
			return fmt.Errorf("connection %d: %d of %d bytes came back, checksum %08x, want %08x", i, n, total, got, sent)
		}
		return nil
	})
	return *par * total
}
