// otlpsink is an OpenTelemetry collector that keeps nothing: it takes traces by OTLP over HTTP, decodes them with OpenTelemetry's
// own types, checks what a collector relies on, and prints each span as a line of JSON.
//
//	otlpsink 127.0.0.1:4318
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

type line struct {
	Service    string         `json:"service"`
	Scope      string         `json:"scope"`
	Trace      string         `json:"trace"`
	Span       string         `json:"span"`
	Parent     string         `json:"parent"`
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	Ns         uint64         `json:"ns"`
	Status     string         `json:"status"`
	Message    string         `json:"message"`
	Attributes map[string]any `json:"attributes"`
}

var output sync.Mutex

func values(pairs []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, pair := range pairs {
		switch value := pair.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[pair.Key] = value.StringValue
		case *common.AnyValue_IntValue:
			all[pair.Key] = value.IntValue
		case *common.AnyValue_BoolValue:
			all[pair.Key] = value.BoolValue
		default:
			all[pair.Key] = nil
		}
	}
	return all
}

// check is for what the protocol demands of a span.
func check(span *trace.Span) error {
	zero := func(id []byte) bool {
		for _, b := range id {
			if b != 0 {
				return false
			}
		}
		return true
	}
	switch {
	case len(span.TraceId) != 16 || zero(span.TraceId):
		return fmt.Errorf("trace id %x", span.TraceId)
	case len(span.SpanId) != 8 || zero(span.SpanId):
		return fmt.Errorf("span id %x", span.SpanId)
	case len(span.ParentSpanId) != 0 && (len(span.ParentSpanId) != 8 || zero(span.ParentSpanId)):
		return fmt.Errorf("parent span id %x", span.ParentSpanId)
	case span.Name == "":
		return fmt.Errorf("no name")
	case span.StartTimeUnixNano == 0 || span.EndTimeUnixNano < span.StartTimeUnixNano:
		return fmt.Errorf("from %d to %d", span.StartTimeUnixNano, span.EndTimeUnixNano)
	}
	return nil
}

func take(body []byte) error {
	// As ExportTraceServiceRequest, which has the same one field.
	data := &trace.TracesData{}
	if err := proto.Unmarshal(body, data); err != nil {
		return err
	}
	output.Lock()
	defer output.Unlock()
	for _, resource := range data.ResourceSpans {
		service, _ := values(resource.GetResource().GetAttributes())["service.name"].(string)
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				if err := check(span); err != nil {
					return err
				}
				text, _ := json.Marshal(line{service, scope.GetScope().GetName(), hex.EncodeToString(span.TraceId),
					hex.EncodeToString(span.SpanId), hex.EncodeToString(span.ParentSpanId), span.Name,
					span.Kind.String(), span.EndTimeUnixNano - span.StartTimeUnixNano, span.Status.GetCode().String(),
					span.Status.GetMessage(), values(span.Attributes)})
				fmt.Println(string(text))
			}
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: otlpsink HOST:PORT")
		os.Exit(2)
	}
	http.HandleFunc("POST /v1/traces", func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err == nil && request.Header.Get("Content-Type") != "application/x-protobuf" {
			err = fmt.Errorf("content type %q", request.Header.Get("Content-Type"))
		}
		if err == nil {
			err = take(body)
		}
		if err != nil {
			fmt.Printf("{\"bad\": %q}\n", err.Error())
			answer.WriteHeader(http.StatusBadRequest)
			return
		}
		answer.Header().Set("Content-Type", "application/x-protobuf")
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], nil))
	os.Exit(1)
}
