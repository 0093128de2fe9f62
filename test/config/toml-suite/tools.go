//go:build tools

// Pins the public TOML test suite and its runner. Its toml dependency is a commit that module mirrors may not
// keep, so go.mod replaces it by the release of the same code; decoder tests do not depend on it.
package tools

import _ "github.com/toml-lang/toml-test/cmd/toml-test"
