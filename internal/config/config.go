// Package config reads linectl.toml: it composes the Config of each room and reports every mistake
// of the file at once, each with its line and column.
package config

// DefaultPath is where an installed linectl has its config.
const DefaultPath = "/etc/linectl/linectl.toml"
