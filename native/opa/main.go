// Command opa is built with -buildmode=c-shared: OPA behind a narrow C interface, for ztproxy/policy/library.py.
//
// Texts are UTF-8 (JSON where not said otherwise) with explicit lengths. No panic crosses: every export and every
// goroutine recovers. Any thread may call anything at any time. Load the library after forking, never before: the Go
// runtime's threads do not survive a fork.
package main

/*
#include <stdint.h>
#include <stdlib.h>
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/open-policy-agent/opa/v1/version"

	"ztproxy.dev/opa/engine"
	"ztproxy.dev/opa/tool"
)

// abi changes whenever a signature or a meaning below does; library.py refuses any other.
const abi = 2

var (
	sets    sync.Map // int64 → *engine.Set
	handles atomic.Int64
)

func main() {}

//export ztopa_abi
func ztopa_abi() C.int64_t { return abi }

// ztopa_version gives OPA's and Go's versions. Free it with ztopa_free.
//
//export ztopa_version
func ztopa_version() *C.char {
	return text(map[string]any{"opa": version.Version, "go": runtime.Version(), "abi": abi})
}

//export ztopa_free
func ztopa_free(memory *C.char) { C.free(unsafe.Pointer(memory)) }

type loadOptions struct {
	engine.Options
	GCPercent   int   `json:"gc_percent"`
	MemoryLimit int64 `json:"memory_limit"`
	GoMaxProcs  int   `json:"gomaxprocs"`
}

// ztopa_load gives a handle, or 0 and in *failure a JSON list of {message, file, row, col, code} to be freed.
//
//export ztopa_load
func ztopa_load(options *C.char, length C.int64_t, failure **C.char) (handle C.int64_t) {
	defer func() {
		if r := recover(); r != nil {
			handle = 0
			*failure = text(engine.Problems{{Message: fmt.Sprintf("OPA failed: %v", r), Code: "internal_error"}})
		}
	}()
	var given loadOptions
	if err := json.Unmarshal(C.GoBytes(unsafe.Pointer(options), C.int(length)), &given); err != nil {
		*failure = text(engine.Problems{{Message: "options: " + err.Error(), Code: "load_error"}})
		return 0
	}
	tune(given)
	set, err := engine.Load(given.Options)
	if err != nil {
		*failure = text(err)
		return 0
	}
	id := handles.Add(1)
	sets.Store(id, set)
	return C.int64_t(id)
}

// tune sets what belongs to the process; 0 leaves it as it is.
func tune(options loadOptions) {
	if options.GCPercent > 0 {
		debug.SetGCPercent(options.GCPercent)
	}
	if options.MemoryLimit > 0 {
		debug.SetMemoryLimit(options.MemoryLimit)
	}
	if options.GoMaxProcs > 0 {
		runtime.GOMAXPROCS(options.GoMaxProcs)
	}
}

func set(handle C.int64_t) *engine.Set {
	if found, ok := sets.Load(int64(handle)); ok {
		return found.(*engine.Set)
	}
	return nil
}

// ztopa_describe gives engine.Description, or NULL for an unknown handle. Free it with ztopa_free.
//
//export ztopa_describe
func ztopa_describe(handle C.int64_t) (description *C.char) {
	defer func() {
		if r := recover(); r != nil {
			description = nil
		}
	}()
	found := set(handle)
	if found == nil {
		return nil
	}
	answer, err := found.Describe()
	if err != nil {
		return nil
	}
	return text(answer)
}

// ztopa_evaluate gives status<<32 | length of what was written to out (JSON or a message). capacity is at least
// 64 KiB. With status 4 (pending) *ticket is what ztopa_next will name.
//
//export ztopa_evaluate
func ztopa_evaluate(handle C.int64_t, input *C.char, length, now, deadline C.int64_t, out *C.char, capacity C.int64_t, ticket *C.int64_t) (result C.int64_t) {
	memory := unsafe.Slice((*byte)(unsafe.Pointer(out)), int(capacity))
	defer func() {
		if r := recover(); r != nil {
			result = write(memory, engine.Answer{Status: engine.Failed, Text: fmt.Appendf(nil, "OPA failed: %v", r)})
		}
	}()
	found := set(handle)
	if found == nil {
		return C.int64_t(engine.BadHandle) << 32
	}
	if length < 0 || length > engine.MaxInput {
		return write(memory, engine.Answer{Status: engine.BadInput, Text: []byte("the input is too long")})
	}
	document := C.GoStringN(input, C.int(length))
	answer, number := found.Evaluate(document, int64(now), time.Duration(deadline), memory[:0])
	*ticket = C.int64_t(number)
	return write(memory, answer)
}

// ztopa_evaluate_many answers as many calls of ztopa_evaluate would, one after another. The inputs stand side by side in
// memory, as do the answers in out. It gives how many were answered: fewer than count when out had no room for another
// answer of 64 KiB.
//
//export ztopa_evaluate_many
func ztopa_evaluate_many(handle, count C.int64_t, inputs *C.char, lengths, nows *C.int64_t, deadline C.int64_t, out *C.char, capacity C.int64_t, results, tickets *C.int64_t) C.int64_t {
	lengthOf, nowOf := unsafe.Slice(lengths, int(count)), unsafe.Slice(nows, int(count))
	resultOf, ticketOf := unsafe.Slice(results, int(count)), unsafe.Slice(tickets, int(count))
	read, written := uintptr(0), C.int64_t(0)
	for i := range int(count) {
		if capacity-written < engine.MaxResult {
			return C.int64_t(i)
		}
		input := (*C.char)(unsafe.Add(unsafe.Pointer(inputs), read))
		at := (*C.char)(unsafe.Add(unsafe.Pointer(out), written))
		resultOf[i] = ztopa_evaluate(handle, input, lengthOf[i], nowOf[i], deadline, at, engine.MaxResult, &ticketOf[i])
		read += uintptr(lengthOf[i])
		written += resultOf[i] & 0xffffffff
	}
	return count
}

// ztopa_next waits for the next answer that was pending, at most wait nanoseconds.
//
//export ztopa_next
func ztopa_next(handle, wait C.int64_t, out *C.char, capacity C.int64_t, ticket *C.int64_t) (result C.int64_t) {
	memory := unsafe.Slice((*byte)(unsafe.Pointer(out)), int(capacity))
	defer func() {
		if r := recover(); r != nil {
			result = write(memory, engine.Answer{Status: engine.Failed, Text: fmt.Appendf(nil, "OPA failed: %v", r)})
		}
	}()
	found := set(handle)
	if found == nil {
		return C.int64_t(engine.Closed) << 32
	}
	answer, number := found.Next(time.Duration(wait))
	*ticket = C.int64_t(number)
	return write(memory, answer)
}

// ztopa_release forgets a handle. Evaluations under way end by themselves; ztopa_next says closed.
//
//export ztopa_release
func ztopa_release(handle C.int64_t) {
	if found, ok := sets.LoadAndDelete(int64(handle)); ok {
		found.(*engine.Set).Close()
	}
}

// ztopa_tool serves the command line: check, test, deps, explain. It takes and gives JSON; never call it in a process that
// serves.
//
//export ztopa_tool
func ztopa_tool(request *C.char, length C.int64_t) (answer *C.char) {
	defer func() {
		if r := recover(); r != nil {
			answer = text(map[string]any{"errors": engine.Problems{{Message: fmt.Sprintf("OPA failed: %v", r), Code: "internal_error"}}})
		}
	}()
	return text(tool.Run(C.GoBytes(unsafe.Pointer(request), C.int(length))))
}

func write(memory []byte, answer engine.Answer) C.int64_t {
	length := len(answer.Text)
	if length > len(memory) {
		if answer.Status == engine.OK {
			return C.int64_t(engine.Failed) << 32
		}
		length = len(memory)
	}
	copy(memory, answer.Text[:length]) // where it already is there, this does nothing
	return C.int64_t(answer.Status)<<32 | C.int64_t(length)
}

func text(value any) *C.char {
	encoded, err := json.Marshal(value)
	if err != nil {
		encoded = []byte(`[{"message":"internal error: the answer is no JSON","code":"internal_error"}]`)
	}
	return C.CString(string(encoded))
}
