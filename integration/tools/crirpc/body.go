// A call below gRPC: the HTTP/2 request's body is sent as given, message prefix and all.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// plainConn is one HTTP/2 connection to the server and how often it had to be made.
type plainConn struct {
	transport http2.Transport
	dials     int
}

func newPlainConn() *plainConn {
	conn := &plainConn{}
	conn.transport.AllowHTTP = true
	conn.transport.DialTLSContext = func(ctx context.Context, _, _ string, _ *tls.Config) (net.Conn, error) {
		conn.dials++
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", *endpoint)
	}
	return conn
}

// call answers with the rest of the response's body and its gRPC status.
func (conn *plainConn) call(path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "POST", "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	request.Header.Set("content-type", "application/grpc")
	request.Header.Set("te", "trailers")
	if *claim != "" {
		request.Header.Set("grpc-encoding", *claim)
	}
	response, err := conn.transport.RoundTrip(request)
	if err != nil {
		return nil, status.Error(codes.Unavailable, "HTTP/2: "+err.Error())
	}
	defer response.Body.Close()
	reply, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, status.Error(codes.Unavailable, "HTTP/2: "+err.Error())
	}
	number, text := response.Trailer.Get("grpc-status"), response.Trailer.Get("grpc-message")
	if number == "" {
		number, text = response.Header.Get("grpc-status"), response.Header.Get("grpc-message")
	}
	code, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		return nil, status.Errorf(codes.Unknown, "HTTP status %s without a gRPC status", response.Status)
	}
	return reply, status.Error(codes.Code(code), text)
}

// callBody is main's work for -body.
func callBody(path string, body []byte) error {
	empty := make([]byte, 5)
	conn := newPlainConn()
	if _, err := conn.call("/runtime.v1.RuntimeService/Version", empty); err != nil {
		fail("Version: %v", err)
	}
	_, err := conn.call(path, body)
	report(nil, nil, err)
	if _, err = conn.call("/runtime.v1.RuntimeService/Version", empty); err != nil {
		return err
	}
	if conn.dials != 1 {
		return fmt.Errorf("%d connections were needed", conn.dials)
	}
	return nil
}
