package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// spdyConn is a client's side of SPDY/3.1 with as little work as possible, so that what is measured is the server: header
// blocks are stored, not compressed, and data goes to each stream's own function.
type spdyConn struct {
	tcp     *net.TCPConn
	write   sync.Mutex
	packed  bool // a header block was sent
	mu      sync.Mutex
	next    uint32
	streams map[uint32]*spdyStream
	dead    chan struct{}
}

type spdyStream struct {
	conn     *spdyConn
	id       uint32
	received func([]byte)
	replied  chan struct{}
	ended    chan struct{} // its far end has
	over     bool
}

// dialSPDY upgrades at a URL that Exec or PortForward gave.
func dialSPDY(where string, protocols ...string) (*spdyConn, error) {
	u, err := url.Parse(where)
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	request := "POST " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
	for _, p := range protocols {
		request += "X-Stream-Protocol-Version: " + p + "\r\n"
	}
	if _, err = io.WriteString(c, request+"\r\n"); err != nil {
		return nil, err
	}
	reader := bufio.NewReaderSize(c, 256*1024)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("%s: %s", where, answer.Status)
	}
	conn := &spdyConn{tcp: c.(*net.TCPConn), next: 1, streams: map[uint32]*spdyStream{}, dead: make(chan struct{})}
	go conn.read(reader)
	return conn, nil
}

func (c *spdyConn) close() { c.tcp.Close() }

func (c *spdyConn) stream(id uint32) *spdyStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id]
}

func (s *spdyStream) end() {
	if s != nil && !s.over {
		s.over = true
		close(s.ended)
	}
}

// read runs until the connection ends; streams' functions run here.
func (c *spdyConn) read(reader *bufio.Reader) {
	defer func() {
		close(c.dead)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.streams {
			s.end()
		}
	}()
	var header [8]byte
	buf := make([]byte, 1<<20)
	for {
		if _, err := io.ReadFull(reader, header[:]); err != nil {
			return
		}
		word, size := binary.BigEndian.Uint32(header[:]), binary.BigEndian.Uint32(header[4:])
		flags, left := size>>24, int(size&0xffffff)
		if word&0x80000000 == 0 {
			s := c.stream(word)
			for left > 0 {
				n, err := reader.Read(buf[:min(left, len(buf))])
				if err != nil {
					return
				}
				if s != nil && s.received != nil {
					s.received(buf[:n])
				}
				left -= n
			}
			if flags&1 != 0 {
				s.end()
			}
			continue
		}
		if _, err := io.ReadFull(reader, buf[:left]); err != nil {
			return
		}
		switch word & 0xffff {
		case 2: // SYN_REPLY
			if s := c.stream(binary.BigEndian.Uint32(buf)); s != nil {
				close(s.replied)
			}
		case 3: // RST_STREAM
			c.stream(binary.BigEndian.Uint32(buf)).end()
		case 7: // GOAWAY
			return
		}
	}
}

func (c *spdyConn) block(pairs []string) []byte {
	var plain, out bytes.Buffer
	binary.Write(&plain, binary.BigEndian, uint32(len(pairs)/2))
	for _, p := range pairs {
		binary.Write(&plain, binary.BigEndian, uint32(len(p)))
		plain.WriteString(p)
	}
	if !c.packed {
		out.Write([]byte{0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2})
		c.packed = true
	}
	out.WriteByte(0)
	binary.Write(&out, binary.LittleEndian, uint16(plain.Len()))
	binary.Write(&out, binary.LittleEndian, ^uint16(plain.Len()))
	out.Write(plain.Bytes())
	out.Write([]byte{0, 0, 0, 0xff, 0xff})
	return out.Bytes()
}

// open makes a stream with these header pairs and waits for the server's reply.
func (c *spdyConn) open(received func([]byte), pairs ...string) (*spdyStream, error) {
	s := &spdyStream{conn: c, received: received, replied: make(chan struct{}), ended: make(chan struct{})}
	c.write.Lock()
	c.mu.Lock()
	s.id = c.next
	c.next += 2
	c.streams[s.id] = s
	c.mu.Unlock()
	block := c.block(pairs)
	frame := binary.BigEndian.AppendUint32(nil, 0x80030001)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(block)+10))
	frame = binary.BigEndian.AppendUint32(frame, s.id)
	frame = append(frame, 0, 0, 0, 0, 0, 0)
	_, err := c.tcp.Write(append(frame, block...))
	c.write.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case <-s.replied:
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("a stream of %v was refused", pairs)
	case <-c.dead:
		return nil, fmt.Errorf("the connection has ended")
	}
}

const spdyChunk = 32 * 1024 // of one DATA frame, as kubectl sends them

// send writes data as frames, several with one write; fin ends the direction.
func (s *spdyStream) send(data []byte, fin bool) error {
	var frames net.Buffers
	for len(data) > 0 {
		n := min(len(data), spdyChunk)
		header := binary.BigEndian.AppendUint32(nil, s.id)
		header = binary.BigEndian.AppendUint32(header, uint32(n))
		frames = append(frames, header, data[:n])
		data = data[n:]
	}
	if fin {
		header := binary.BigEndian.AppendUint32(nil, s.id)
		frames = append(frames, binary.BigEndian.AppendUint32(header, 1<<24))
	}
	s.conn.write.Lock()
	defer s.conn.write.Unlock()
	_, err := frames.WriteTo(s.conn.tcp)
	return err
}
