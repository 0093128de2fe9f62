//go:build tools

// The tools that the black-box tests take from Go modules; named here so that go.mod pins them and go.sum proves them.
package tools

import (
	_ "github.com/onsi/ginkgo/v2/ginkgo"
	_ "sigs.k8s.io/cri-tools/cmd/crictl"
	_ "sigs.k8s.io/cri-tools/cmd/critest"
)
