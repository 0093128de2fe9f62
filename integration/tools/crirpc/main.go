// crirpc sends one gRPC call to a CRI server exactly as told, valid or not, and prints how it was answered:
//
//	crirpc -e SOCKET METHOD [JSON|@FILE]     e.g. crirpc -e /run/crisp/crisp.sock RunPodSandbox '{"config":{}}'
//
// METHOD is the bare name (looked up in RuntimeService, then ImageService) or /package.Service/Name. The request is
// protobuf JSON. The first line of output is the status code's name, the second its message, then the response as JSON.
// -size N pads the request with N bytes of an unknown field; -raw HEX sends these bytes as the message instead, and
// -body HEX as the whole body of the HTTP/2 request. -gzip compresses the message; -claim NAME only says that it is
// compressed so.
// A streamed answer is as many lines of JSON as there were messages; -pace TIME is waited before each is read.
// -header KEY=VALUE adds metadata to the call.
// -n N sends the call N times at once, each on a connection of its own; "CODE JSON" is printed for each, in the order of
// the answers, and nothing else.
// After every call a Version is sent on the same connection, and "connection: survived" or "connection: lost ..."
// ends the output. The exit status is 0 when the call was answered at all, 3 when the connection did not survive.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var (
	endpoint = flag.String("e", "/run/crisp/crisp.sock", "unix socket of the server")
	timeout  = flag.Duration("t", time.Minute, "deadline of the call")
	size     = flag.Int("size", 0, "pad the request with an unknown field of so many bytes")
	raw      = flag.String("raw", "", "send these bytes (hex) as the message")
	httpBody = flag.String("body", "", "send these bytes (hex) as the HTTP/2 request's body, prefix and all")
	claim    = flag.String("claim", "", "say that the message is compressed with this")
	zipped   = flag.Bool("gzip", false, "compress the message with gzip")
	async    = flag.Duration("cancel", 0, "cancel the call after this time")
	pace     = flag.Duration("pace", 0, "wait so long before each message of a stream is read")
	crowd    = flag.Int("n", 1, "send so many calls at once")
	header   = flag.String("header", "", "KEY=VALUE to be sent as metadata")
)

// bytesCodec passes byte slices through, so that the message can be anything at all.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }
func (bytesCodec) Marshal(v any) ([]byte, error) {
	return *v.(*[]byte), nil
}
func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

// claimed is a compression that leaves the bytes as they are.
type claimed struct{ name string }

type openWriter struct{ io.Writer }

func (openWriter) Close() error { return nil }

func (c claimed) Name() string                               { return c.name }
func (claimed) Compress(w io.Writer) (io.WriteCloser, error) { return openWriter{w}, nil }
func (claimed) Decompress(r io.Reader) (io.Reader, error)    { return r, nil }

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "crirpc: "+format+"\n", args...)
	os.Exit(2)
}

// find resolves a method name to its path and descriptor; the descriptor is nil for a method CRI does not have.
func find(name string) (string, protoreflect.MethodDescriptor) {
	if strings.HasPrefix(name, "/") {
		full := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", "."))
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(full)
		if err != nil {
			return name, nil
		}
		method, _ := found.(protoreflect.MethodDescriptor)
		return name, method
	}
	for _, service := range []string{"runtime.v1.RuntimeService", "runtime.v1.ImageService"} {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + name))
		if err == nil {
			return "/" + service + "/" + name, found.(protoreflect.MethodDescriptor)
		}
	}
	fail("no method %s in CRI v1", name)
	return "", nil
}

func fromHex(text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		fail("%.20s...: %v", text, err)
	}
	return data
}

func compress(message []byte) []byte {
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	if _, err := writer.Write(message); err != nil {
		fail("gzip: %v", err)
	}
	writer.Close()
	return out.Bytes()
}

func encode(method protoreflect.MethodDescriptor, text string) []byte {
	if *raw != "" {
		return fromHex(*raw)
	}
	var body []byte
	if method != nil && text != "" {
		if strings.HasPrefix(text, "@") {
			data, err := os.ReadFile(text[1:])
			if err != nil {
				fail("%v", err)
			}
			text = string(data)
		}
		message := dynamicpb.NewMessage(method.Input())
		if err := protojson.Unmarshal([]byte(text), message); err != nil {
			fail("request: %v", err)
		}
		body, _ = proto.Marshal(message)
	}
	if *size > 0 {
		body = protowire.AppendTag(body, 1999, protowire.BytesType)
		body = protowire.AppendBytes(body, make([]byte, *size))
	}
	if *zipped {
		body = compress(body)
	}
	return body
}

func invoke(conn *grpc.ClientConn, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if *async > 0 {
		time.AfterFunc(*async, cancel)
	}
	if key, value, ok := strings.Cut(*header, "="); ok {
		ctx = metadata.AppendToOutgoingContext(ctx, key, value)
	}
	var reply []byte
	options := []grpc.CallOption{grpc.ForceCodec(bytesCodec{}), grpc.MaxCallSendMsgSize(1 << 30),
		grpc.MaxCallRecvMsgSize(64 << 20)}
	if *claim != "" {
		encoding.RegisterCompressor(claimed{*claim})
		options = append(options, grpc.UseCompressor(*claim))
	}
	err := conn.Invoke(ctx, path, &body, &reply, options...)
	return reply, err
}

func dial() *grpc.ClientConn {
	conn, err := grpc.NewClient("unix://"+*endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fail("%v", err)
	}
	return conn
}

func decode(method protoreflect.MethodDescriptor, reply []byte) string {
	message := dynamicpb.NewMessage(method.Output())
	if e := proto.Unmarshal(reply, message); e != nil {
		fail("the response does not decode: %v", e)
	}
	text, _ := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(message)
	return string(text)
}

func invokeCrowd(path string, method protoreflect.MethodDescriptor, body []byte) {
	answers := make(chan string)
	for i := 0; i < *crowd; i++ {
		go func() {
			reply, err := invoke(dial(), path, body)
			answer := status.Code(err).String()
			if err == nil && method != nil {
				answer += " " + decode(method, reply)
			}
			answers <- answer
		}()
	}
	for i := 0; i < *crowd; i++ {
		fmt.Println(<-answers)
	}
}

func report(method protoreflect.MethodDescriptor, reply []byte, err error) {
	state := status.Convert(err)
	fmt.Printf("%s\n%s\n", state.Code(), state.Message())
	if err != nil || method == nil {
		return
	}
	fmt.Println(decode(method, reply))
}

func main() {
	flag.Parse()
	if flag.NArg() < 1 || flag.NArg() > 2 {
		fail("usage: crirpc [-e SOCKET] [-t TIME] [-size N] [-raw HEX] [-body HEX] [-gzip] [-claim NAME] [-n N] METHOD [JSON|@FILE]")
	}
	path, method := find(flag.Arg(0))
	if *zipped && *claim == "" {
		*claim = "gzip"
	}
	if *httpBody != "" {
		survival(callBody(path, fromHex(*httpBody)))
		return
	}
	if *crowd > 1 {
		invokeCrowd(path, method, encode(method, flag.Arg(1)))
		return
	}
	conn := dial()
	// The same transport must serve the call and the Version after it: one call before fixes the connection, and a
	// client that had to dial again shows itself by a change of its state.
	runtime := cri.NewRuntimeServiceClient(conn)
	if _, err := runtime.Version(context.Background(), &cri.VersionRequest{}); err != nil {
		fail("Version: %v", err)
	}
	// A call can be answered a moment before the channel calls itself ready.
	before := conn.GetState()
	for before != connectivity.Ready {
		conn.WaitForStateChange(context.Background(), before)
		before = conn.GetState()
	}
	lost := make(chan struct{})
	go func() {
		if conn.WaitForStateChange(context.Background(), before) {
			close(lost)
		}
	}()
	if method != nil && method.IsStreamingServer() {
		messages, err := stream(conn, path, encode(method, flag.Arg(1)))
		reportStream(method, messages, err)
	} else {
		reply, err := invoke(conn, path, encode(method, flag.Arg(1)))
		report(method, reply, err)
	}
	_, err := runtime.Version(context.Background(), &cri.VersionRequest{})
	select {
	case <-lost:
		fmt.Println("connection: lost", err)
		os.Exit(3)
	case <-time.After(50 * time.Millisecond):
	}
	survival(err)
}

func survival(err error) {
	if err != nil {
		fmt.Println("connection: broken:", err)
		os.Exit(3)
	}
	fmt.Println("connection: survived")
}
