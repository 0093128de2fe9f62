// A call whose answer is a stream: every message is a line of JSON after the code and the text.
package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// stream gives the messages' bytes; *pace is waited before each is read.
func stream(conn *grpc.ClientConn, path string, body []byte) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if *async > 0 {
		time.AfterFunc(*async, cancel)
	}
	call, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path, grpc.ForceCodec(bytesCodec{}),
		grpc.MaxCallRecvMsgSize(64<<20))
	if err != nil {
		return nil, err
	}
	if err := call.SendMsg(&body); err != nil {
		return nil, err
	}
	if err := call.CloseSend(); err != nil {
		return nil, err
	}
	var messages [][]byte
	for {
		var message []byte
		time.Sleep(*pace)
		err := call.RecvMsg(&message)
		if err == io.EOF {
			return messages, nil
		}
		if err != nil {
			return messages, err
		}
		messages = append(messages, message)
	}
}

func reportStream(method protoreflect.MethodDescriptor, messages [][]byte, err error) {
	state := status.Convert(err)
	fmt.Printf("%s\n%s\n", state.Code(), state.Message())
	for _, message := range messages {
		fmt.Println(decode(method, message))
	}
}
