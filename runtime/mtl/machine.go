package mtl

import (
	"runtime"
	"strings"
)

const onMac = runtime.GOOS == "darwin"

// targetName turns Metal's device name, such as "Apple M3 Pro", into the name of
// the target whose constants fit, "apple-m3-pro"; "" for a GPU of another make.
func targetName(device string) string {
	name := strings.ToLower(strings.TrimSpace(device))
	if !strings.HasPrefix(name, "apple m") {
		return ""
	}
	return strings.ReplaceAll(name, " ", "-")
}
