package network

import (
	"runtime"
	"syscall"
	"unsafe"
)

// signalStack is the kernel's stack_t.
type signalStack struct {
	pointer uintptr
	flags   int32
	size    uintptr
}

// keepSignalStack calls f and gives the thread its own signal stack back. OpenVINO's CPU plugin puts another
// one in its place on the thread that loads it, and unmaps that when the last session is destroyed, on
// whatever thread this happens. The next signal to the first thread would then find no stack and end the
// process, and Go's scheduler sends signals to all of its threads.
func keepSignalStack(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var own signalStack
	if _, _, e := syscall.RawSyscall(syscall.SYS_SIGALTSTACK, 0, uintptr(unsafe.Pointer(&own)), 0); e != 0 {
		return e
	}
	err := f()
	if _, _, e := syscall.RawSyscall(syscall.SYS_SIGALTSTACK, uintptr(unsafe.Pointer(&own)), 0, 0); e != 0 && err == nil {
		err = e
	}
	return err
}
