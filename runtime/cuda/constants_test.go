package cuda

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Numbers and structures are those of cuda.h, of which a driver knows nothing else.
func TestConstantsAreCUDAs(t *testing.T) {
	for name, c := range map[string][2]int{
		"CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT": {attrMultiprocessors, 16}, "CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE": {attrL2Bytes, 38},
		"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": {attrMajor, 75}, "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": {attrMinor, 76},
		"CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN": {attrMaxSharedOptin, 97}, "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES": {funcMaxDynamicShared, 8},
		"CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION": {launchProgrammatic, 6}, "CU_STREAM_NON_BLOCKING": {streamNonBlocking, 1},
		"CU_STREAM_CAPTURE_MODE_THREAD_LOCAL": {captureModeThreadLocal, 1}, "CU_EVENT_DISABLE_TIMING": {eventDisableTiming, 2},
		"CUDA_ERROR_OUT_OF_MEMORY": {outOfMemory, 2}, "CUDA_ERROR_NO_DEVICE": {noDevice, 100},
		"sizeof(CUlaunchConfig)": {int(unsafe.Sizeof(launchConfig{})), 56}, "sizeof(CUlaunchAttribute)": {int(unsafe.Sizeof(launchAttr{})), 72},
		"offsetof(sharedMemBytes)": {int(unsafe.Offsetof(launchConfig{}.shared)), 24}, "offsetof(hStream)": {int(unsafe.Offsetof(launchConfig{}.stream)), 32},
		"offsetof(attrs)": {int(unsafe.Offsetof(launchConfig{}.attrs)), 40}, "offsetof(numAttrs)": {int(unsafe.Offsetof(launchConfig{}.numAttrs)), 48},
		"offsetof(value)": {int(unsafe.Offsetof(launchAttr{}.value)), 8},
	} {
		require.Equal(t, c[1], c[0], name)
	}
}
