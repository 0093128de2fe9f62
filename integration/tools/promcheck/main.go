// promcheck reads a page of metrics as `promtool check metrics` does: with Prometheus' own parser and linter, and the same verdicts. It
// prints what is wrong, a line each; its status is 0 (nothing), 3 (the linter found something) or 1 (the page cannot be read).
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func main() {
	problems, err := promlint.New(io.Reader(os.Stdin)).Lint()
	if err != nil {
		fmt.Fprintln(os.Stderr, "promcheck:", err)
		os.Exit(1)
	}
	for _, p := range problems {
		fmt.Println(p.Metric, p.Text)
	}
	if len(problems) > 0 {
		os.Exit(3)
	}
}
