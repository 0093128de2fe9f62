// criflood misuses HTTP/2 (RFC 9113) against a gRPC server on a unix socket, as no gRPC client would:
//
//	criflood -e SOCKET [-n N] [-t TIME] KIND
//
// It sends up to N of what KIND says, for at most TIME, and stops when the server ends the connection. Then it prints one line of JSON:
// "sent" (how many went out), "read" (bytes that came back), "goaway" and "reset" (the name of the error of the last GOAWAY and the last
// RST_STREAM, if any came), "status" (the last :status and grpc-status), and "closed" (the server ended the connection).
// The exit status is 0 whatever the server did; 1 when there was no server.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	version = "/runtime.v1.RuntimeService/Version"
	lists   = "/runtime.v1.RuntimeService/ListContainers"
	slow    = "/runtime.v1.RuntimeService/GetContainerEvents" // an answer that does not end
)

var (
	endpoint = flag.String("e", "/run/crisp/crisp.sock", "unix socket of the server")
	number   = flag.Int("n", 10000, "how many")
	patience = flag.Duration("t", 10*time.Second, "for how long at most")
)

// result is what is printed.
type result struct {
	Sent   int    `json:"sent"`
	Read   int    `json:"read"`
	GoAway string `json:"goaway"`
	Reset  string `json:"reset"`
	Status string `json:"status"`
	Closed bool   `json:"closed"`
}

// flood is one connection.
type flood struct {
	conn    net.Conn
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	stream  uint32

	lock   sync.Mutex
	result result
	done   chan struct{} // the reader has ended
}

// kinds send one of their kind, or all where only a whole makes sense; an error ends the flood.
var kinds = map[string]struct {
	deaf bool // nothing is read meanwhile
	once bool
	send func(*flood, int) error
}{
	"resets":        {send: (*flood).sendReset},
	"answer-resets": {send: (*flood).sendAnswerReset},
	"pings-unread":  {deaf: true, send: func(f *flood, i int) error { return f.framer.WritePing(false, [8]byte{byte(i)}) }},
	"settings":      {send: func(f *flood, _ int) error { return f.framer.WriteSettings() }},
	"settings-unread": {deaf: true, send: func(f *flood, i int) error {
		return f.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(1000 + i%1000)})
	}},
	"continuations":   {send: (*flood).sendContinuation},
	"header-bomb":     {send: (*flood).sendHeaderBomb},
	"empty-data":      {send: (*flood).sendEmptyData},
	"window-updates":  {send: func(f *flood, _ int) error { return f.framer.WriteWindowUpdate(0, 1) }},
	"window-overflow": {once: true, send: func(f *flood, _ int) error { return f.framer.WriteWindowUpdate(0, 1<<31-1) }},
	"window-update-0": {once: true, send: func(f *flood, _ int) error {
		return f.framer.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4))
	}},
	"zero-window":    {send: (*flood).sendZeroWindow},
	"streams":        {send: func(f *flood, _ int) error { return f.open(slow, true) }},
	"unknown-frames": {send: func(f *flood, _ int) error { return f.framer.WriteRawFrame(0xbe, 0, 0, make([]byte, 1000)) }},
	"priorities": {send: func(f *flood, i int) error {
		return f.framer.WritePriority(uint32(2*i+1), http2.PriorityParam{Weight: 9})
	}},
	"frame-size-0": {once: true, send: func(f *flood, _ int) error {
		return f.framer.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize})
	}},
	"frame-too-large": {once: true, send: func(f *flood, _ int) error { return f.framer.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<20)) }},
	"data-unopened":   {once: true, send: func(f *flood, _ int) error { return f.framer.WriteData(77, true, []byte("x")) }},
	"even-stream":     {once: true, send: func(f *flood, _ int) error { f.stream = 2; return f.openAs(f.stream, version, true) }},
	"path-empty":      {once: true, send: func(f *flood, _ int) error { return f.open("", true) }},
	"path-star":       {once: true, send: func(f *flood, _ int) error { return f.open("*", true) }},
	"path-dots":       {once: true, send: func(f *flood, _ int) error { return f.open("/../../etc/passwd", true) }},
	"path-binary":     {once: true, send: func(f *flood, _ int) error { return f.open("/\x00\xff\n", true) }},
	"path-long":       {once: true, send: func(f *flood, _ int) error { return f.open("/"+strings.Repeat("a", 60000), true) }},
	"path-missing":    {once: true, send: (*flood).sendWithoutPath},
}

func (f *flood) header(name, value string) {
	f.encoder.WriteField(hpack.HeaderField{Name: name, Value: value})
}

func (f *flood) startBlock(path string) {
	f.block.Reset()
	f.header(":method", "POST")
	f.header(":scheme", "http")
	f.header(":authority", "localhost")
	f.header(":path", path)
	f.header("content-type", "application/grpc")
	f.header("te", "trailers")
}

func (f *flood) openAs(stream uint32, path string, request bool) error {
	f.startBlock(path)
	if err := f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.block.Bytes(), EndHeaders: true}); err != nil || !request {
		return err
	}
	return f.framer.WriteData(stream, true, make([]byte, 5))
}

// open starts the next stream; with request it is a whole call with an empty message.
func (f *flood) open(path string, request bool) error {
	f.stream += 2
	return f.openAs(f.stream-2, path, request)
}

func (f *flood) sendReset(int) error {
	if err := f.open(version, false); err != nil {
		return err
	}
	return f.framer.WriteRSTStream(f.stream-2, http2.ErrCodeCancel)
}

func (f *flood) sendAnswerReset(int) error {
	if err := f.open(lists, true); err != nil {
		return err
	}
	return f.framer.WriteRSTStream(f.stream-2, http2.ErrCodeCancel)
}

// The first opens the block, which then never ends.
func (f *flood) sendContinuation(i int) error {
	if i == 0 {
		f.startBlock(version)
		return f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block.Bytes()})
	}
	f.block.Reset()
	f.header(fmt.Sprintf("x-%d", i), strings.Repeat("a", 8000))
	return f.framer.WriteContinuation(1, false, f.block.Bytes())
}

// A header of 4000 bytes in the table, then some ten thousand references to it of a byte each: 40 MB a request.
func (f *flood) sendHeaderBomb(int) error {
	f.startBlock(version)
	f.header("x-bomb", strings.Repeat("b", 4000))
	for f.block.Len() < 16000 {
		f.header("x-bomb", strings.Repeat("b", 4000))
	}
	f.stream += 2
	return f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream - 2, BlockFragment: f.block.Bytes(), EndHeaders: true, EndStream: true})
}

func (f *flood) sendEmptyData(i int) error {
	if i == 0 {
		return f.open(version, false)
	}
	return f.framer.WriteData(1, false, nil)
}

// The answers may never be sent.
func (f *flood) sendZeroWindow(i int) error {
	if i == 0 {
		if err := f.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
			return err
		}
	}
	return f.open(lists, true)
}

func (f *flood) sendWithoutPath(int) error {
	f.block.Reset()
	f.header(":method", "POST")
	f.header(":scheme", "http")
	f.header("content-type", "application/grpc")
	return f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block.Bytes(), EndHeaders: true, EndStream: true})
}

// counter counts what comes in.
type counter struct{ flood *flood }

func (c counter) Read(p []byte) (int, error) {
	n, err := c.flood.conn.Read(p)
	c.flood.lock.Lock()
	c.flood.result.Read += n
	c.flood.lock.Unlock()
	return n, err
}

func (f *flood) take(frame http2.Frame) {
	f.lock.Lock()
	defer f.lock.Unlock()
	switch frame := frame.(type) {
	case *http2.GoAwayFrame:
		f.result.GoAway = frame.ErrCode.String()
	case *http2.RSTStreamFrame:
		f.result.Reset = frame.ErrCode.String()
	case *http2.MetaHeadersFrame:
		for _, field := range frame.Fields {
			if field.Name == ":status" || field.Name == "grpc-status" {
				f.result.Status = strings.TrimSpace(f.result.Status + " " + field.Name + "=" + field.Value)
			}
		}
		if words := strings.Fields(f.result.Status); len(words) > 2 {
			f.result.Status = strings.Join(words[len(words)-2:], " ")
		}
	}
}

// read goes on until the connection ends or its deadline has come. A stream's error is no end.
func (f *flood) read() {
	defer close(f.done)
	framer := http2.NewFramer(io.Discard, counter{f})
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := framer.ReadFrame()
		var stream http2.StreamError
		if errors.As(err, &stream) {
			continue
		}
		if err != nil {
			f.lock.Lock()
			f.result.Closed = !errors.Is(err, os.ErrDeadlineExceeded)
			f.lock.Unlock()
			return
		}
		f.take(frame)
	}
}

func main() {
	names := []string{}
	for name := range kinds {
		names = append(names, name)
	}
	sort.Strings(names)
	flag.Parse()
	kind, known := kinds[flag.Arg(0)]
	if !known {
		fmt.Fprintln(os.Stderr, "criflood: KIND is one of", strings.Join(names, " "))
		os.Exit(1)
	}
	conn, err := net.Dial("unix", *endpoint)
	if err != nil {
		fmt.Fprintln(os.Stderr, "criflood:", err)
		os.Exit(1)
	}
	end := time.Now().Add(*patience)
	conn.SetDeadline(end)
	f := &flood{conn: conn, framer: http2.NewFramer(conn, nil), stream: 1, done: make(chan struct{})}
	f.framer.AllowIllegalWrites = true
	f.encoder = hpack.NewEncoder(&f.block)
	io.WriteString(conn, http2.ClientPreface)
	f.framer.WriteSettings()
	if !kind.deaf {
		go f.read()
	}
	if kind.once {
		*number = 1
	}
	for sent := 0; sent < *number && err == nil && time.Now().Before(end); sent++ {
		if err = kind.send(f, sent); err == nil {
			f.result.Sent++
		}
	}
	// What the server has to say comes within a moment, when it was not told already.
	if time.Until(end) > time.Second {
		conn.SetDeadline(time.Now().Add(time.Second))
	}
	if kind.deaf {
		go f.read()
	}
	<-f.done
	line, _ := json.Marshal(f.result)
	fmt.Println(string(line))
}
