package inspect

import (
	"linectl/internal/inspect/network"
	"linectl/internal/inspect/recipe"
	"linectl/internal/setting"
)

// Config is the [inspect] section.
type Config struct {
	// Recipe names the recipe that parts are judged by, as given to 'linectl train NAME'; its active version is used. "" is
	// allowed while line.mode is bypass or maintenance.
	Recipe string `toml:"recipe"`
	// Device computes the network: "cpu", "cuda:N" or "tensorrt:N" for GPU N, "openvino:CPU", "openvino:GPU" or "openvino:NPU:fp16";
	// ":fp16" after tensorrt:N and openvino:GPU halves the numbers. Never another one silently.
	Device string `toml:"device"`
	// Threads of the network; 0 takes every core. One thread is steadier than two on a machine that does other work too.
	Threads int `toml:"threads"`
	// Library is the file of ONNX Runtime's shared library; "" looks beside the program and in the system's places.
	Library string `toml:"library"`
	// Backbone is the ONNX file of the network, with its card beside it; "" is the default network that comes with linectl.
	Backbone string `toml:"backbone"`
}

// DefaultConfig computes on every core of the CPU; only the recipe has to be named.
func DefaultConfig() Config { return Config{Device: network.CPU} }

// Check reports every mistake in the section. It reads no file.
func (c Config) Check() []setting.Problem {
	var problems []setting.Problem
	if c.Recipe != "" {
		if err := recipe.CheckName(c.Recipe); err != nil {
			problems = append(problems, setting.Problemf("recipe", "%v", err))
		}
	}
	if err := network.CheckDevice(c.Device); err != nil {
		problems = append(problems, setting.Problemf("device", "%v", err))
	}
	if c.Threads < 0 || c.Threads > network.MaxThreads {
		problems = append(problems, setting.Problemf("threads", "%d is out of range; allowed is 0 (every core) to %d", c.Threads, network.MaxThreads))
	}
	return problems
}
